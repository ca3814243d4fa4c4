"""What users ask of a running sweep: taken up once, journaled, replayed, whatever is killed in between."""

import json

import pytest

from jobs.operations.study_check import study_problems
from jobs.store import requests
from jobs.store.events import Asked, Ended, Joined, Packed, Validated
from jobs.store.live import Declined, Limited, TakenOut
from jobs.store.requests import Add, Limit, Prune
from oplstm.errors import WorkError
from tests.jobs.formula_training import (
    events,
    finish,
    job,
    new_sweep,
    opened,
    same_state,
    state_of,
    train,
    train_everything,
    training,
)
from tests.jobs.sweep.test_coordinator_stories import copy_of
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

PACK = {"resources": {"pack": 2}}
GRID = {"sampler": {"name": "grid"}, "trials": None}


def tags_of(folder, trial=None):
    key = "id-of-s" if trial is None else f"id-of-s/{trial}"
    found = {}
    for record in Journal.read(folder.journal):
        if record.get("key") == key:
            found |= record.get("tags", {})
    return found


def of(folder, *kinds):
    return [event for event in events(folder) if isinstance(event, kinds)]


def sound(folder):
    """Nothing is left of the requests, and the study is the journal's."""
    state = state_of(folder)
    assert not list(requests.left(folder))
    assert list(study_problems(folder, opened_header(folder), state)) == []
    return state


def opened_header(folder):
    from jobs.store.header import Header

    return Header.read(folder)


def test_a_trial_that_runs_is_pruned_at_its_next_point_and_its_pack_goes_on_without_it(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, **PACK))
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    next(steps)
    requests.ask(folder, Prune(trial="trial-0000"))
    coordinator.progress()
    assert of(folder, TakenOut)[0].waits is False
    assert not list(requests.left(folder))
    assert coordinator.state.by_name["trial-0000"].state == "running"
    next(steps)
    assert coordinator.state.by_name["trial-0000"].state == "pruned"
    list(steps)
    coordinator.close(flush_seconds=0)
    state = sound(folder)
    assert state.counts() == {"pruned": 1, "complete": 1}
    assert (state.by_name["trial-0000"].note, len(state.by_name["trial-0000"].points)) == ("pruned by hand", 2)
    assert [event.prune for event in of(folder, Validated) if event.trial == "trial-0000"] == [False, True]
    tags = tags_of(folder, "trial-0000")
    assert (tags["oplstm.pruned"], tags["oplstm.state"]) == ("by hand", "pruned")


def test_a_trial_that_waits_is_pruned_at_once_and_never_trained(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3, **PACK))
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    next(steps)
    [waits] = coordinator.state.waiting.trials
    requests.ask(folder, Prune(trial=waits))
    coordinator.progress()
    assert same_state(folder, coordinator)
    list(steps)
    train_everything(coordinator)
    coordinator.close(flush_seconds=0)
    state = sound(folder)
    assert state.counts() == {"pruned": 1, "complete": 2}
    assert state.finished
    assert (state.by_name[waits].pack, state.by_name[waits].points) == (None, [])
    ops = [record["op"] for record in Journal.read(folder.journal) if record.get("key") == f"id-of-s/{waits}"]
    assert ops == ["create_run", "tags", "end_run"]


def test_a_trial_is_pruned_at_its_last_point_too_and_by_the_journal_after_a_kill(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=1))
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    [next(steps) for _ in range(4)]
    requests.ask(folder, Prune(trial="trial-0000"))
    coordinator.progress()
    coordinator.close(flush_seconds=0)
    state = finish(folder)  # from the beginning: points that are known are answered as they were
    assert [event.prune for event in of(folder, Validated)] == [False] * 4 + [True]
    assert state.counts() == {"pruned": 1}


