"""What to train next: no configuration twice, every cell of a grid once, and the same again when replayed."""

import json
import math

import optuna
import pytest

from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import run_data
from jobs.store.states import ENDED, TrialState
from jobs.sweep.proposals import Proposals
from tests.jobs.formula_training import job

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning"),
]

GRID = {"sampler": {"name": "grid"}, "trials": None}


def ask_all(proposals, limit=1000):
    found = []
    while len(found) < limit and (proposal := proposals.ask()) is not None:
        found.append(proposal)
    return found


def cells(found):
    return [tuple(proposal.params.values()) for proposal in found]


SIX = {(hidden, rate) for hidden in (2, 3) for rate in (0.1, 0.2, 0.3)}


@pytest.mark.parametrize("seed", range(5))
def test_random_search_of_a_finite_space_tries_each_point_once_and_ends(seed):
    proposals = Proposals(job("six_cells", trials=100, seed=seed))
    found = ask_all(proposals)
    assert len(found) == 6
    assert set(cells(found)) == SIX
    assert proposals.ask() is None
    assert [proposal.number for proposal in found] == list(range(6))


def test_the_last_points_of_a_finite_space_are_found_without_luck(monkeypatch):
    monkeypatch.setattr("jobs.sweep.proposals.REPEATS_BEFORE_ENUMERATING", 1)
    found = ask_all(Proposals(job("rates_by_cell", trials=1000, seed=1)), limit=40)
    assert len({proposal.params["cell"] for proposal in found}) == 40
    assert set(cells(ask_all(Proposals(job("six_cells", trials=1000))))) == SIX


def test_an_adaptive_sampler_does_not_repeat_itself_either():
    proposals, found = Proposals(job("six_cells", trials=100, sampler={"name": "TPESampler"})), []
    while (proposal := proposals.ask()) is not None:
        found.append(proposal)
        proposals.tell(
            proposal.number, TrialState.COMPLETE, proposal.run.lr
        )  # so that it wants the smallest rate again
    assert len(found) == len(set(cells(found))) == 6


def test_trials_are_the_limit():
    assert len(ask_all(Proposals(job("rates", trials=5)))) == 5
    assert len(ask_all(Proposals(job("six_cells", **GRID | {"trials": 4})))) == 4
    assert len(ask_all(Proposals(job("rates", trials=None)))) == 20


def test_a_grid_is_every_cell_once_in_order():
    found = ask_all(Proposals(job("six_cells", **GRID)))
    assert cells(found) == [(hidden, rate) for hidden in (2, 3) for rate in (0.3, 0.2, 0.1)]


def test_enqueued_points_come_first_and_not_again():
    first = [{"hidden": 3, "lr": 0.1}, {"hidden": 2, "lr": 0.2}, {"hidden": 3, "lr": 0.1}]
    found = ask_all(Proposals(job("six_cells", enqueue=first, **GRID)))
    assert cells(found)[:2] == [(3, 0.1), (2, 0.2)]
    assert len(found) == 6
    assert set(cells(found)) == SIX
    found = ask_all(Proposals(job("six_cells", enqueue=first, trials=100)))
    assert cells(found)[:2] == [(3, 0.1), (2, 0.2)]
    assert len(found) == len(set(cells(found))) == 6


def test_a_pinned_dimension_makes_no_two_cells_of_one():
    grid = ask_all(Proposals(job("six_cells", fixed={"lr": 0.5}, **GRID)))
    assert [(proposal.run.hyperparameters.widths, proposal.run.lr) for proposal in grid] == [((2,), 0.5), ((3,), 0.5)]
    random = ask_all(Proposals(job("six_cells", fixed={"widths": [7], "support": "batched"}, trials=100)))
    assert sorted(proposal.run.lr for proposal in random) == [0.1, 0.2, 0.3]
    assert {proposal.run.hyperparameters.widths for proposal in random} == {(7,)}


def test_runs_of_one_configuration_differ_in_their_seed_alone():
    fixed = {"lr": 0.1, "meta_batch_size": 1}
    found = ask_all(Proposals(job(None, fixed=fixed, seeds=3)))
    assert len({proposal.run.seed for proposal in found}) == 3
    assert {proposal.run.lr for proposal in found} == {0.1}
    assert {proposal.run.evaluation_seed for proposal in found} == {0}


def test_trials_share_their_evaluation_tasks_and_final_runs_draw_their_own():
    shared = [proposal.run for proposal in ask_all(Proposals(job("rates", seed=5)))]
    assert {run.evaluation_seed for run in shared} == {5}
    assert len({run.seed for run in shared}) == 4
    own = [proposal.run for proposal in ask_all(Proposals(job("rates", seed=5), final=True))]
    assert all(run.final and run.evaluation_seed == run.seed for run in own)
    assert not {run.seed for run in own} & {run.seed for run in shared}


