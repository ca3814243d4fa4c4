"""More seeds of a sweep's leaders: trained once, the same after a stop, and no part of the sweep's own results."""

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.jobfile.sections import Replicates
from jobs.operations.promote import Promotion
from jobs.operations.replicate import plan_replicates, replicates_of, train_replicates
from jobs.operations.status import sweep_status
from jobs.operations.study_check import study_problems
from jobs.store.events import Ended
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.names import trial_name
from jobs.store.states import TrialState
from tests.jobs.conftest import REALLY_TRAINED
from tests.jobs.formula_training import events, job, new_sweep, no_server, opened, state_of

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk", "no_waiting_for_the_server")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """A pack at a time needs no process of its own."""
    monkeypatch.setattr("jobs.operations.replicate.slots_here", lambda resources: 1)
    monkeypatch.setattr("jobs.execution.in_process.TICK_SECONDS", 0.0)


TWO = Replicates(leaders=2, seeds=2)
TWO_PACKS = Replicates(leaders=3, seeds=1)


def ranked(state):
    return sorted(state.trials.values(), key=lambda trial: (trial.state is not TrialState.COMPLETE, trial.cost))[
        : state.counts()[TrialState.COMPLETE]
    ]


def train(folder, asked=TWO, progress=lambda progress: None):
    state = state_of(folder)
    plan = plan_replicates(Header.read(folder).job, state, ranked(state), asked=asked)
    return train_replicates(folder, plan, tracking_uri=no_server, progress=progress), plan


def ends(folder):
    return {event.trial: event.metrics["val/best"] for event in events(folder) if isinstance(event, Ended)}


@pytest.mark.slow
def test_the_leaders_are_trained_again_with_seeds_of_their_own(small_sweep):
    before, status = state_of(small_sweep), sweep_status(small_sweep)
    leaders = ranked(before)[:2]
    done, plan = train(small_sweep)
    assert (done, plan.missing) == (True, 4)
    after = state_of(small_sweep)
    assert set(after.replicates) == {trial_name(leader.number, one) for leader in leaders for one in (1, 2)}
    for replicate in after.replicates.values():
        of = before.trials[replicate.number]
        assert replicate.state is TrialState.COMPLETE
        assert replicate.config.configuration() == of.config.configuration()
        assert replicate.config.evaluation_seed == of.config.evaluation_seed
    seeds = [trial.config.seed for trial in after.by_name.values()]
    assert len(set(seeds)) == len(seeds) == 7
    assert len(set(ends(small_sweep).values())) == 7
    assert (after.trials.keys(), after.counts(), after.complete) == (before.trials.keys(), before.counts(), True)
    assert (sweep_status(small_sweep).leader, sweep_status(small_sweep).state) == (status.leader, "complete")


def test_a_check_of_the_study_expects_none_of_them(small_sweep):
    train(small_sweep)
    assert list(study_problems(small_sweep, Header.read(small_sweep), state_of(small_sweep))) == []


@pytest.mark.slow
def test_what_was_trained_is_not_trained_again(small_sweep):
    train(small_sweep, Replicates(leaders=2, seeds=1))
    first = ends(small_sweep)
    done, plan = train(small_sweep)
    assert (done, plan.missing) == (True, 2)
    assert {name: ends(small_sweep)[name] for name in first} == first
    assert train(small_sweep)[1].missing == 0


@pytest.mark.slow
def test_a_stop_is_gone_on_with(small_sweep, tmp_path):
    def stop(progress):
        small_sweep.stop_request.touch()

    assert train(small_sweep, TWO_PACKS, stop)[0] is False
    assert sweep_status(small_sweep).state == "stopped"
    first = ends(small_sweep)
    assert train(small_sweep, TWO_PACKS)[0] is True
    assert len(ends(small_sweep)) == 6
    assert {name: ends(small_sweep)[name] for name in first} == first
    assert sweep_status(small_sweep).state == "complete"


@pytest.mark.slow
def test_a_resume_of_the_sweep_goes_on_with_replicates(small_sweep):
    def stop(progress):
        small_sweep.stop_request.touch()

    train(small_sweep, TWO_PACKS, stop)
    coordinator = opened(small_sweep)
    while (assignment := coordinator.next_pack()) is not None:
        assert all("-seed-" in name for name in assignment.trials)
        train_pack(assignment, coordinator, small_sweep, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    after = state_of(small_sweep)
    assert {trial.state for trial in after.replicates.values()} == {TrialState.COMPLETE}
    assert (len(after.replicates), after.finished) == (3, True)


@pytest.mark.slow
def test_trials_that_wait_are_left_alone(oplstm_home):
    """A sweep that was stopped early is promoted as far as it is, and can go on afterwards."""
    of = job("three_runs", **{**REALLY_TRAINED, "resources": {"pack": 2}})
    folder = new_sweep(oplstm_home / "sweeps" / "early", of)
    coordinator = opened(folder)
    train_pack(coordinator.next_pack(), coordinator, folder, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    completed = state_of(folder).counts()[TrialState.COMPLETE]
    assert train(folder)[0]
    after = state_of(folder)
    assert {trial.state for trial in after.replicates.values()} == {TrialState.COMPLETE}
    assert completed in (1, 2)
    assert (after.counts()[TrialState.COMPLETE], sweep_status(folder).state) == (completed, "stopped")
    coordinator = opened(folder)
    given = coordinator.next_pack()
    assert given is not None
    assert not {after.by_name[name].replicate for name in given.trials} - {0}
    coordinator.close(flush_seconds=0)


@pytest.mark.slow
def test_a_race_gives_seeds_to_what_is_still_tied_until_its_runs_are_used(small_sweep):
    race = Replicates(leaders=3, race=4)
    rounds = []
    while True:
        promotion = Promotion.of(small_sweep, race)
        plan = promotion.next_plan(promotion.rescorer())
        if not plan.missing:
            break
        rounds.append(plan.missing)
        assert train_replicates(small_sweep, plan, tracking_uri=no_server, progress=lambda progress: None)
    assert rounds == [3, 1], "all are tied while nothing is known of seeds; then one run is left"
    assert len(state_of(small_sweep).replicates) == 4
    choice = promotion.choose(Home(), promotion.rescorer())
    assert choice.spread is not None
    assert {standing.seeds for standing in choice.standings} == {2, 3}


@pytest.mark.parametrize(
    ("promotion", "completed", "expected"),
    [
        ({}, 9, None),
        ({}, 10, Replicates(leaders=5, seeds=2)),
        ({"replicates": 0}, 50, None),
        ({"replicates": {"leaders": 3, "seeds": 4}}, 2, Replicates(leaders=3, seeds=4)),
    ],
)
def test_a_job_says_how_many_replicates_it_wants(promotion, completed, expected):
    assert replicates_of(job("three_runs", promotion=promotion), completed) == expected
