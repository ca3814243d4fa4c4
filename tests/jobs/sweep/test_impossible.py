"""Points of which a space makes no run: trials that have ended before they began, and no end of the sweep."""

import pytest

from jobs.operations.status import sweep_status
from jobs.store.events import Refused
from jobs.sweep import asking as module
from jobs.sweep.asking import REFUSED_IN_A_ROW
from jobs.sweep.proposals import Impossible, Proposals
from oplstm.errors import RequestError
from tests.jobs import user_spaces
from tests.jobs.formula_training import decisions, events, finish, job, new_sweep, opened, train_everything
from tests.jobs.sweep.test_coordinator_stories import copy_of

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning"),
]

HOW = {
    "random": {"trials": 20, "seed": 2},
    "grid": {"trials": None, "sampler": {"name": "grid"}},
    "enqueued": {"trials": 20, "enqueue": [{"hidden": 3, "lr": 0.1}, user_spaces.IMPOSSIBLE]},
    "TPE": {"trials": 20, "sampler": {"name": "TPESampler", "options": {"n_startup_trials": 2}}},
    "packs": {"trials": None, "sampler": {"name": "grid"}, "resources": {"pack": 2}},
}
SPACES = {
    "raises_at_one": ("failed", "failed: tests.jobs.user_spaces:raises_at_one at this point: ArithmeticError: so many"),
    "silent_at_one": ("failed", "failed: tests.jobs.user_spaces:silent_at_one at this point: ArithmeticError"),
    "nonsense_at_one": ("failed", "failed: tests.jobs.user_spaces:nonsense_at_one at this point: TypeError: a spac"),
    "impossible_at_one": ("failed", "failed: tests.jobs.user_spaces:impossible_at_one at this point: ValueError: hyp"),
    "infeasible_at_one": ("pruned", "pruned before it began: TrialPruned: too large"),
}


def told(folder):
    return [event for event in events(folder) if isinstance(event, Refused)]


@pytest.mark.parametrize(
    ("space", "how"),
    [*((space, "grid") for space in SPACES), *(("raises_at_one", how) for how in HOW if how != "grid")],
)
def test_one_impossible_point_is_a_trial_and_the_sweep_goes_on(space, how, tmp_path):
    state, reason = SPACES[space]
    folder = new_sweep(tmp_path / "s", job(space, **HOW[how]))
    after = finish(folder)
    assert after.finished
    [event] = told(folder)
    assert (event.params, event.state) == (user_spaces.IMPOSSIBLE, state)
    assert event.reason.startswith(reason)
    assert len(event.reason.splitlines()) == 1
    trial = after.trials[event.trial]
    assert (trial.state, trial.note, trial.pack, trial.fraction) == (state, event.reason, None, 1.0)
    assert {tuple(trial.params.values()) for trial in after.trials.values()} == {
        (hidden, rate) for hidden in (2, 3) for rate in (0.1, 0.2, 0.3)
    }
    assert sum(trial.pack is not None and trial.state.ended for trial in after.trials.values()) == 5
    assert sweep_status(folder).state == "complete"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("space", "how"), [("raises_at_one", "random"), ("infeasible_at_one", "TPE"), ("raises_at_one", "packs")]
)
def test_killed_anywhere_it_decides_the_same(space, how, tmp_path):
    folder = new_sweep(tmp_path / "whole" / "s", job(space, **HOW[how]))
    finish(folder)
    decided, lines = decisions(folder), folder.journal.read_bytes().splitlines(keepends=True)
    around = next(number for number, line in enumerate(lines) if b'"refused"' in line)
    for cut in {2, around, around + 1, len(lines) - 1}:
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]))
        finish(copy)
        assert decisions(copy) == decided, f"cut after {cut} of {len(lines)} groups"


def test_what_no_journal_can_hold_is_impossible(tmp_path):
    folder = new_sweep(tmp_path / "s", job("not_a_number_at_one", trials=20))
    assert finish(folder).finished
    [event] = told(folder)
    assert event.params == {"lr": "nan"}
    assert event.reason.endswith("TypeError: choices must be text, numbers, lists, true, false or null")
    assert finish(folder).finished


