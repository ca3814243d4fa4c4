"""Training a pack in this process: resumed after a kill at the worst moments, stopped, and on which device."""

import json
import shutil
import warnings
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from jobs.execution import devices, pack_worker
from jobs.execution.pack_worker import PackListener, errors_told, train_pack
from jobs.jobfile.sections import Resources
from jobs.store.events import Sized
from jobs.store.memory import PEAK, SHARING, Memory
from jobs.store.states import SweepKind
from jobs.sweep.coordinator import Coordinator
from oplstm.errors import WorkError
from oplstm.training import hours, loop
from oplstm.training.pack import Pack
from oplstm.training.reports import RunEnd
from tests.jobs.formula_training import decisions, job, new_sweep, opened, state_of
from tests.oplstm.training.damage import flip

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

# The second run stands still and is pruned; the third diverges; all three share a pack, or the third comes in later.
# An update takes an hour: where runs have 4.5, the first of them is through after 5 updates.
JOB = job(
    "three_rates",
    sampler={"name": "grid"},
    trials=None,
    pruner={"name": "ThresholdPruner", "options": {"upper": 5.9, "n_warmup_steps": 3}, "patience": None},
    budget={"updates": 8, "validate_every": 2, "validation_tasks": 8, "test_tasks": 8},
    resources={"pack": 3},
)
FIXED = {"widths": [2], "passes": 1, "lr": 0.01, "meta_batch_size": 2}
CPU = torch.device("cpu")
JOINED = JOB.model_copy(update={"resources": Resources(pack=2)})
JOBS = {
    "together": JOB,
    "joined": JOINED,
    "late": JOINED.model_copy(update={"budget": {**JOB.budget, "max_hours": 4.5}}),
}


class Killed(BaseException):
    """The process is gone."""


class Clock:
    """The clock of a process that makes an update in so many hours."""

    def __init__(self, pace):
        self.pace, self.hours = pace, 0.0

    def monotonic(self):
        return 3600 * self.hours


def run(folder, tick=None, pace=1.0):
    """Train what is left of a sweep, unless it is killed."""
    clock, coordinator = Clock(pace), opened(folder)

    def ticks(update, runs):
        clock.hours += clock.pace
        if tick is not None:
            tick(update, runs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hours, "time", clock)
        try:
            while (assignment := coordinator.next_pack()) is not None:
                train_pack(assignment, coordinator, folder, resources=coordinator.job.resources, tick=ticks)
        except Killed:  # a killed process ends nothing, and lets go of everything
            coordinator._outbox.close()
            coordinator._journal.close()
        else:
            coordinator.close(flush_seconds=0)


def results(folder):
    """Decisions and metrics but for speed and memory, and the bits of every model and score."""
    assert state_of(folder).finished
    told = decisions(folder)
    for event in told:
        for name in ("train/tasks_per_second", PEAK, SHARING):
            getattr(event, "metrics", {}).pop(name, None)
    files = sorted(folder.trials.glob("*/*.safetensors"))
    return told, {
        f"{file.parent.name}/{file.name}": {name: tensor.numpy().tobytes() for name, tensor in load_file(file).items()}
        for file in files
    }


@pytest.fixture(scope="module", params=JOBS)
def never_killed(request, tmp_path_factory, no_waiting_for_the_disk):
    folder = new_sweep(tmp_path_factory.mktemp("never") / request.param, JOBS[request.param])
    run(folder)
    return folder


@pytest.mark.slow
def test_the_sweep_has_all_ends(never_killed):
    state = state_of(never_killed)
    assert state.counts() == {"complete": 1, "pruned": 1, "diverged": 1}
    third = None if never_killed.name == "together" else 4
    assert [trial.joined for trial in state.trials.values()] == [None, None, third]
    assert list(state.packs) == ["pack-0000"]
    late = never_killed.name == "late"
    assert state.packs["pack-0000"].expired == ({5: ("trial-0000",)} if late else {})
    assert state.trials[0].note == ("stopped after its 4.5 hours" if late else "")


