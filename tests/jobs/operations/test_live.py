"""`oplstm prune`, `add`, `limit`: what they answer, of a sweep that runs, was stopped, has ended."""

import json

import pytest

from jobs.operations import live
from jobs.operations.status import sweep_status
from jobs.store import requests
from jobs.store.home import Home
from oplstm.errors import RequestError
from tests.jobs.cli.verbs import answer, complaints, run, the_complaint
from tests.jobs.formula_training import finish, job, new_sweep, opened, state_of, training

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture
def sweep(oplstm_home):
    return new_sweep(oplstm_home / "sweeps" / "s", job("six_cells", sampler={"name": "grid"}, trials=None))


@pytest.fixture
def running(sweep, monkeypatch):
    """A sweep whose coordinator takes up requests while the verb waits."""
    coordinator = opened(sweep)
    next(training(coordinator, coordinator.next_pack()))
    monkeypatch.setattr(live.time, "sleep", lambda seconds: coordinator.progress())
    yield sweep
    coordinator.close(flush_seconds=0)


def test_each_says_what_happened(running):
    said = "trial-0000 of s: it ends as pruned at its next validation point"
    assert answer("prune", "s", "trial-0000") == {"name": "s", "taken_up": True, "trial": "trial-0000", "said": said}
    added = answer("add", "s", "hidden=3", "--like", "trial-0000")
    assert (added["trial"], added["taken_up"]) == ("trial-0001", True)
    assert state_of(running).trials[1].params == {"hidden": 3, "lr": 0.3}
    assert run("limit", "s", "--concurrent", 2).stdout == "at most 2 trials of s train now\n"
    assert "s: at most 2 trials train at once; oplstm limit s --concurrent none lifts that" in "".join(
        run("status").stdout.splitlines()
    )
    status = sweep_status(running)
    assert (status.concurrent, [trial.name for trial in status.trials if trial.added]) == (2, ["trial-0001"])
    assert answer("limit", "s", "--concurrent", "none")["said"] == "s has no limit any more"
    assert not list(requests.left(running))


def test_what_cannot_be_is_said_at_once_and_nothing_is_asked(running):
    unknown = "s has no trial 'trial-0009'; oplstm status s shows its trials"
    assert the_complaint("prune", "s", "trial-0009") == unknown
    assert the_complaint("add", "s", "--like", "../up") == "s has no trial '../up'; oplstm status s shows its trials"
    assert complaints("add", "s", "hidden=5", "rate=1") == [
        "hidden: must be one of 2, 3, got 5",
        "lr: is required, one of 0.3, 0.2, 0.1",
        "rate: unknown 'rate'; known: hidden, lr",
    ]
    assert complaints("add", "s", "hidden", "lr=[", "hidden=2", "hidden=3")[::2] == [
        "must be key=value, with a value in YAML, got 'hidden'",
        "hidden is given twice, the second time as 'hidden=3'",
    ]
    same = "this configuration is trial-0000 of s already, which is running"
    assert the_complaint("add", "s", "--like", "trial-0000") == same
    assert run("limit", "s", "--concurrent", "0").exit_code == 2
    assert not list(running.path.glob("requests/*"))


def test_what_the_coordinator_declines_is_an_error(running):
    """The point was added by another request in between."""
    requests.ask(running, requests.Add(values={"hidden": 2, "lr": 0.2}))
    assert the_complaint("add", "s", "hidden=2", "lr=0.2") == (
        "this configuration is trial-0001 of s already, which is waiting"
    )


def test_a_coordinator_that_is_busy_takes_it_up_later(running, monkeypatch):
    monkeypatch.setattr(live.time, "sleep", lambda seconds: None)
    asked = live.limit(Home(), "s", 1, patience=0.0)
    assert (asked.taken_up, asked.said) == (False, "asked; s is busy, and takes it up at its next update")


def test_a_sweep_that_was_stopped_takes_it_up_when_it_goes_on(sweep, monkeypatch):
    coordinator = opened(sweep)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.close(flush_seconds=0)
    assert "s does not say which file its space" in the_complaint("add", "s", "hidden=3", "lr=0.2")
    monkeypatch.setattr("jobs.operations.trust.check_space", lambda *_, **__: None)
    assert the_complaint("add", "s", "hidden=5", "lr=0.2") == "hidden: must be one of 2, 3, got 5"
    assert not sweep.requests.exists()
    later = "asked; s is not running: oplstm resume s takes it up"
    for verb in (("prune", "s", "trial-0000"), ("add", "s", "hidden=3", "lr=0.2"), ("limit", "s", "--concurrent", "2")):
        result = run(*verb, "--json")
        assert (result.exit_code, json.loads(result.stdout)["said"]) == (1, later)
    state = finish(sweep)
    assert state.trials[0].note == "pruned by hand"
    assert (state.trials[1].params, state.live.limit) == ({"hidden": 3, "lr": 0.2}, 2)
    assert len(state.trials) == 6
    assert not list(requests.left(sweep))
    assert (
        the_complaint("add", "s", "--like", "trial-0000") == "s has ended; this takes a sweep that runs or was stopped"
    )


def test_a_request_to_a_sweep_that_ends_meanwhile_is_taken_back(sweep, monkeypatch):
    coordinator = opened(sweep)

    def end(seconds):
        from tests.jobs.formula_training import train_everything

        left = {path: path.read_bytes() for path in sweep.requests.iterdir()}
        for path in left:
            path.unlink()  # it came too late to be seen
        train_everything(coordinator)
        coordinator.close(flush_seconds=0)
        for path, content in left.items():
            path.write_bytes(content)

    monkeypatch.setattr(live.time, "sleep", end)
    with pytest.raises(RequestError, match="s ended before it was taken up"):
        live.limit(Home(), "s", 1)
    assert not list(requests.left(sweep))


def test_a_run_that_is_no_sweep_has_no_trials_to_choose_from(oplstm_home):
    new_sweep(oplstm_home / "sweeps" / "t", job(None, fixed={"lr": 0.1}), kind="train")
    assert the_complaint("limit", "t", "--concurrent", "1").startswith("t is a train run, which has no trials")