def end(proposals, proposal):
    states = (TrialState.COMPLETE, *ENDED)
    proposals.decide(proposal.number, math.log(proposal.run.lr), 1, total=1)
    proposals.tell(proposal.number, states[proposal.number % 5], math.log(proposal.run.lr))


SAMPLERS = {
    "RandomSampler": {},
    "QMCSampler": {},
    "TPESampler": {"n_startup_trials": 2},
    "NSGAIISampler": {"population_size": 3},
    "grid": {},
}


REPLAYED = [
    *(("rates", name) for name in SAMPLERS if name != "grid"),
    *(("six_cells", name) for name in ("RandomSampler", "NSGAIISampler", "grid")),
    *(("mixed", name) for name in ("RandomSampler", "NSGAIISampler", "QMCSampler", "TPESampler")),
    *(("lists", name) for name in ("RandomSampler", "grid")),
]


@pytest.mark.parametrize(("space", "name"), REPLAYED)
def test_a_replay_goes_on_as_if_it_had_never_stopped(space, name):
    of = job(space, trials=5, seed=3, sampler={"name": name, "options": SAMPLERS[name]})
    whole = act_out(Proposals(of))
    for stop in range(len(whole)):
        assert act_out(Proposals(of), whole[:stop]) == whole, stop


def act_out(proposals, known=()):
    """Ask, end, ask, end ...; the first ones are replayed."""
    found = []
    for proposal in known:
        assert proposals.replay(json.loads(json.dumps(proposal.params)), proposal.draws) is None
        found.append(proposal)
        end(proposals, proposal)
    while (proposal := proposals.ask()) is not None:
        found.append(proposal)
        end(proposals, proposal)
    return found


def test_a_replay_keeps_what_was_proposed_even_if_the_sampler_now_draws_something_else():
    params = {"lr": 0.0123}
    proposals = Proposals(job("rates"))
    assert proposals.replay(params, draws=2) is None
    assert [trial.params for trial in proposals._study.trials if trial.state.name == "RUNNING"] == [params]
    assert [proposal.number for proposal in ask_all(proposals)] == [1, 2, 3]


def test_replay_does_not_use_up_the_enqueued_points():
    of = job("six_cells", enqueue=[{"hidden": 3, "lr": 0.1}, {"hidden": 2, "lr": 0.2}], **GRID)
    whole = ask_all(Proposals(of))
    rebuilt = Proposals(of)
    rebuilt.replay(whole[0].params, whole[0].draws)
    assert [whole[0], *ask_all(rebuilt)] == whole


@pytest.mark.parametrize("raw", [{"hidden": 20.0}, {"pool_cell": 1}, {"lr": "0.001"}])
def test_a_point_that_an_older_header_holds_as_it_was_written_is_tried_once(raw):
    of = job("kinds", enqueue=[{"hidden": 20, "pool_cell": True, "lr": 0.001} | raw], trials=3)
    whole = ask_all(Proposals(of))
    rebuilt = Proposals(of)
    rebuilt.replay(whole[0].params, whole[0].draws)
    assert [whole[0], *ask_all(rebuilt)] == whole
    assert [one.number for one in whole] == [0, 1, 2]


def test_the_study_file_is_optunas_view_and_is_made_anew(tmp_path):
    file = tmp_path / "study.log"
    file.write_text("left by a crash\n")
    proposals = Proposals(job("rates"), file, name="mine")
    first = proposals.ask()
    proposals.decide(first.number, 3.0, 10, total=10)
    proposals.tell(first.number, TrialState.COMPLETE, 2.5)
    second = proposals.ask()
    proposals.tell(second.number, TrialState.DIVERGED, math.inf)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.load_study(study_name="mine", storage=storage)
    assert [(trial.state.name, trial.params) for trial in study.trials] == [
        ("COMPLETE", first.params),
        ("PRUNED", second.params),
    ]
    assert study.best_value == 2.5
    assert study.trials[0].intermediate_values == {10: 3.0}


@pytest.mark.parametrize("sampler", ["grid", "RandomSampler", "TPESampler"])
def test_a_study_in_a_file_proposes_what_one_in_memory_does(sampler, tmp_path):
    enqueued = [{"hidden": 3, "lr": 0.1}, {"hidden": 2, "lr": 0.2}]
    of = job("six_cells", enqueue=enqueued, trials=6, sampler={"name": sampler})
    assert act_out(Proposals(of, tmp_path / "study.log")) == act_out(Proposals(of))


def test_what_a_run_has_beside_its_learner_is_fixed_or_searched_over():
    job = load_job("sine-lstm", ["grad_clip=10", "precision=bf16"])
    data = run_data(job, job.fixed | {"lr": 0.1, "meta_batch_size": 2})
    beside = {key: data[key] for key in ("grad_clip", "precision", "lr", "meta_batch_size")}
    assert beside == {"grad_clip": 10, "precision": "bf16", "lr": 0.1, "meta_batch_size": 2}
    assert not {"grad_clip", "precision"} & set(data["hyperparameters"])
