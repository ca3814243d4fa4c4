"""`oplstm status`: what the journals say, of sweeps that run, have stopped or have ended."""

import pytest

from jobs.operations.status import all_status, sweep_status
from jobs.store.home import Home
from oplstm.training.reports import Point, RunEnd
from tests.jobs.formula_training import finish, job, new_sweep, opened, train, training
from tracking.journal.journal import Journal

pytestmark = [pytest.mark.unit, pytest.mark.usefixtures("no_waiting_for_the_disk")]


def test_a_sweep_that_has_not_begun(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job())
    assert sweep_status(folder, trials=True) == {
        "name": "s",
        "kind": "sweep",
        "state": "stopped",
        "counts": {},
        "best": None,
        "leader": None,
        "promoted": None,
        "folder": str(folder.path),
        "trials": [],
    }


def test_running_then_stopped_then_complete(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    steps = training(coordinator, coordinator.next_pack())
    next(steps), next(steps)
    assert sweep_status(folder)["state"] == "running"
    assert sweep_status(folder)["counts"] == {"complete": 1, "running": 1}
    coordinator.on_ends([RunEnd("trial-0001", "stopped", 5, 5, {"val/best": 0.5})])
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder, trials=True)
    assert (status["state"], status["counts"]) == ("stopped", {"complete": 1, "stopped": 1})
    assert {trial["name"]: trial["fraction"] for trial in status["trials"]} == {"trial-0000": 1.0, "trial-0001": 0.25}
    finish(folder)
    assert sweep_status(folder)["state"] == "complete"


def test_trials_are_ranked_by_their_best_validation(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=4, fixed={}))
    coordinator = opened(folder)
    for value in (0.4, 0.1, None, 0.3):
        assignment = coordinator.next_pack()
        if value is not None:
            train(coordinator, assignment, lambda run, milestone, value=value: value)
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder, trials=True)
    assert [(trial["name"], trial["best"]) for trial in status["trials"]] == [
        ("trial-0001", 0.1),
        ("trial-0003", 0.3),
        ("trial-0000", 0.4),
        ("trial-0002", None),
    ]
    assert (status["leader"], status["best"]) == ("trial-0001", 0.1)


def test_what_diverged_or_failed_never_leads(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    coordinator = opened(folder)
    for state in ("diverged", "failed", "complete"):
        [name] = coordinator.next_pack()["names"]
        steps = {"diverged": 0.1, "failed": 0.2, "complete": 0.9}[state]
        coordinator.on_points(points_at(name, steps))
        if state == "failed":
            coordinator.pack_failed(coordinator.state.by_name[name].pack, "it died")
        else:
            coordinator.on_ends([RunEnd(name, state, 5, 5, {"val/best": steps}, "a note")])
    coordinator.close(flush_seconds=0)
    status = sweep_status(folder, trials=True)
    assert (status["leader"], status["best"]) == ("trial-0002", 0.9)
    assert [trial["note"] for trial in status["trials"]] == ["a note", "it died", "a note"]


def points_at(name, value):
    return [Point(name, 5, 10, {"val/loss": value, "val/best": value})]


def test_all_sweeps_and_what_was_promoted(small_sweep):
    new_sweep(Home().sweeps / "second", job())
    assert sweep_status(small_sweep)["promoted"] is None
    with Journal(small_sweep.journal) as journal:
        journal.append([{"kind": "sweep", "event": "promoted", "picked": "trial-0001"}])
    rows = all_status(Home())
    assert {row["name"]: (row["state"], row["promoted"]) for row in rows} == {
        "small": ("complete", "trial-0001"),
        "second": ("stopped", None),
    }
    assert rows[0]["counts"] == {"complete": 3}