def test_an_added_point_comes_into_the_next_pack_beyond_the_trials_of_the_job(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    requests.ask(folder, Add(values={"lr": 0.05}))
    requests.ask(folder, Add(like="trial-0000", values={"lr": 0.06}))
    coordinator.progress()
    assert coordinator.progress().limit == 5
    assert coordinator.next_pack().trials == ("trial-0001",)
    assert coordinator.next_pack().trials == ("trial-0002",)
    coordinator.close(flush_seconds=0)
    state = finish(folder)
    sound(folder)
    assert [trial.params["lr"] for trial in state.trials.values()][1:3] == [0.05, 0.06]
    assert (len(state.trials), state.counts()) == (5, {"complete": 5})
    never = new_sweep(tmp_path / "never", job("rates", trials=3))
    assert {str(trial.params) for trial in finish(never).trials.values() if trial.number == 0} <= {
        str(trial.params) for trial in state.trials.values()
    }
    tags = tags_of(folder, "trial-0002")
    assert (tags["oplstm.added"], tags["oplstm.added_like"]) == ("by hand", "trial-0000")
    assert "oplstm.added" not in tags_of(folder, "trial-0000")


def test_an_added_point_is_trained_where_there_was_nothing_more_to_ask_for(tmp_path):
    """The longest wait in packs for those that are added."""
    folder = new_sweep(tmp_path / "s", job("many_costs", trials=4, **PACK))
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    next(steps)
    assert len(coordinator.state.trials) == 4
    requests.ask(folder, Add(values={"passes": 1, "tasks": 1, "lr": 0.01}))
    coordinator.progress()
    assert coordinator.next_pack(2).trials[0] == "trial-0004"
    coordinator.close(flush_seconds=0)
    assert finish(folder).counts() == {"complete": 5}
    sound(folder)


def test_a_grid_goes_on_as_if_it_were_not_there_and_trains_no_cell_twice(tmp_path):
    folder = new_sweep(tmp_path / "s", job("six_cells", **GRID))
    coordinator = opened(folder)
    coordinator.next_pack()
    requests.ask(folder, Add(values={"hidden": 3, "lr": 0.2}))
    coordinator.progress()
    coordinator.close(flush_seconds=0)
    state = finish(folder)
    never = new_sweep(tmp_path / "never", job("six_cells", **GRID))
    cells = [str(trial.params) for trial in finish(never).trials.values()]
    found = [str(trial.params) for trial in state.trials.values()]
    assert (found[1], sorted(found)) == (str({"hidden": 3, "lr": 0.2}), sorted(cells))
    assert [cell for cell in found if cell != found[1]] == [cell for cell in cells if cell != found[1]]
    sound(folder)


FAULTS = [
    (Add(values={}), ["hidden: is required, one of 2, 3", "lr: is required, one of 0.3, 0.2, 0.1"]),
    (
        Add(values={"hidden": 4, "lr": True, "rate": 1}),
        ["hidden: must be one of 2, 3, got 4", "lr: must be one of 0.3, 0.2, 0.1, got True", "rate: unknown 'rate'; "],
    ),
    (Add(like="trial-0000"), ["this configuration is trial-0000 of s already, which is running"]),
    (Add(like="trial-0009"), ["s has no trial 'trial-0009'; oplstm status s shows its trials"]),
    (Prune(trial="trial-0009"), ["s has no trial 'trial-0009'; oplstm status s shows its trials"]),
]


@pytest.mark.parametrize(("request_", "lines"), FAULTS)
def test_what_cannot_be_is_declined_in_a_line_each_and_changes_nothing(request_, lines, tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("six_cells", **GRID))
    coordinator = coordinators(folder)
    coordinator.next_pack()
    before = len(coordinator.state.trials)
    name = requests.ask(folder, request_)
    said = coordinator.progress().lines
    [declined] = of(folder, Declined)
    assert declined.request == name
    assert [line[: len(wanted)] for line, wanted in zip(declined.reasons, lines, strict=True)] == lines
    assert list(said) == [f"declined: {line}" for line in declined.reasons]
    assert (len(coordinator.state.trials), list(requests.left(folder))) == (before, [])


@pytest.mark.parametrize(
    ("space", "values", "line"),
    [
        ("rates", {"lr": 0.2}, "lr: must be a number from 0.0001 to 0.1, got 0.2"),
        ("rates", {"lr": "fast"}, "lr: must be a number from 0.0001 to 0.1, got 'fast'"),
        ("rates", {"lr": float("nan")}, "lr: must be a number from 0.0001 to 0.1, got nan"),
        ("many_costs", {"passes": 1.5, "tasks": 1, "lr": 0.01}, "passes: must be a whole number from 1 to 9, got 1.5"),
        ("mixed", {"hidden": 1, "rate": 0.015}, "rate: must be a number from 0.01 to 0.03 in steps of 0.01, got 0.015"),
        ("raises_at_one", {"hidden": 2, "lr": 0.2}, "configuration: tests.jobs.user_spaces:raises_at_one raises Ari"),
        (
            "infeasible_at_one",
            {"hidden": 2, "lr": 0.2},
            "configuration: tests.jobs.user_spaces:infeasible_at_one says that",
        ),
        ("impossible_at_one", {"hidden": 2, "lr": 0.2}, "hyperparameters.passes: must be >= 1, got 0"),
    ],
)
def test_a_value_of_another_type_or_range_is_a_line(space, values, line, tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job(space))
    name = requests.ask(folder, Limit(concurrent=1))  # a value that JSON has not is only met in the file
    (folder.requests / f"{name}.json").write_text(json.dumps({"request": "add", "values": values}))
    coordinators(folder).progress()
    [declined] = of(folder, Declined)
    assert [reason[: len(line)] for reason in declined.reasons] == [line]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"request": "rm"}', b'{"request": "prune", "trial": "../x"}'])
