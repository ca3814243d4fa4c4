"""How long a whole run would take on the wall, from some of its updates and one meta-validation."""

import time
from dataclasses import dataclass

from tests.benchmark.measuring import WARM_UPS, Bench
from tests.benchmark.settings import Setting

UPDATES = 3000


@dataclass(frozen=True, kw_only=True)
class Projection:
    """A run, alone on its device.

    Attributes:
        learner: Its name.
        meta_batch_size: Tasks a meta-update.
        updates: Meta-updates that were made.
        ms_per_update: Milliseconds each of them took.
        validation_seconds: Seconds a whole meta-validation took.
        whole_updates: Meta-updates of the whole run.
        validations: Its meta-validations, with the one before training and the test after it.
        hours: Of the whole run.
    """

    learner: str
    meta_batch_size: int
    updates: int
    ms_per_update: float
    validation_seconds: float
    whole_updates: int
    validations: int
    hours: float


def project(setting: Setting, updates: int, bench: Bench) -> Projection:
    """The whole run of ``setting``, whose budget counts updates, from ``updates`` of them after a few to warm up."""
    pack = setting.pack(1, bench.place)
    for _ in range(WARM_UPS):
        pack.step()
    began = _wall(bench)
    for index in range(updates):
        if index % 100 == 0:
            bench.progress(f"{setting.learner}: projection, update {index} of {updates}")
        pack.step()
    trained = _wall(bench)
    bench.progress(f"{setting.learner}: projection, meta-validation")
    pack.validation_scores()
    validation = _wall(bench) - trained
    update = (trained - began) / updates
    whole = int(setting.budget["updates"])
    validations = whole // int(setting.budget["validate_every"]) + 2
    return Projection(
        learner=setting.learner,
        meta_batch_size=setting.meta_batch_size,
        updates=updates,
        ms_per_update=1e3 * update,
        validation_seconds=validation,
        whole_updates=whole,
        validations=validations,
        hours=(whole * update + validations * validation) / 3600,
    )


def _wall(bench: Bench) -> float:
    """The clock on the wall, all work so far being done."""
    bench.now()
    return time.perf_counter()
