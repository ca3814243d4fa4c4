"""The coordinator: journal first, answers repeated, and a rebuilt one goes on as if it had never stopped."""

import math
import os
from collections import Counter

import pytest

from jobs.store.events import Resumed
from jobs.store.states import TrialState
from jobs.sweep.coordinator import Coordinator
from oplstm.errors import RequestError, WorkError
from oplstm.training.reports import Point, RunEnd
from tests.jobs.formula_training import (
    decisions,
    events,
    finish,
    job,
    loss,
    new_sweep,
    opened,
    placed_by,
    same_state,
    signatures,
    state_of,
    train,
    train_everything,
    training,
)
from tests.journal_lines import groups_in
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

MEDIAN = {"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None}


def point(name, update, milestone, value):
    return Point(name, update, milestone, {"val/loss": value, "val/best": value})


def end(name, state, best=0.5):
    return RunEnd(name, state, 20, 10, {"val/best": best})


def test_a_pack_is_in_the_journal_before_it_is_handed_out(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = coordinators(folder)
    for number in range(2):
        assignment = coordinator.next_pack()
        written = state_of(folder)
        assert assignment.pack == f"pack-{number:04d}"
        assert [written.by_name[name].pack for name in assignment.trials] == [assignment.pack]
        assert [written.by_name[name].state for name in assignment.trials] == ["running"]
        assert same_state(folder, coordinator)
    assert coordinator.next_pack() is None
    assert state_of(folder).exhausted


def test_a_pack_that_the_journal_refuses_is_not_handed_out(tmp_path, coordinators, monkeypatch):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates")))
    with monkeypatch.context() as patch:
        patch.setattr(coordinator._journal, "append", lambda records: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            coordinator.next_pack()
    assert coordinator.state.trials == {}


def test_after_work_that_failed_nothing_is_written_and_resume_finds_it_as_it_was(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    coordinator = opened(folder)
    assignment = coordinator.next_pack()
    steps = training(coordinator, assignment)
    next(steps), next(steps)
    written = folder.journal.read_bytes()
    coordinator.give_up("the disk is full")
    coordinator.give_up("and so it goes on")
    assert coordinator.stopping()
    assert coordinator.next_pack() is None
    with pytest.raises(WorkError, match="the disk is full"):
        next(steps)
    coordinator.pack_failed(assignment.pack, "failed: its process died")
    assert coordinator.progress().failure == "the disk is full"
    coordinator.close(flush_seconds=0)
    assert folder.journal.read_bytes() == written
    finish(folder)
    never = new_sweep(tmp_path / "never", job("rates", trials=3))
    finish(never)
    assert decisions(folder) == decisions(never)


def test_a_journal_that_cannot_be_written_is_the_end_of_the_work(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", job("rates"))
    coordinator = opened(folder)
    with monkeypatch.context() as patch:
        patch.setattr(coordinator._journal, "append", full_disk)
        with pytest.raises(WorkError, match="no space"):
            coordinator.next_pack()
    assert coordinator.progress().failure == "no space left"
    assert coordinator.next_pack() is None
    coordinator.close(flush_seconds=0)


def full_disk(records):
    raise WorkError("no space left")


def test_every_run_is_created_after_its_parent_and_before_its_points(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    finish(folder)
    seen = set()
    for record in Journal.read(folder.journal):
        if record["kind"] == "track" and record["op"] == "create_run":
            assert record["key"] not in seen
            assert record["parent_key"] is None or record["parent_key"] in seen
            seen.add(record["key"])
        elif record["kind"] == "track":
            assert record["key"] in seen, record["op"]
    assert seen == {"id-of-s", *(f"id-of-s/trial-{number:04d}" for number in range(3))}


def test_a_trial_goes_from_waiting_to_running_to_its_end(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=4, resources={"pack": 2}))
    coordinator = coordinators(folder)
    assignment = coordinator.next_pack()
    states = {trial.name: trial.state for trial in coordinator.state.trials.values()}
    assert Counter(states.values()) == {"running": 2, "waiting": 2}
    assert {states[name] for name in assignment.trials} == {"running"}
    first, second = assignment.trials
    coordinator.on_ends([end(first, "complete"), end(second, "stopped")])
    assert (coordinator.state.by_name[first].state, coordinator.state.by_name[second].state) == ("complete", "stopped")
    assert same_state(folder, coordinator)


def test_repeated_points_are_answered_as_before_and_written_once(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3, pruner=MEDIAN))
    coordinator = coordinators(folder)
    train(coordinator, coordinator.next_pack(), lambda run, milestone: 1.0 / (1 + milestone))
    [name] = coordinator.next_pack().trials
    story = [point(name, milestone // 2, milestone, 2.0) for milestone in (0, 10, 20)]
    answers = [coordinator.on_points([told]) for told in story]
    assert answers == [[], [name], [name]]
    written = list(Journal.read(folder.journal))
    assert [coordinator.on_points([told]) for told in story] == answers
    assert coordinator.on_points(story) == [name, name]
    assert list(Journal.read(folder.journal)) == written


def test_points_of_one_pack_are_decided_one_by_one_and_written_together(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3, pruner=MEDIAN, resources={"pack": 3}))
    coordinator = coordinators(folder)
    names = coordinator.next_pack().trials
    coordinator.on_ends([])
    coordinator.on_points([point(name, 0, 0, 1.0) for name in names])
    coordinator.on_points([point(names[0], 5, 10, 0.1)])
    coordinator.on_ends([end(names[0], "complete", 0.1)])
    assert coordinator.on_points([point(names[1], 5, 10, 0.05), point(names[2], 5, 10, 0.9)]) == [names[2]]
    last = groups_in(folder.journal.read_bytes())[-1]
    assert [record["trial"] for record in last if "event" in record] == [*names[1:]]
    assert [record["key"] for record in last if record["kind"] == "track"] == [f"id-of-s/{name}" for name in names[1:]]


def test_the_untrained_point_and_the_last_one_prune_nothing(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, pruner=MEDIAN))
    coordinator = coordinators(folder)
    train(coordinator, coordinator.next_pack(), lambda run, milestone: 0.1)
    [name] = coordinator.next_pack().trials
    assert coordinator.on_points([point(name, 0, 0, 9.0)]) == []
    assert coordinator.on_points([point(name, 20, 40, 9.0)]) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_prunes_nothing_and_leaves_a_point(value, tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, pruner=MEDIAN))
    coordinator = coordinators(folder)
    train(coordinator, coordinator.next_pack(), lambda run, milestone: 0.1)
    [name] = coordinator.next_pack().trials
    metrics = {"val/loss": value, "val/best": math.inf, "train/loss": math.nan, "tasks_seen": 20.0}
    assert coordinator.on_points([Point(name, 5, 10, metrics)]) == []
    assert coordinator.on_points([Point(name, 5, 10, metrics)]) == []
    coordinator.on_ends([RunEnd(name, "diverged", 5, 0, {"val/best": math.inf}, "diverged: at update 5")])
    trial = state_of(folder).by_name[name]
    assert (trial.state, trial.note, trial.best) == ("diverged", "diverged: at update 5", None)
    assert trial.points == [{"update": 5, "tasks_seen": 20.0}]
    assert coordinator.state.leader().name == "trial-0000"
    tracked = [record for record in Journal.read(folder.journal) if record.get("key") == f"id-of-s/{name}"]
    ends = [record["metrics"] for record in tracked if "diverged" in record.get("metrics", {})]
    assert [(metrics["diverged"], metrics["train/hours"]) for metrics in ends] == [(1.0, 0.0)]
    assert [record["status"] for record in tracked if record["op"] == "end_run"] == ["FAILED"]


def own_curve(records):
    """The curve of the sweep's own run: the best validation against the number of trials that have ended."""
    return [
        (record["step"], record["metrics"]["val/best"])
        for record in records
        if (record.get("key"), record.get("op")) == ("id-of-s", "points")
    ]


def test_a_run_that_stops_adds_nothing_to_the_sweeps_own_curve(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, resources={"pack": 2}))
    coordinator = coordinators(folder)
    first, second = coordinator.next_pack().trials
    coordinator.on_points([point(first, 5, 10, 0.3), point(second, 5, 10, 0.4)])
    coordinator.on_ends([end(first, "stopped")])
    assert own_curve(Journal.read(folder.journal)) == []
    coordinator.on_ends([end(second, "complete")])
    assert own_curve(Journal.read(folder.journal)) == [(1, 0.3)]


@pytest.mark.parametrize(("state", "best"), [("complete", 0.3), ("pruned", 0.3), ("diverged", 0.4), ("failed", 0.4)])
def test_an_end_and_the_best_so_far_are_written_together(state, best, tmp_path, coordinators):
    """A kill between two writes would lose the second for ever."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, sampler={"name": "TPESampler"}))
    coordinator = coordinators(folder)
    first, second = (coordinator.next_pack() for _ in range(2))
    coordinator.on_points([point(first.trials[0], 5, 10, 0.3)])
    coordinator.on_points([point(second.trials[0], 5, 10, 0.4)])
    if state == "failed":
        coordinator.pack_failed(first.pack, "it died")
    else:
        coordinator.on_ends([end(first.trials[0], state)])
    last = groups_in(folder.journal.read_bytes())[-1]
    assert [(record["trial"], record["state"]) for record in last if "event" in record] == [(first.trials[0], state)]
    assert [record["op"] for record in last if record.get("key") == f"id-of-s/{first.trials[0]}"][-1] == "end_run"
    assert own_curve(last) == [(1, best)]


def test_an_end_is_written_once_and_never_changes(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = coordinators(folder)
    [name] = coordinator.next_pack().trials
    coordinator.on_ends([end(name, "pruned")])
    written = folder.journal.read_bytes()
    coordinator.on_ends([end(name, "complete"), end(name, "stopped")])
    assert coordinator.on_points([point(name, 15, 30, 0.1)]) == [name]
    coordinator.pack_failed("pack-0000", "it died")
    assert folder.journal.read_bytes() == written
    assert coordinator.state.by_name[name].state == "pruned"


def test_a_failed_pack_fails_what_has_not_ended_and_the_sweep_goes_on(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("six_cells", trials=6, sampler={"name": "grid"}, resources={"pack": 3}))
    coordinator = coordinators(folder)
    assignment = coordinator.next_pack()
    coordinator.on_points([point(name, 5, 10, 0.5) for name in assignment.trials])
    coordinator.on_ends([end(assignment.trials[0], "pruned")])
    coordinator.pack_failed(assignment.pack, "failed: its process died")
    coordinator.pack_failed(assignment.pack, "failed: its process died")
    coordinator.pack_failed("pack-9999", "nobody knows it")
    states = [coordinator.state.by_name[name].state for name in assignment.trials]
    assert states == ["pruned", "failed", "failed"]
    assert coordinator.state.by_name[assignment.trials[1]].note == "failed: its process died"
    train_everything(coordinator)
    assert coordinator.state.counts() == {"pruned": 1, "failed": 2, "complete": 2, "diverged": 1}
    assert same_state(folder, coordinator)


def test_the_error_of_the_last_try_is_the_note_of_a_failed_trial_and_its_traceback_an_artifact(
    tmp_path, coordinators, monkeypatch
):
    synced = set()
    monkeypatch.setattr("oplstm.durable.sync", synced.add)
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = coordinators(folder)
    first, second = coordinator.next_pack(), coordinator.next_pack()
    coordinator.tried(first.pack, "Traceback\nZeroDivisionError: an earlier one\n")
    coordinator.tried(first.pack, "Traceback (most recent call last):\n  File ...\nValueError: too wide\n\n")
    coordinator.pack_failed(first.pack, "failed: its process died")
    coordinator.pack_failed(second.pack, "failed: its process died")
    notes = [coordinator.state.by_name[assignment.trials[0]].note for assignment in (first, second)]
    assert notes == ["failed on every try: ValueError: too wide", "failed: its process died"]
    kept = folder.path / "failures" / first.trials[0] / "error.txt"
    assert kept.read_text().endswith("ValueError: too wide\n\n")
    assert [path.parent.name for path in folder.path.glob("failures/*/error.txt")] == [first.trials[0]]
    artifacts = [record for record in Journal.read(folder.journal) if record.get("op") == "artifact"]
    assert [record["path"] for record in artifacts] == [f"failures/{first.trials[0]}/error.txt"]
    assert {folder.path, *kept.parents[:2]} <= synced, "a power cut leaves what the journal names"


@pytest.mark.parametrize(
    ("errors", "stops"),
    [
        (["E: a", "E: a", "E: a"], True),
        (["E: a", "E: b", "E: a", "E: a"], False),
        (["E: b", "E: a", "E: a", "E: a"], True),
        (["E: a", "E: a", None, "E: a"], False),
        (["E: a", "E: a", "complete", "E: a"], False),
        ([None] * 5, False),
    ],
)
def test_three_packs_in_a_row_that_fail_alike_end_the_work(errors, stops, tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=8))
    coordinator = coordinators(folder)
    for error in errors:
        assignment = coordinator.next_pack()
        if error == "complete":
            coordinator.on_ends([end(assignment.trials[0], "complete")])
            continue
        if error is not None:
            coordinator.tried(assignment.pack, f"Traceback\n{error}\n")
        coordinator.pack_failed(assignment.pack, "failed: its process died")
    failure = coordinator.progress().failure
    assert failure == ("3 packs in a row failed alike: E: a; resume goes on with what is left" if stops else None)
    assert (coordinator.next_pack() is None) == stops


def test_a_sweep_ends_as_finished_with_its_best_trial(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    state = finish(folder)
    assert state.finished
    assert state.exhausted
    best = min(state.trials.values(), key=lambda trial: loss(trial.config, 40))
    assert state.leader() is state.by_name[best.name]
    last = [record for record in Journal.read(folder.journal) if record.get("key") == "id-of-s"]
    assert last[-1]["status"] == "FINISHED"
    tags = next(record["tags"] for record in reversed(last) if record["op"] == "tags")
    assert tags.pop("oplstm.view") == '["s", "val/best", true]'
    assert tags == {"oplstm.state": "complete", "oplstm.trials_complete": "3", "oplstm.leader": best.name}
    curve = own_curve(last)
    assert [step for step, _ in curve] == [1, 2, 3]
    assert curve[-1][1] == loss(best.config, 40)


def test_the_study_of_a_sweep_that_has_ended_is_on_the_disk(tmp_path, monkeypatch):
    """Nothing would make it again but `doctor --repair`."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr("os.fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    folder = new_sweep(tmp_path / "s", job("rates", trials=1))
    finish(folder)
    assert str(folder.study) in synced


def test_progress_adds_up(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=2)))
    assert (coordinator.progress().fraction, coordinator.progress().limit) == (0, 2)
    steps = training(coordinator, coordinator.next_pack())
    assert [next(steps) and coordinator.progress().fraction for _ in range(3)] == [0, 0.25, 0.5]
    list(steps)
    progress = coordinator.progress()
    assert (progress.fraction, progress.asked, progress.exhausted) == (1.0, 1, False)
    assert progress.counts == {"complete": 1}
    assert progress.leader == "trial-0000"
    assert progress.waiting_records > 0


