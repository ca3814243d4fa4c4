"""What a process trains of a pack: tries with waits between them, and halves where memory runs out."""

import errno
import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from jobs.execution import pack_worker, turns
from jobs.execution.turns import pause, train_in_turns
from jobs.jobfile.sections import Resources
from jobs.operations.requirements import disk_bytes
from jobs.store.events import Ended, Split, Started
from jobs.store.names import trial_name
from jobs.store.pack_sizes import PackSizes
from oplstm.training import loop
from oplstm.training.machine.memory import is_out_of_memory
from oplstm.training.pack import Pack
from tests.conftest import ROOT
from tests.jobs.formula_training import decisions, events, job, new_sweep, opened, same_state, state_of
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

# One shape; runs of different T and meta-batch sizes, which end at different updates.
JOB = job(
    "heavy_and_light",
    sampler={"name": "grid"},
    trials=None,
    budget={"tasks": 16, "validate_every": 4, "validation_tasks": 8, "test_tasks": 8},
    resources={"pack": 6},
)


MANY_POINTS = job("rates", trials=3, budget={"updates": 200, "validate_every": 4, "validation_tasks": 8})
WIDE = job(
    "rates",
    trials=6,
    fixed={"widths": [200]},
    budget={"updates": 6, "validate_every": 3, "validation_tasks": 20, "test_tasks": 200},
    resources={"pack": 3},
)


class Killed(BaseException):
    """The process is gone."""


class Memory:
    """A device that has room for some runs, and counts what it is asked for: it refuses ``step`` from its n-th on."""

    def __init__(self, room, patience=0):
        self.room, self.patience, self.refused, self.steps = room, patience, [], []

    def step(self, pack):
        self.refuse(pack)
        self.steps.append((pack.update, sorted(pack.names)))
        _step(pack)

    def refuse(self, pack):
        if len(pack.runs) > self.room:
            self.patience -= 1
            if self.patience < 0:
                self.refused.append(sorted(pack.names))
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


_step = Pack.step


def assert_halves_followed(folder):
    """A half begins when the one that it comes from is through, and never before."""
    starts = [event.pack for event in events(folder) if isinstance(event, Started)]
    for pack in state_of(folder).packs.values():
        if pack.origin is not None:
            assert starts.index(pack.name) > max(i for i, name in enumerate(starts) if name == pack.origin)


def run(folder, memory=None, wait=lambda seconds, folder: None):
    """Train what is left of a sweep, unless it is killed; gives what a person is told."""
    coordinator = opened(folder)
    with pytest.MonkeyPatch.context() as patch:
        if memory is not None:
            patch.setattr(Pack, "step", lambda pack: memory.step(pack))
        try:
            while (assignment := coordinator.next_pack()) is not None:
                resources = coordinator.job.resources
                train_in_turns(assignment, coordinator, folder, resources=resources, wait=wait)
            assert same_state(folder, coordinator)
        except Killed:
            coordinator._outbox.close()
            coordinator._journal.close()
        else:
            coordinator.close(flush_seconds=0)
    return coordinator.progress().lines


def results(folder):
    """What was found by trial: its end, its points but for the speed, and its files."""
    found = {}
    for trial in state_of(folder).trials.values():
        points = [{k: v for k, v in point.items() if k != "train/tasks_per_second"} for point in trial.points]
        files = sorted(folder.trial(trial.name).glob("*.safetensors"))
        tensors = {f"{file.stem}/{name}": value for file in files for name, value in load_file(file).items()}
        found[trial.name] = (trial.state, points, tensors)
    return found


def assert_alike(found, wanted):
    """Equal but for rounding, which depends on who shares a pack."""
    assert found.keys() == wanted.keys()
    for name in wanted:
        (state, points, tensors), (state_too, points_too, tensors_too) = found[name], wanted[name]
        assert state == state_too
        assert points == [pytest.approx(point, rel=1e-4, abs=1e-6) for point in points_too]
        torch.testing.assert_close(tensors, tensors_too, rtol=1e-3, atol=1e-5)


@pytest.fixture(scope="module")
def unsplit(tmp_path_factory, no_waiting_for_the_disk):
    folder = new_sweep(tmp_path_factory.mktemp("unsplit") / "s", JOB)
    assert run(folder) == ()
    assert list(state_of(folder).packs) == ["pack-0000"]
    return results(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("room", "packs", "patience"), [(5, 2, 5), (1, 6, 0), (3, 2, 0), (2, 4, 0), (2, 4, 5)])