PLACES = [
    (loop, "save_pack"),
    (loop, "save_model"),
    (Coordinator, "on_ends"),
    (Coordinator, "on_points"),
    (Coordinator, "joins"),
]
MOMENTS = [
    pytest.param(owner, name, before, count, id=f"{name}-{'before' if before else 'after'}-{count}")
    for owner, name in PLACES
    for before, count in [(True, 1), (False, 1), (False, 2), (False, 3)]
    if (name, count) != ("joins", 3)  # one of the sweeps has two, one has one
]


@pytest.mark.slow
@pytest.mark.parametrize(("owner", "name", "before", "count"), MOMENTS)
def test_killed_there_and_resumed_is_never_killed(owner, name, before, count, never_killed, tmp_path, monkeypatch):
    """Before or after the n-th checkpoint, model, end, point or join: the same decisions and scores to the bit."""
    if (never_killed.name, name, count) == ("late", "joins", 2):
        pytest.skip("nobody is left whom others could join")
    real, calls = getattr(owner, name), []

    def dying(*arguments, **keywords):
        calls.append(name)
        if before and len(calls) == count:
            raise Killed
        answer = real(*arguments, **keywords)
        if len(calls) == count:
            raise Killed
        return answer

    folder = new_sweep(tmp_path / never_killed.name, JOBS[never_killed.name])
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        run(folder)
    assert len(calls) == count
    assert not state_of(folder).finished
    run(folder)
    assert results(folder) == results(never_killed)


@pytest.mark.slow
@pytest.mark.parametrize("never_killed", ["late"], indirect=True)
@pytest.mark.parametrize(("before", "pace"), [(True, 1), (False, 1), (False, 0)])
def test_killed_when_hours_are_over_it_repeats_what_was_written(before, pace, never_killed, tmp_path, monkeypatch):
    """Killed before that was written, or after it and resumed, by a clock that knows or by one that stands still."""
    folder = new_sweep(tmp_path / never_killed.name, JOBS[never_killed.name])
    with monkeypatch.context() as patch:
        patch.setattr(Coordinator, "expired", dies if before else after(Coordinator.expired, 1))
        run(folder)
    pack = state_of(folder).packs["pack-0000"]
    assert pack.expired == ({} if before else {5: ("trial-0000",)})
    assert "trial-0000" in {trial.name for trial in pack.unended()}
    run(folder, pace=pace)
    assert results(folder) == results(never_killed)