@pytest.mark.slow
def test_one_process_a_sweep(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job())
    coordinators(folder)
    with pytest.raises(RequestError, match="is in use by process"):
        opened(folder)


def test_a_dead_tracking_server_is_seen_in_the_progress_and_holds_nothing_up(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = Coordinator(folder, "http://127.0.0.1:9")
    train_everything(coordinator)
    assert coordinator.close(flush_seconds=0) > 10
    assert state_of(folder).finished


@pytest.mark.parametrize("sampler", ["grid", "RandomSampler"])
def test_packs_hold_one_signature_and_every_trial_is_in_one_pack(sampler, tmp_path):
    limits = {"trials": None if sampler == "grid" else 100, "sampler": {"name": sampler}}
    folder = new_sweep(tmp_path / "s", job("six_cells", resources={"pack": 2}, **limits))
    state = finish(folder)
    assert len(state.trials) == 6
    assert [len(pack.trials) for pack in state.packs.values()] == [3, 3], "a run that diverges makes room for another"
    assert all(len(found) == 1 for found in signatures(state).values())
    placed = [name for event in decisions(folder) for name in placed_by(event)]
    assert len(placed) == len(set(placed)) == 6


def test_a_full_pack_of_four_and_one_for_the_rest(tmp_path):
    state = finish(new_sweep(tmp_path / "s", job("rates", trials=9, resources={"pack": 4})))
    assert sorted(Counter(trial.pack for trial in state.trials.values()).values()) == [1, 4, 4]


def test_an_adaptive_sampler_is_asked_for_one_pack_at_a_time(tmp_path, coordinators):
    of = job("rates", trials=9, sampler={"name": "TPESampler"}, resources={"pack": 2})
    coordinator = coordinators(new_sweep(tmp_path / "s", of))
    assert len(coordinator.next_pack().trials) == 2
    assert len(coordinator.state.trials) == 2


def test_a_stop_hands_out_nothing_more_and_what_stopped_goes_on(tmp_path):
    of = job("rates", trials=3, resources={"pack": 2})
    folder = new_sweep(tmp_path / "s", of)
    coordinator = opened(folder)
    assignment = coordinator.next_pack()
    steps = training(coordinator, assignment)
    next(steps), next(steps)
    folder.stop_request.touch()
    coordinator.on_ends([RunEnd(name, "stopped", 5, 5, {"val/best": 0.5}) for name in assignment.trials])
    assert coordinator.next_pack() is None
    coordinator.close(flush_seconds=0)
    state = state_of(folder)
    assert state.counts() == {"stopped": 2, "waiting": 1}
    assert not state.finished
    assert not state.exhausted or len(state.trials) == 3

    coordinator = opened(folder)
    again = coordinator.next_pack()
    assert again == assignment
    coordinator.started(again.pack, {})
    assert coordinator.state.counts() == {"running": 2, "waiting": 1}
    assert same_state(folder, coordinator)
    train(coordinator, again)
    train_everything(coordinator)
    coordinator.close(flush_seconds=0)
    assert state_of(folder).counts() == {"complete": 3}
    reopened = [r["key"] for r in Journal.read(folder.journal) if r.get("op") == "reopen_run"]
    assert reopened == ["id-of-s", *(f"id-of-s/{name}" for name in assignment.trials)]

    never = new_sweep(tmp_path / "never", of)
    finish(never)
    story = [event for event in decisions(folder) if getattr(event, "state", None) is not TrialState.STOPPED]
    assert story == decisions(never)


def test_a_sweep_between_two_packs_is_reopened_too(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    coordinator.close(flush_seconds=0)
    before = list(Journal.read(folder.journal))
    assert before[-1]["op"] == "end_run"
    finish(folder)
    after = list(Journal.read(folder.journal))[len(before) :]
    assert after[0]["event"] == "resumed"
    assert (after[1]["op"], after[1]["key"]) == ("reopen_run", "id-of-s")


def test_each_resume_says_with_what_it_went_on(tmp_path, monkeypatch):
    """Beside what the sweep was created with, which stays."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    for version in ("1.0", "2.0", "3.0"):
        monkeypatch.setattr("jobs.sweep.coordinator.provenance", lambda version=version: {"version.torch": version})
        coordinator = opened(folder)
        next(training(coordinator, coordinator.next_pack()))
        coordinator.close(flush_seconds=0)
    resumed = [event.provenance for event in events(folder) if isinstance(event, Resumed)]
    assert resumed == [{"version.torch": "2.0"}, {"version.torch": "3.0"}]
    tags = [record for record in Journal.read(folder.journal) if record.get("op") == "tags"]
    for key in ("id-of-s", "id-of-s/trial-0000"):
        told = [record["tags"] for record in tags if record["key"] == key and "oplstm.resumes" in record["tags"]]
        assert [(one["oplstm.resumes"], one[f"resume.{i}.version.torch"]) for i, one in enumerate(told, start=1)] == [
            ("1", "2.0"),
            ("2", "3.0"),
        ]
        assert not any("version.torch" in one for one in told)


def test_a_fresh_sweep_is_not_reopened(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=1))
    finish(folder)
    assert not [record for record in Journal.read(folder.journal) if record.get("op") == "reopen_run"]


def test_a_pack_comes_back_with_all_its_runs(tmp_path):
    """The last checkpoint may be from before the end of one of them."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, resources={"pack": 2}))
    coordinator = opened(folder)
    assignment = coordinator.next_pack()
    coordinator.started(assignment.pack, {})
    coordinator.on_ends([end(assignment.trials[0], "pruned")])
    coordinator.close(flush_seconds=0)
    coordinator = opened(folder)
    assert coordinator.next_pack() == assignment
    coordinator.close(flush_seconds=0)


def test_packs_are_handed_out_again_in_their_order(tmp_path):
    """Else one that nobody has begun would be trained first, and who joins whom would be another story."""
    folder, packs = new_sweep(tmp_path / "s", job("rates", trials=6, resources={"pack": 2})), []
    for _ in range(2):
        coordinator = opened(folder)
        packs.append([coordinator.next_pack(slots=1).pack for _ in range(2)])
        coordinator.close(flush_seconds=0)
    assert packs[0] == packs[1]


def test_a_pack_whose_runs_have_all_ended_is_not_started(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=1)))
    assignment = coordinator.next_pack()
    assert coordinator.started(assignment.pack, {}) is not None
    coordinator.on_ends([end(assignment.trials[0], "complete")])
    assert None is coordinator.started(assignment.pack, {})


def test_names_of_ones_own_reach_mlflow_in_characters_that_it_takes(tmp_path):
    folder = new_sweep(tmp_path / "s", job("named_as_one_likes", trials=2))
    finish(folder)
    created = [record for record in Journal.read(folder.journal) if record.get("op") == "create_run"]
    assert "space.Lernrate ___ _" in created[1]["params"]