@pytest.mark.slow
def test_so_many_in_a_row_end_the_work_with_the_last_of_them(tmp_path):
    """And again after a resume, wherever it was killed before."""
    folder = new_sweep(tmp_path / "s", job("raises_everywhere", trials=1000))
    for times in (1, 2):
        coordinator = opened(folder)
        assert coordinator.next_pack() is None
        assert coordinator.progress().failure.startswith(
            f"{REFUSED_IN_A_ROW} points of tests.jobs.user_spaces:raises_everywhere in a row gave no run; "
            "the last failed: tests.jobs.user_spaces:raises_everywhere at this point: ArithmeticError: never 0."
        )
        coordinator.close(flush_seconds=0)
        assert len(told(folder)) == times * REFUSED_IN_A_ROW
        assert len({str(event.params) for event in told(folder)}) == times * REFUSED_IN_A_ROW
    assert sweep_status(folder).state == "stopped"
    assert all("never 0." in trial.note for trial in sweep_status(folder).trials)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    for cut in (7, 15, 21):
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]))
        coordinator = opened(copy)
        assert coordinator.next_pack() is None
        coordinator.close(flush_seconds=0)
        assert told(copy) == told(folder)[:REFUSED_IN_A_ROW], cut


def test_those_between_others_are_not_in_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "REFUSED_IN_A_ROW", 3)
    enqueue = [{"lr": rate} for rate in (0.11, 0.12, 0.05, 0.13, 0.14)]
    monkeypatch.setattr(user_spaces, "rates", lambda trial: user_spaces.TINY | {"lr": trial.suggest_float("lr", 0, 1)})
    folder = new_sweep(tmp_path / "s", job("raises_above", trials=5, enqueue=enqueue))
    coordinator = opened(folder)
    train_everything(coordinator)
    assert coordinator.progress().failure is None
    coordinator.close(flush_seconds=0)
    assert len(told(folder)) == 4


def test_a_space_that_asks_for_nothing_and_raises_ends_soon(tmp_path):
    folder = new_sweep(tmp_path / "s", job("raises_before_it_asks", trials=1000))
    state = finish(folder)
    assert [(trial.params, trial.state) for trial in state.trials.values()] == [({}, "failed")]


def test_who_mended_the_space_since_goes_on_and_what_failed_once_remains_it(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", job("raises_everywhere", trials=30))
    coordinator = opened(folder)
    assert coordinator.next_pack() is None
    coordinator.close(flush_seconds=0)
    monkeypatch.setattr(user_spaces, "raises_everywhere", user_spaces.rates)
    state = finish(folder)
    assert state.finished
    assert [trial.state for trial in state.trials.values()] == ["failed"] * REFUSED_IN_A_ROW + ["complete"] * 10


def test_a_point_that_was_possible_and_no_longer_is_ends_the_resume_in_a_line(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    coordinator = opened(folder)
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    before = folder.journal.read_bytes()
    monkeypatch.setattr(user_spaces, "rates", user_spaces.raises_everywhere)
    with pytest.raises(RequestError, match=r"user_spaces:rates no longer gives trial-0000 .*: failed: "):
        opened(folder)
    assert folder.journal.read_bytes() == before


@pytest.mark.parametrize(
    "keys",
    [
        {"space": "sine-no-such"},
        {"sampler": {"name": "NoSuchSampler"}},
        {"pruner": {"name": "NoSuchPruner"}},
        {"pruner": {"name": "MedianPruner", "options": {"n_startup_trials": "x"}}},
    ],
)
def test_a_job_that_cannot_be_gone_on_with_is_said_in_a_line(keys, tmp_path):
    of = job("rates", trials=3)
    folder = new_sweep(tmp_path / "s", of.model_validate(of.model_dump() | keys))
    with pytest.raises(RequestError) as caught:
        opened(folder)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(f"{folder.header}: ")


def test_proposals_alone_give_them_too():
    found = []
    proposals = Proposals(job("raises_at_one", trials=20))
    while (one := proposals.ask()) is not None:
        found.append(one)
    [impossible] = [one for one in found if isinstance(one, Impossible)]
    assert impossible.params == user_spaces.IMPOSSIBLE
    assert [one.number for one in found] == list(range(6))