def test_a_pack_is_halved_until_it_fits_and_the_results_are_those_of_the_whole(
    room, packs, patience, unsplit, tmp_path
):
    folder, memory = new_sweep(tmp_path / "s", JOB), Memory(room, patience)
    lines = run(folder, memory)
    assert_alike(results(folder), unsplit)
    state = state_of(folder)
    assert state.finished
    assert len(state.packs) == packs
    splits = [event for event in events(folder) if isinstance(event, Split)]
    assert len(splits) == len(memory.refused) == packs - 1
    assert lines[0] == "pack-0000 ran out of memory with 6 runs: 3 of them go on after the others, as pack-0001"
    assert len(lines) == packs - 1
    assert not list(folder.path.glob("packs/*")), "every pack has ended"
    assert_halves_followed(folder)
    if patience:  # the last checkpoint is not far behind
        first_half = {trial.name for trial in state.packs["pack-0000"].trials}
        begun_at = next(at for at, names in memory.steps if not first_half & set(names))
        assert begun_at in (patience - 1, patience)
    ends = [event.trial for event in decisions(folder) if isinstance(event, Ended)]
    assert sorted(ends) == sorted(unsplit)


@pytest.mark.slow
@pytest.mark.parametrize("of", [MANY_POINTS, WIDE])
def test_a_sweep_takes_no_more_of_the_disk_than_its_plan_says(of, tmp_path, monkeypatch):
    """At any time, also while a pack is halved and before a checkpoint that is not kept goes."""
    folder, most = new_sweep(tmp_path / "s", of), [0]

    def looking(real):
        def looked(*arguments, **keywords):
            most.append(sum(file.stat().st_size for file in folder.path.rglob("*") if file.is_file()))
            return real(*arguments, **keywords)

        return looked

    for owner, name in [(shutil, "rmtree"), (loop, "save_model"), (pack_worker, "hand_over"), (Journal, "append")]:
        monkeypatch.setattr(owner, name, looking(getattr(owner, name)))
    run(folder, Memory(max(1, of.resources.pack - 1), patience=3))
    assert disk_bytes(of) / 10 < max(most) < disk_bytes(of)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "name", "count"),
    [
        (turns, "remember_outgrown", 1),
        (pack_worker, "hand_over", 1),
        (pack_worker, "hand_over", 2),
        (loop, "save_pack", 7),
        (loop, "save_model", 4),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_killed_while_it_is_halved_and_resumed_nothing_is_lost_or_doubled(
    owner, name, count, before, unsplit, tmp_path, monkeypatch
):
    folder, calls, real = new_sweep(tmp_path / "s", JOB), [], getattr(owner, name)
    if name == "remember_outgrown":
        folder = new_sweep(tmp_path / "auto", JOB.model_copy(update={"resources": Resources(pack="auto")}))
        monkeypatch.setattr(pack_worker, "measured_size", lambda *_, **__: 6)

    def dying(*arguments, **keywords):
        calls.append(name)
        if before and len(calls) == count:
            raise Killed
        answer = real(*arguments, **keywords)
        if len(calls) == count:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        run(folder, Memory(2, 5))
    assert len(calls) == count
    run(folder, Memory(2))
    assert_alike(results(folder), unsplit)
    ends = [event.trial for event in decisions(folder) if isinstance(event, Ended)]
    assert sorted(ends) == sorted(unsplit)
    for trial in state_of(folder).trials.values():
        assert [point["update"] for point in trial.points] == sorted(trial.updates)
    assert_halves_followed(folder)


@pytest.mark.slow
@pytest.mark.parametrize("room", [3, 1])
def test_runs_that_join_and_do_not_fit_are_trained_later(room, unsplit, tmp_path, monkeypatch):
    """Their first validation takes more than there is, when the last checkpoint does not know them yet."""
    folder, memory = new_sweep(tmp_path / "s", JOB.model_copy(update={"resources": Resources(pack=4)})), Memory(room)
    scores = Pack.validation_scores

    def validation_scores(pack, rows=None):
        if max(pack.joined) == pack.update > 0:
            memory.refuse(pack)
        return scores(pack, rows)

    monkeypatch.setattr(Pack, "validation_scores", validation_scores)
    run(folder)
    assert memory.refused
    assert_alike(results(folder), unsplit)
    assert {trial.joined is None for trial in state_of(folder).trials.values()} == {True, False}


@pytest.mark.slow
def test_what_was_outgrown_is_remembered_and_later_packs_are_no_larger(tmp_path, monkeypatch):
    """By the sweep itself, and by the next one, which would measure the same."""
    many = job("many_costs", trials=12, budget=JOB.budget, resources={"pack": "auto"})
    monkeypatch.setattr(pack_worker, "measured_size", lambda *_, **__: 8)
    folder = new_sweep(tmp_path / "sweeps" / "s", many)
    memory = Memory(5)
    run(folder, memory)
    assert len(memory.refused) == 1
    started = [event.pack for event in events(folder) if isinstance(event, Started)]
    assert max(len(pack.initial) for name, pack in state_of(folder).packs.items() if name in started) <= 4
    [entry] = json.loads(folder.pack_sizes.read_text())["sizes"].values()
    assert entry["size"] == 4
    assert entry["limit"] > 4
    [key] = json.loads(folder.pack_sizes.read_text())["sizes"]
    assert PackSizes(folder.pack_sizes).find(key, 256, updates=100) == 4


@pytest.mark.slow
def test_a_run_that_does_not_fit_alone_fails_with_one_line_and_the_others_go_on(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", JOB)

    def step(pack):
        if trial_name(0) in pack.names:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes.")
        _step(pack)

    monkeypatch.setattr(Pack, "step", step)
    lines = run(folder)
    state = state_of(folder)
    assert state.counts() == {"complete": 5, "failed": 1}
    [line] = [line for line in lines if "alone" in line]
    note = state.by_name["trial-0000"].note
    assert line == f"trial-0000 {note}"
    assert note.startswith("failed: it does not fit into the memory, even alone: RuntimeError: [enforce fail]")
    assert "not enough memory" in (folder.path / "failures" / "trial-0000" / "error.txt").read_text()


def test_between_tries_it_waits_twice_as_long_each_time_and_says_so(tmp_path, monkeypatch):
    of = job("rates", trials=1, budget=JOB.budget, resources={"retries": 9})
    folder, waits = new_sweep(tmp_path / "s", of), []

    def full(*arguments):
        raise ValueError("too wide")

    coordinator = opened(folder)
    assignment = coordinator.next_pack()
    monkeypatch.setattr(pack_worker, "Trainer", full)
    for _ in range(9):
        with pytest.raises(TypeError):
            train_in_turns(
                assignment, coordinator, folder, resources=Resources(), wait=lambda *told: waits.append(told)
            )
    assert [seconds for seconds, _ in waits] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    lines = coordinator.progress().lines
    assert lines[1].startswith("pack-0000 is tried again in 2 s (3 of 10): TypeError: ")
    assert all(line in folder.pack_log.read_text() for line in lines)
    coordinator.close(flush_seconds=0)


def test_a_wait_ends_when_the_sweep_is_to_stop(tmp_path, monkeypatch):
    folder, slept = new_sweep(tmp_path / "s", JOB), []

    def sleep(seconds):
        slept.append(seconds)
        folder.stop_request.touch()

    monkeypatch.setattr("time.sleep", sleep)
    pause(3600, folder)
    assert len(slept) == 1
    pause(0, folder)
    assert len(slept) == 1


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError("std::bad_alloc"), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (2)"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_ran_out(error, is_one):
    assert is_out_of_memory(error) is is_one


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import torch
from tests.jobs.execution.test_turns import run
from jobs.store.home import SweepFolder
from oplstm.training.pack import Pack

step, a_run = Pack.step, 256 << 20
def hungry(pack):
    step(pack)
    if pack.update > 1:
        torch.empty(len(pack.runs) * a_run, dtype=torch.uint8)
    elif resource.getrlimit(resource.RLIMIT_AS)[0] < 0:  # all that is needed once is there
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 3 * a_run, -1))
Pack.step = hungry
for line in run(SweepFolder(Path(sys.argv[1]))):
    print(line)
"""


@pytest.mark.slow
def test_a_machine_that_really_has_no_memory_left(tmp_path):
    """The kernel refuses a process more than it has, in the midst of its training."""
    wide = job(
        None, fixed={"widths": [8], "passes": 1, "lr": 1e-3, "meta_batch_size": 4}, seeds=4, trials=None,
        budget={"updates": 4, "validate_every": 2, "validation_tasks": 8, "test_tasks": 8},
    )  # fmt: skip
    folder, whole = new_sweep(tmp_path / "s", wide), new_sweep(tmp_path / "whole", wide)
    run(whole)
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(folder.path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pack-0000 ran out of memory with 4 runs: 2 of them go on after the others, as pack-0001" in done.stdout
    assert_alike(results(folder), results(whole))
