"""Training a pack in this process: resumed after a kill at the worst moments, stopped, and on which device."""

import pytest
import torch
from safetensors.torch import load_file

from jobs.coordinator import Coordinator
from jobs.home import SweepFolder
from jobs.pack_worker import PackListener, choose_device, require_local_gpu, train_pack
from jobs.sweep_state import SweepState
from oplstm.errors import RequestError
from oplstm.training import loop
from tests.jobs.formula_training import decisions, job, new_sweep, opened

pytestmark = pytest.mark.unit

# The second run stands still and is pruned; the third diverges; all three share a pack.
JOB = job(
    "three_rates",
    sampler={"name": "grid"},
    trials=None,
    pruner={"name": "ThresholdPruner", "options": {"upper": 5.9, "n_warmup_steps": 3}, "patience": None},
    budget={"updates": 8, "validate_every": 2, "validation_tasks": 8, "test_tasks": 8},
    resources={"pack": 3},
)


class Killed(BaseException):
    """The process is gone."""


def run(folder):
    """Train what is left of a sweep, unless it is killed."""
    coordinator = opened(folder)
    try:
        while (assignment := coordinator.next_pack()) is not None:
            train_pack(assignment, coordinator, folder, cpus=1, gpus=0)
    except Killed:  # a killed process ends nothing, and lets go of everything
        coordinator._outbox.close()
        coordinator._journal.close()
    else:
        coordinator.close(flush_seconds=0)


def results(folder):
    """Decisions and metrics but for the speed, and the bits of every model and score."""
    assert SweepState.of(folder).finished
    told = decisions(folder)
    for record in told:
        record.get("metrics", {}).pop("train/tasks_per_second", None)
    files = sorted(folder.trials.glob("*/*.safetensors"))
    return told, {
        f"{file.parent.name}/{file.name}": {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}
        for file in files
    }


@pytest.fixture(scope="module")
def never_killed(tmp_path_factory):
    folder = new_sweep(tmp_path_factory.mktemp("never") / "s", JOB)
    run(folder)
    return folder


def test_the_sweep_has_all_ends(never_killed):
    assert SweepState.of(never_killed).counts() == {"complete": 1, "pruned": 1, "diverged": 1}


PLACES = [(loop, "save_pack"), (loop, "save_model"), (Coordinator, "on_ends"), (Coordinator, "on_points")]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[name for _, name in PLACES])
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_killed_there_and_resumed_is_never_killed(owner, name, before, count, never_killed, tmp_path, monkeypatch):
    """Before or after the n-th checkpoint, model, end or point: the same decisions, weights and scores to the bit."""
    real, calls = getattr(owner, name), []

    def dying(*arguments, **keywords):
        calls.append(name)
        if before and len(calls) == count:
            raise Killed
        answer = real(*arguments, **keywords)
        if len(calls) == count:
            raise Killed
        return answer

    folder = new_sweep(tmp_path / "s", JOB)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        run(folder)
    assert len(calls) == count
    assert not SweepState.of(folder).finished
    run(folder)
    assert results(folder) == results(never_killed)
