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

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("no_waiting_for_the_disk")]

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
def never_killed(tmp_path_factory, no_waiting_for_the_disk):
    folder = new_sweep(tmp_path_factory.mktemp("never") / "s", JOB)
    run(folder)
    return folder


def test_the_sweep_has_all_ends(never_killed):
    assert SweepState.of(never_killed).counts() == {"complete": 1, "pruned": 1, "diverged": 1}


PLACES = [(loop, "save_pack"), (loop, "save_model"), (Coordinator, "on_ends"), (Coordinator, "on_points")]


@pytest.mark.parametrize(("owner", "name"), PLACES, ids=[name for _, name in PLACES])
@pytest.mark.parametrize(("before", "count"), [(True, 1), (False, 1), (False, 2), (False, 3)])
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


class Calls:
    """A coordinator that only remembers what it was told."""

    def __init__(self, anything_left=True):
        self.anything_left, self.ends = anything_left, []

    def started(self, pack, names, device):
        self.device = device
        return self.anything_left

    def on_points(self, points):
        return []

    def on_ends(self, ends):
        self.ends += ends


@pytest.fixture
def assignment(tmp_path):
    """A folder, and a pack of it as `Coordinator.next_pack` gives one."""
    folder = new_sweep(tmp_path / "s", job("three_rates", sampler={"name": "grid"}, budget=JOB.budget))
    coordinator = opened(folder)
    given = coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    return folder, given


def test_checkpoints_go_when_a_pack_has_ended_and_stay_when_it_was_stopped(assignment, monkeypatch):
    folder, given = assignment
    calls = Calls()
    folder.stop_request.touch()
    train_pack(given, calls, folder, cpus=1, gpus=0)
    assert [end.state for end in calls.ends] == ["stopped"]
    assert list(folder.pack(given["pack"]).glob("update-*"))
    folder.stop_request.unlink()
    train_pack(given, calls, folder, cpus=1, gpus=0)
    assert [end.state for end in calls.ends] == ["stopped", "complete"]
    assert not folder.pack(given["pack"]).exists()


def test_a_pack_with_nothing_left_is_not_trained(assignment):
    folder, given = assignment
    folder.pack(given["pack"]).mkdir(parents=True)
    calls = Calls(anything_left=False)
    train_pack(given, calls, folder, cpus=1, gpus=0)
    assert calls.ends == []
    assert not folder.trials.exists()
    assert not folder.pack(given["pack"]).exists()


def test_a_machine_without_the_home_says_so(assignment):
    folder, given = assignment
    with pytest.raises(RequestError, match=r"is not visible on .*: OPLSTM_HOME must be shared storage"):
        train_pack(given, Calls(), SweepFolder(folder.path / "elsewhere"), cpus=1, gpus=0)


def test_threads_and_device_are_those_of_the_job(assignment, monkeypatch):
    folder, given = assignment
    calls, threads = Calls(), []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    train_pack(given, calls, folder, cpus=3, gpus=0.5, gpu_ids="1")
    assert threads == [3]
    assert calls.device["oplstm.gpu_ids"] == "1"


def test_a_stop_is_looked_for_twice_a_second(tmp_path, monkeypatch):
    now, folder = [100.0], new_sweep(tmp_path / "s", job())
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    ticks = []
    listener = PackListener(Calls(), folder, lambda update, runs: ticks.append((update, runs)))
    assert not listener.should_stop()
    folder.stop_request.touch()
    assert not listener.should_stop()
    now[0] += 0.6
    assert listener.should_stop()
    listener.on_progress(3, 2)
    PackListener(Calls(), folder).on_progress(3, 2)
    assert ticks == [(3, 2)]


def test_a_gpu_is_used_when_asked_for_and_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(0.5).type == "cuda"
    assert choose_device(0).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(1).type == "cpu"


def test_a_gpu_that_this_machine_lacks_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    require_local_gpu(0)
    require_local_gpu(0.5)
    require_local_gpu(1)
    with pytest.raises(RequestError, match=r"resources.gpus: 2 asked for, this machine has 1; use --set gpus=0"):
        require_local_gpu(2)
