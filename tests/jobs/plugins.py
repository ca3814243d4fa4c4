"""A plug-in in one file, and forgetting plug-ins again as a new process does."""

import contextlib
import sys
from collections.abc import Iterator

from jobs.jobfile import plugins
from jobs.jobfile.plugins import REGISTRIES

FLAT = '''
import pathlib
from dataclasses import dataclass
from typing import ClassVar

from oplstm.episodes.registry import BENCHMARKS
from oplstm.episodes.sine import SineTasks
from search_spaces.spaces import SPACES

pathlib.Path(__file__ + ".ran").touch()


@dataclass(frozen=True, kw_only=True)
class FlatTasks(SineTasks):
    """Sines of one height."""

    height: float = 2.0
    name: ClassVar[str] = "flat"


def widths(trial):
    hidden = trial.suggest_categorical("hidden", [2, 3])
    return {"widths": [hidden], "passes": 1, "meta_batch_size": 2, "lr": 0.01}


BENCHMARKS.register("flat", FlatTasks)
SPACES.register("flat-widths", widths)
'''
JOB = {
    "learner": "lstm",
    "benchmark": {"name": "flat", "shots": 3},
    "space": "flat-widths",
    "trials": 2,
    "budget": {"tasks": 40, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2},
}


def forget(modules: set[str]) -> None:
    """What a new process does not know: plug-ins, what they brought, and their modules."""
    plugins._loaded.clear()
    for registry in REGISTRIES.values():
        registry._registered.clear()
        registry._offered.clear()
        registry._declared = None
    for name in set(sys.modules) - modules:
        if name.startswith(plugins.MODULE) or "plugin_of_a_test" in name:
            del sys.modules[name]


@contextlib.contextmanager
def as_in_a_new_process() -> Iterator[None]:
    """Nothing of plug-ins is known at the beginning, and nothing afterwards that was not known before."""
    modules, path, loaded = set(sys.modules), [*sys.path], dict(plugins._loaded)
    before = {kind: vars(registry).copy() for kind, registry in REGISTRIES.items()}
    for registry in REGISTRIES.values():
        registry._registered, registry._offered, registry._declared = {}, {}, None
    try:
        yield
    finally:
        forget(modules)
        plugins._loaded.update(loaded)
        sys.path[:] = path
        for kind, registry in REGISTRIES.items():
            vars(registry).update(before[kind])
