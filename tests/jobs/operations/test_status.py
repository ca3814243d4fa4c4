"""`oplstm status`: what the journals say, of sweeps that run, have stopped, have ended or are damaged."""

import json
import time

import pytest

from jobs.operations.status import Damaged, all_status, sweep_status
from jobs.operations.watching import watch
from jobs.store.events import Promoted, encode
from jobs.store.home import Home
from jobs.store.intervals import StatedInterval
from oplstm.training.reports import Point, RunEnd
from tests.jobs.formula_training import finish, job, new_sweep, opened, train, training
from tests.journal_lines import resealed
from tracking.journal.journal import Journal
from tracking.outbox.refusals import Refusal, RefusedFile
from tracking.outbox.silence import SilenceFile

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_a_sweep_that_has_not_begun(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job())
    status = sweep_status(folder)
    assert status.to_json(trials=True) == {
        "name": "s",
        "kind": "sweep",
        "state": "stopped",
        "counts": {},
        "best": None,
        "leader": None,
        "promoted": None,
        "folder": str(folder.path),
        "trials": (),
        "replicates": (),
        "tracking": {"waiting": 0, "silent_since": None, "reason": None, "refused": 0, "last_refusal": None},
        "archived": False,
        "concurrent": None,
    }
    assert "trials" not in status.to_json(trials=False)


def test_running_then_stopped_then_complete(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    steps = training(coordinator, coordinator.next_pack())
    next(steps), next(steps)
    assert sweep_status(folder).state == "running"
    assert sweep_status(folder).counts == {"complete": 1, "running": 1}
    coordinator.on_ends([RunEnd("trial-0001", "stopped", 5, 5, {"val/best": 0.5})])
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder)
    assert (status.state, status.counts) == ("stopped", {"complete": 1, "stopped": 1})
    assert {trial.name: trial.fraction for trial in status.trials} == {"trial-0000": 1.0, "trial-0001": 0.25}
    finish(folder)
    assert sweep_status(folder).state == "complete"


def test_who_watches_sees_every_step_until_the_sweep_runs_no_more(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=2))
    coordinator, waits = opened(folder), []
    steps = training(coordinator, coordinator.next_pack())

    def wait(seconds):
        waits.append(seconds)
        if next(steps, None) is None:
            coordinator.close(flush_seconds=0)

    seen = list(watch(folder, wait=wait, clock=lambda: 0.0))
    assert [status.state for status in seen] == ["running"] * (len(seen) - 1) + ["stopped"]
    assert [status.trials[0].fraction for status in seen] == [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert waits == [1.0] * 6
    finish(folder)
    [last] = watch(folder, wait=None)
    assert last.state == "complete"


def test_a_look_that_takes_long_is_followed_by_a_longer_pause(oplstm_home):
    coordinator = opened(new_sweep(oplstm_home / "sweeps" / "s", job("rates")))
    ticks, waits = iter([0.0, 2.0, 10.0, 10.0]), []

    def wait(seconds):
        waits.append(seconds)
        coordinator.close(flush_seconds=0)

    assert len(list(watch(coordinator.folder, wait=wait, clock=lambda: next(ticks)))) == 2
    assert waits == [10.0]


def test_trials_are_ranked_by_their_best_validation(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=4, fixed={}))
    coordinator = opened(folder)
    for value in (0.4, 0.1, None, 0.3):
        assignment = coordinator.next_pack()
        if value is not None:
            train(coordinator, assignment, lambda run, milestone, value=value: value)
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder)
    assert [(trial.name, trial.best) for trial in status.trials] == [
        ("trial-0001", 0.1),
        ("trial-0003", 0.3),
        ("trial-0000", 0.4),
        ("trial-0002", None),
    ]
    assert (status.leader, status.best) == ("trial-0001", 0.1)