def test_a_file_that_is_no_request_is_declined_and_goes(content, tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates"))
    name = requests.ask(folder, Limit(concurrent=1))
    (folder.requests / f"{name}.json").write_bytes(content)
    (folder.requests / "another.json").write_bytes(b"is left alone")
    coordinators(folder).progress()
    [declined] = of(folder, Declined)
    assert "is no request: " in declined.reasons[0]
    assert [path.name for path in folder.requests.iterdir()] == ["another.json"]


def test_while_a_limit_holds_no_other_trial_begins(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=6, **PACK))
    coordinator = opened(folder)
    requests.ask(folder, Limit(concurrent=3))
    first, second = coordinator.next_pack(4), coordinator.next_pack(4)
    assert (len(first.trials), len(second.trials)) == (2, 1)
    assert coordinator.next_pack(4) is None
    assert coordinator.state.live.limit == 3
    requests.ask(folder, Limit(concurrent=2))
    coordinator.progress()
    train(coordinator, second)
    assert coordinator.next_pack(4) is None
    train(coordinator, first)
    assert len(coordinator.next_pack(4).trials) == 2
    requests.ask(folder, Limit(concurrent=None))
    assert len(coordinator.next_pack(4).trials) == 1
    coordinator.close(flush_seconds=0)
    assert finish(folder).counts() == {"complete": 6}
    assert [event.concurrent for event in of(folder, Limited)] == [3, 2, None]
    assert tags_of(folder)["oplstm.concurrent"] == "no limit"


def test_under_a_limit_a_pack_takes_nobody_in_and_what_had_begun_goes_on_one_after_the_other(tmp_path):
    folder = new_sweep(tmp_path / "s", job("six_cells", **GRID, resources={"pack": "auto"}))
    coordinator = opened(folder)
    requests.ask(folder, Limit(concurrent=2))
    first = training(coordinator, coordinator.next_pack(), measured=3)
    next(first)
    assert len(coordinator.state.packs["pack-0000"].unended()) == 2, "it could hold three"
    requests.ask(folder, Limit(concurrent=None))
    second = training(coordinator, coordinator.next_pack(2), measured=3)
    next(second)
    requests.ask(folder, Limit(concurrent=1))
    coordinator.progress()
    coordinator.close(flush_seconds=0)
    coordinator = opened(folder)
    again = coordinator.next_pack(2)
    assert again.pack == "pack-0000"
    assert coordinator.next_pack(2) is None, "the other one waits"
    train(coordinator, again)
    assert not any(event.trials for event in of(folder, Joined) if event.pack == "pack-0000")
    assert coordinator.next_pack(2).pack == "pack-0001"
    coordinator.close(flush_seconds=0)
    assert finish(folder).counts() == {"complete": 4, "diverged": 2}
    sound(folder)