@pytest.mark.slow
def test_a_pack_that_lost_its_checkpoints_begins_anew_and_is_never_killed(never_killed, tmp_path, monkeypatch):
    """Killed after the second end."""
    folder = new_sweep(tmp_path / never_killed.name, JOBS[never_killed.name])
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_model", after(loop.save_model, 2))
        run(folder)
    assert not state_of(folder).finished
    shutil.rmtree(folder.pack("pack-0000"))
    sizes = []
    run(folder, lambda update, runs: sizes.append(runs))
    assert results(folder) == results(never_killed)
    assert max(sizes) == JOBS[never_killed.name].resources.pack


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("place", ["save_pack", "save_model"])
@pytest.mark.parametrize("ends", [1, 2, 3])
def test_damaged_checkpoints_cost_time_and_nothing_else(place, ends, count, never_killed, tmp_path, monkeypatch):
    """Killed after the n-th checkpoint or model; the newest, or all, are damaged: never killed, and said in the log."""
    folder = new_sweep(tmp_path / never_killed.name, JOBS[never_killed.name])
    with monkeypatch.context() as patch:
        patch.setattr(loop, place, after(getattr(loop, place), ends))
        run(folder)
    found = sorted(folder.pack("pack-0000").glob("update-*"), reverse=True)
    for checkpoint in found[:count]:
        flip(checkpoint / "state.safetensors", -1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        run(folder)
    assert results(folder) == results(never_killed)
    lines = folder.pack_log.read_text().splitlines()
    for checkpoint, line in zip(found[:count], lines, strict=True):
        assert f" {checkpoint}/state.safetensors is damaged: " in line
        assert ("begins anew" in line) == (count >= len(found))


@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
def test_no_more_runs_are_built_than_a_pack_goes_on_or_begins_with(lost, never_killed, tmp_path, monkeypatch):
    """Killed at the second end of its three runs, and resumed from its checkpoint or, where that was lost, anew."""
    folder = new_sweep(tmp_path / never_killed.name, JOBS[never_killed.name])
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_model", after(loop.save_model, 2))
        run(folder)
    [checkpoint, _] = sorted(folder.pack("pack-0000").iterdir(), reverse=True)
    left = json.loads((checkpoint / "pack.json").read_text())["names"]
    if lost:
        shutil.rmtree(folder.pack("pack-0000"))
    built = []
    monkeypatch.setattr(pack_worker, "Pack", lambda runs, *a, **k: built.append(len(runs)) or Pack(runs, *a, **k))
    run(folder)
    assert built == [JOBS[never_killed.name].resources.pack if lost else len(left)]
    assert len(left) < 3
    assert results(folder) == results(never_killed)


def test_a_final_run_with_damaged_scores_ends_in_a_line_and_goes_on_when_they_are_put_back(tmp_path):
    of = job(None, trials=None, seeds=2, fixed=FIXED, budget=JOB.budget)
    folder = new_sweep(tmp_path / "final", of, kind=SweepKind.FINAL)
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train_pack(assignment, coordinator, folder, resources=Resources())
    path = folder.trial("trial-0001") / "test.safetensors"
    flip(path, -1, 0)
    for _ in range(2):
        with pytest.raises(WorkError, match=rf"^{path} is damaged: .* trial-0001 .* promote its sweep again"):
            coordinator.close(flush_seconds=0)
        assert not state_of(folder).finished
        coordinator = opened(folder)
    flip(path, -1, 0)
    coordinator.close(flush_seconds=0)
    assert state_of(folder).finished


def after(real, count):
    """`real`, but the process dies at the end of that call."""
    calls = []

    def dying(*arguments, **keywords):
        answer = real(*arguments, **keywords)
        calls.append(answer)
        if len(calls) == count:
            raise Killed
        return answer

    return dying


@pytest.mark.integration
def test_a_pack_is_measured_once_and_a_resumed_sweep_keeps_what_was_found(tmp_path, monkeypatch):
    of = JOB.model_copy(update={"resources": Resources(pack="auto")})
    folder, again = (new_sweep(tmp_path / "sweeps" / name, of) for name in ("first", "again"))
    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_model", dies)
        run(folder)
    [sized] = [event for event in decisions(folder) if isinstance(event, Sized)]
    assert sized.capacity in (1, 2, 4)
    [entry] = json.loads((tmp_path / "pack-sizes.json").read_text())["sizes"].values()
    assert entry["size"] == sized.capacity and entry["limit"] == 3
    monkeypatch.setattr(devices, "probe", dies)
    for each in (folder, again):
        run(each)
    assert state_of(folder).counts() == {"complete": 1, "pruned": 1, "diverged": 1}
    assert results(again) == results(folder)


def dies(*arguments, **keywords):
    raise Killed


class Calls:
    """A coordinator that only remembers what it was told."""

    def __init__(self, started=None):
        self.given, self.ends = started, []

    def started(self, name, device):
        self.device = device
        return self.given

    def expired(self, name, update, trials):
        pass

    def joins(self, name, update, room):
        return []

    def on_points(self, points):
        return []

    def on_ends(self, ends):
        self.ends += ends

    def settle(self):
        pass


@pytest.fixture
def assignment(tmp_path):
    """A folder, a pack of it as `Coordinator.next_pack` gives one, and what it says at its start."""
    folder = new_sweep(tmp_path / "s", job("three_rates", sampler={"name": "grid"}, budget=JOB.budget))
    coordinator = opened(folder)
    given = coordinator.next_pack()
    started = coordinator.started(given.pack, {})
    coordinator.close(flush_seconds=0)
    return folder, given, started


def test_checkpoints_go_when_a_pack_has_ended_and_stay_when_it_was_stopped(assignment, monkeypatch):
    folder, given, started = assignment
    calls = Calls(started)
    folder.stop_request.touch()
    train_pack(given, calls, folder, resources=Resources())
    assert [end.state for end in calls.ends] == ["stopped"]
    assert list(folder.pack(given.pack).glob("update-*"))
    folder.stop_request.unlink()
    train_pack(given, calls, folder, resources=Resources())
    assert [end.state for end in calls.ends] == ["stopped", "complete"]
    assert not folder.pack(given.pack).exists()


def test_a_pack_with_nothing_left_is_not_trained(assignment):
    folder, given, _ = assignment
    folder.pack(given.pack).mkdir(parents=True)
    calls = Calls()
    train_pack(given, calls, folder, resources=Resources())
    assert calls.ends == []
    assert not folder.trials.exists()
    assert not folder.pack(given.pack).exists()


def test_threads_and_device_are_those_of_the_job(assignment, monkeypatch):
    folder, given, started = assignment
    calls, threads = Calls(started), []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    train_pack(given, calls, folder, resources=Resources(cpus=3, gpus=0.5), gpu_ids="1")
    assert threads == [3]
    assert calls.device["oplstm.gpu_ids"] == "1"


def test_a_stop_is_looked_for_twice_a_second(tmp_path, monkeypatch):
    now, folder = [100.0], new_sweep(tmp_path / "s", job())
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    ticks = []
    listener = PackListener(Calls(), "pack-0000", folder=folder, device=CPU, tick=lambda *told: ticks.append(told))
    assert not listener.should_stop()
    folder.stop_request.touch()
    assert not listener.should_stop()
    now[0] += 0.6
    assert listener.should_stop()
    listener.on_progress(3, 2)
    PackListener(Calls(), "pack-0000", folder=folder, device=CPU).on_progress(3, 2)
    assert ticks == [(3, 2)]


def test_an_end_says_what_memory_the_pack_took_and_who_shared_it(tmp_path, monkeypatch):
    ends, peaks = [], iter([3e6, 5e6, None])
    monkeypatch.setattr(pack_worker, "peak_bytes", lambda device: next(peaks))
    calls = SimpleNamespace(on_ends=ends.extend)
    listener = PackListener(calls, "pack-0000", folder=new_sweep(tmp_path / "s", job()), device=CPU)
    for update, runs in [(1, 2), (2, 3), (3, 1)]:
        listener.on_progress(update, runs)
        listener.on_ends([RunEnd("trial-0000", "complete", update, update, {"val/best": 1.0})])
    assert [Memory.of(end.metrics) for end in ends] == [Memory(3e6, 2), Memory(5e6, 3), None]
    assert ends[0].metrics["val/best"] == 1.0


def test_every_trial_has_its_memory(never_killed):
    sharing = {"together": 3}.get(never_killed.name, 2)
    for trial in state_of(never_killed).trials.values():
        assert trial.memory.peak > 50 * 2**20 and trial.memory.sharing <= sharing, trial.name
    assert max(trial.memory.sharing for trial in state_of(never_killed).trials.values()) == sharing


@pytest.mark.parametrize("error", [ValueError("too wide"), torch.OutOfMemoryError("no room"), WorkError("the disk")])
def test_an_error_that_another_try_may_not_meet_is_told_with_its_traceback_and_raised_on(error):
    told = []
    calls = SimpleNamespace(tried=lambda pack, text: told.append((pack, text)))
    with pytest.raises(type(error)), errors_told(calls, "pack-0000"):
        raise error
    if isinstance(error, WorkError):
        assert told == [], "such errors end the work: another try would meet them too"
        return
    [(pack, text)] = told
    assert pack == "pack-0000"
    assert text.startswith("Traceback") and text.strip().endswith(str(error))