def test_what_diverged_or_failed_never_leads_and_what_failed_was_lost(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    coordinator = opened(folder)
    for state in ("diverged", "failed", "complete"):
        [name] = coordinator.next_pack().trials
        best = {"diverged": 0.1, "failed": 0.2, "complete": 0.9}[state]
        coordinator.on_points([Point(name, 5, 10, {"val/loss": best, "val/best": best})])
        assert not sweep_status(folder).has_result
        if state == "failed":
            coordinator.pack_failed(coordinator.state.by_name[name].pack, "it died")
        else:
            coordinator.on_ends([RunEnd(name, state, 5, 5, {"val/best": best}, "a note")])
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder)
    assert (status.leader, status.best) == ("trial-0002", 0.9)
    assert [trial.note for trial in status.trials] == ["a note", "it died", "a note"]
    assert (status.state, status.has_result) == ("incomplete", True)
    assert [trial.name for trial in status.lost] == ["trial-0001"]


def test_a_run_that_never_came_into_a_pack_was_not_lost(oplstm_home):
    """A point that turned out to be impossible: nobody's work is missing."""
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=1))
    with Journal(folder.journal) as journal:
        for event in (
            {"event": "refused", "trial": 0, "params": {}, "draws": 1, "state": "failed", "reason": "failed: no"},
            {"event": "finished"},
        ):
            journal.append([{"kind": "sweep", **event}])
    status = sweep_status(folder)
    assert (status.state, status.lost, status.has_result) == ("complete", (), False)


def test_what_mlflow_does_not_have(oplstm_home):
    """As the files of the outbox have it, which outlive it."""
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=1))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    coordinator.close(flush_seconds=0)  # it writes such files itself
    SilenceFile(folder.path / "journal.jsonl.silent").note(None)
    SilenceFile(folder.path / "journal.jsonl.silent").note("no answer")
    refused = RefusedFile(folder.path / "journal.jsonl.refused")
    refused.add(Refusal("id-of-s/trial-0000", "metric", "too long", count=2, time=5.0))
    refused.add(Refusal("id-of-s", "param", "changed", time=4.0))
    refused.save()
    told = sweep_status(folder).tracking
    assert (told.waiting > 5, told.reason, told.refused) == (True, "no answer", 3)
    assert told.last_refusal == "id-of-s/trial-0000 metric: too long"
    assert abs(told.silent_since - time.time()) < 60


def test_all_sweeps_and_what_was_promoted(small_sweep):
    new_sweep(Home().sweeps / "second", job())
    assert sweep_status(small_sweep).promoted is None
    with Journal(small_sweep.journal) as journal:
        journal.append([encode(Promoted(picked="trial-0001", score_b=StatedInterval(0.1, None), leaders=()))])
    rows = all_status(Home())
    assert {row.name: (row.state, row.promoted) for row in rows} == {
        "small": ("complete", "trial-0001"),
        "second": ("stopped", None),
    }
    assert rows[0].counts == {"complete": 3}


def cut(text):
    return text[: len(text) // 2]


def other_version(text):
    return json.dumps(json.loads(text) | {"version": 99})


def without_a_job(text):
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "job"})


def without_what_was_asked(text):
    lines = text.encode().splitlines(keepends=True)
    return resealed([line for line in lines if b'"asked"' not in line]).decode()


def with_another_number(text):
    return text.replace('"passes":1', '"passes":2', 1)


DAMAGES = {
    "a header that is cut": ("sweep.json", cut, "sweep.json is no header of a sweep"),
    "a header of another version": ("sweep.json", other_version, "sweep.json has format version 99"),
    "a header without a job": ("sweep.json", without_a_job, "sweep.json is damaged: job: Field required"),
    "a journal without an event": ("journal.jsonl", without_what_was_asked, "it names 'trial-000"),
    "a journal with another number": ("journal.jsonl", with_another_number, "journal.jsonl, line 3: its checksum is "),
    "another journal": ("journal.jsonl", lambda text: "nonsense\n" + text, "journal.jsonl"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_sweep_is_one_line_and_hides_no_other(kind, small_sweep):
    new_sweep(Home().sweeps / "second", job())
    name, damage, wanted = DAMAGES[kind]
    path = small_sweep.path / name
    path.write_text(damage(path.read_text()))
    damaged, sound = sorted(all_status(Home()), key=lambda row: row.name == "second")
    assert isinstance(damaged, Damaged)
    assert wanted in damaged.problem
    assert "\n" not in damaged.problem
    assert damaged.to_json() == {"name": "small", "state": "damaged", "problem": damaged.problem}
    assert (sound.name, sound.state) == ("second", "stopped")