def asked_for_all(folder):
    """A limit, a trial that is added, one that runs and one that waits that are pruned, and one that cannot be."""
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    next(steps)
    for one in (Prune(trial="trial-0001"), Prune(trial="trial-0003"), Prune(trial="trial-0009"),
                Add(values={"lr": 0.05}), Limit(concurrent=1)):  # fmt: skip
        requests.ask(folder, one)
    kept = {path.name: path.read_bytes() for path in folder.requests.iterdir()}
    coordinator.progress()
    list(steps)
    coordinator.close(flush_seconds=0)
    return kept


def results(folder):
    """What became of each point, and of each request."""
    state = state_of(folder)
    assert len(of(folder, Asked)) == len(state.trials)
    ends = [event.trial for event in of(folder, Ended) if event.state.ended]
    assert len(ends) == len(set(ends))
    return {
        "finished": state.finished,
        "trials": {str(trial.params): (trial.state, trial.points, trial.note) for trial in state.trials.values()},
        "answers": state.live.answers,
        "limit": state.live.limit,
    }


@pytest.mark.slow
def test_killed_anywhere_each_request_is_taken_up_once(tmp_path):
    """The journal is cut after each group, with the requests of then: not taken up, or taken up and not removed."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=4, **PACK))
    kept = asked_for_all(folder)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    finish(folder)
    wanted = results(folder)
    assert [state for state, _, _ in wanted["trials"].values()].count("pruned") == 2
    assert sum(bool(answer.reasons) for answer in wanted["answers"].values()) == 1
    first = next(number for number, line in enumerate(lines) if b'"taken_out"' in line)
    for cut in range(first, len(lines) + 1):
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]))
        copy.requests.mkdir()
        for name, content in kept.items():
            (copy.requests / name).write_bytes(content)
        finish(copy)
        assert results(copy) == wanted, f"cut after {cut} of {len(lines)} groups"
        sound(copy)


def test_what_could_not_be_written_is_taken_up_by_the_next_coordinator(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", job("rates", trials=2))
    coordinator = opened(folder)
    coordinator.next_pack()
    requests.ask(folder, Add(values={"lr": 0.05}))
    with monkeypatch.context() as patch:
        patch.setattr(coordinator._journal, "append", full_disk)
        assert coordinator.progress().failure == "no space left"
    coordinator.close(flush_seconds=0)
    assert len(list(requests.left(folder))) == 1
    assert finish(folder).counts() == {"complete": 3}
    sound(folder)


def full_disk(records):
    raise WorkError("no space left")


def test_a_sweep_that_ends_declines_what_is_left(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=1))
    coordinator = opened(folder)
    train_everything(coordinator)
    requests.ask(folder, Add(values={"lr": 0.05}))
    coordinator.progress()
    assert len(coordinator.state.trials) == 1
    coordinator.close(flush_seconds=0)
    assert state_of(folder).finished
    assert [event.reasons for event in of(folder, Declined)] == [("s ended before it was taken up",)]
    assert not list(requests.left(folder))


def test_an_added_trial_joins_no_pack_where_nobody_joined_before_it_was_added(tmp_path):
    """A resume repeats what it did: a pack goes on from a checkpoint from before the trial was added."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=2, **PACK))
    coordinator = opened(folder)
    steps = training(coordinator, coordinator.next_pack())
    next(steps)
    requests.ask(folder, Prune(trial="trial-0000"))
    coordinator.progress()
    next(steps), next(steps)
    requests.ask(folder, Add(values={"lr": 0.05}))
    coordinator.progress()
    coordinator.close(flush_seconds=0)
    coordinator = opened(folder)
    pack = coordinator.next_pack()
    assert coordinator.joins(pack.pack, 5, 1) == ()
    assert [one.name for one in coordinator.joins(pack.pack, 10, 1)] == ["trial-0002"]
    coordinator.close(flush_seconds=0)
    assert len(of(folder, Packed)) == 1
