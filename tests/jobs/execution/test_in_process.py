"""Training without Ray: packs one after the other, progress in between, and the journal let go whatever happens."""

import os

import pytest

from jobs.execution import pack_processes
from jobs.execution.in_process import _done, run_in_process
from jobs.execution.pack_messages import Answer, Call
from jobs.execution.pack_processes import _answer
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import Trial
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.proposals import Proposals
from oplstm.episodes.measure import LOSS
from oplstm.errors import WorkError
from oplstm.training import loop
from tests.jobs.formula_training import job, new_sweep, no_server, opened, state_of
from tracking.journal.file_lock import is_locked

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk", "no_waiting_for_the_server")

JOB = job(
    "six_cells", trials=3, resources={"pack": 2}, budget={"updates": 4, "validate_every": 2, "validation_tasks": 2}
)


@pytest.mark.slow
def test_every_pack_is_trained_and_progress_reaches_the_number_of_trials(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.execution.in_process.TICK_SECONDS", 0.0)
    folder, shown = new_sweep(tmp_path / "s", JOB), []
    last, waiting = run_in_process(folder, no_server, shown.append)
    state = state_of(folder)
    assert state.finished
    assert state.counts() == last.counts == {"complete": 3}
    assert waiting > 10
    fractions = [progress.fraction for progress in shown]
    assert fractions == sorted(fractions)
    assert fractions[0] == pytest.approx(0.25 * len([t for t in state.trials.values() if t.pack == "pack-0000"]))
    assert fractions[-1] == 3
    assert shown[-1] == last
    assert not is_locked(folder.journal)


def test_a_run_that_joined_late_has_done_less():
    trial = Trial(0, {}, Proposals(JOB).ask().run.to_dict(), LOSS, state=TrialState.RUNNING)
    assert _done(trial, 3) == 0.75
    trial.joined = 2
    assert [_done(trial, update) for update in (2, 3, 9)] == [0.0, 0.25, 1.0]


@pytest.mark.slow
def test_a_stop_ends_it_and_the_next_goes_on(tmp_path):
    folder = new_sweep(tmp_path / "s", JOB)

    def stop(progress):
        folder.stop_request.touch()

    last, _ = run_in_process(folder, no_server, stop)
    assert not state_of(folder).finished
    assert not last.exhausted or last.counts.keys() != {"complete"}
    folder.stop_request.unlink()
    last, _ = run_in_process(folder, no_server, lambda progress: None)
    assert last.counts == {"complete": 3}
    assert state_of(folder).finished


@pytest.mark.slow
def test_a_failure_lets_go_of_the_journal_and_can_be_resumed(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", JOB)
    with monkeypatch.context() as patch:
        patch.setattr("oplstm.training.loop.save_pack", full_disk)
        with pytest.raises(WorkError, match="no space"):
            run_in_process(folder, no_server, lambda progress: None)
    assert not is_locked(folder.journal)
    coordinator = opened(folder)
    coordinator.close(flush_seconds=0)
    last, _ = run_in_process(folder, no_server, lambda progress: None)
    assert last.counts == {"complete": 3}


def full_disk(*arguments):
    raise WorkError("no space left")


def seeds(path, count=3):
    fixed = {"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.01}
    budget = {"updates": 4, "validate_every": 2, "validation_tasks": 2, "test_tasks": 2}
    return new_sweep(path, job(None, fixed=fixed, seeds=count, trials=None, budget=budget), kind=SweepKind.FINAL)


@pytest.mark.slow
def test_a_pack_that_is_the_only_one_is_trained_in_this_process(tmp_path, monkeypatch):
    monkeypatch.setattr(pack_processes.PackProcess, "start", None)
    last, _ = run_in_process(seeds(tmp_path / "s", 1), no_server, lambda progress: None, slots=8)
    assert last.counts == {"complete": 1}
    last, _ = run_in_process(seeds(tmp_path / "t", 2), no_server, lambda progress: None, slots=1)
    assert last.counts == {"complete": 2}


def test_a_pack_calls_what_packs_may_call_and_hears_why_it_failed(tmp_path, monkeypatch, coordinators):
    coordinator = coordinators(seeds(tmp_path / "s"))
    with pytest.raises(ValueError, match="a pack called close"):
        _answer(Call("close", ()), coordinator)
    pack = coordinator.next_pack().pack
    assert _answer(Call("joins", (pack, 5, 1)), coordinator) == Answer(())

    def fails(self, points):
        raise WorkError("no space left")

    monkeypatch.setattr(Coordinator, "on_points", fails)
    assert _answer(Call("on_points", ([],)), coordinator) == Answer(error="no space left")


@pytest.mark.slow
def test_no_checkpoint_knows_more_than_the_journal_on_the_disk(tmp_path, monkeypatch):
    folder, on_disk, found, save = new_sweep(tmp_path / "s", JOB), {}, [], loop.save_pack

    def fsync(fd):
        about = os.fstat(fd)
        on_disk[about.st_ino] = about.st_size

    def checked(*arguments):
        about = folder.journal.stat()
        found.append((on_disk.get(about.st_ino), about.st_size))
        save(*arguments)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr(loop, "save_pack", checked)
    run_in_process(folder, no_server, lambda progress: None)
    assert found and all(safe == written for safe, written in found)


def test_a_journal_that_does_not_reach_the_disk_ends_the_work_before_the_checkpoint(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", JOB)

    def lost(journal):
        raise WorkError("the disk is gone")

    monkeypatch.setattr("tracking.journal.journal.Journal.sync", lost)
    with pytest.raises(WorkError, match="the disk is gone"):
        run_in_process(folder, no_server, lambda progress: None)
    assert not list(folder.path.glob("packs/*/update-*"))
