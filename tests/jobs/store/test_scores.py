"""Final runs: the winner's configuration over seeds, and the result with its two intervals."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import stats

from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import final_budget
from jobs.promotion.final_job import final_job
from jobs.store.home import SweepFolder
from jobs.store.scores import FinalResult, Score, final_result
from jobs.store.state import SweepState
from jobs.store.trial import Trial
from jobs.sweep.packing import pack_size
from jobs.sweep.proposals import Proposals
from tests.jobs.formula_training import job

pytestmark = pytest.mark.unit

RUN = Proposals(job()).ask().run
LOSSES = [np.random.default_rng(seed).gamma(2.0, 0.02, 50) for seed in range(3)]


@pytest.fixture
def seeds(tmp_path):
    """A final run of three seeds that have completed: its folder and state."""
    folder, state = SweepFolder(tmp_path / "final"), SweepState()
    for number, losses in enumerate(LOSSES):
        trial = Trial(number, {}, RUN.to_dict(), state="complete")
        state.trials[number] = state.by_name[trial.name] = trial
        (folder.trials / trial.name).mkdir(parents=True)
        save_file({"loss": torch.from_numpy(losses)}, folder.trials / trial.name / "test.safetensors")
    return folder, state


def test_the_result_pools_the_tasks_of_all_seeds(seeds):
    result = final_result(*seeds)
    test = result.test
    pooled, means = np.concatenate(LOSSES), [losses.mean() for losses in LOSSES]
    assert test.mean == pytest.approx(pooled.mean(), rel=1e-12)
    assert test.ci95_tasks == pytest.approx(stats.norm.ppf(0.975) * stats.sem(pooled), rel=1e-12)
    assert test.ci95_seeds == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(means), rel=1e-12)
    assert test.seed_means == pytest.approx(means, rel=1e-12)
    assert result.metrics() == {
        "final/test_loss": test.mean,
        "final/ci95_tasks": test.ci95_tasks,
        "final/ci95_seeds": test.ci95_seeds,
        "final/seeds": 3.0,
    }
    assert result.to_dict()["seed_means"] == list(test.seed_means)


@pytest.mark.parametrize("state", ["waiting", "running", "stopped", "diverged", "failed", "pruned"])
def test_there_is_no_result_while_a_seed_is_missing(state, seeds):
    folder, states = seeds
    states.trials[1].state = state
    assert final_result(folder, states) is None
    assert final_result(folder, SweepState()) is None


def test_one_seed_makes_no_claim_about_the_configuration():
    assert FinalResult("loss", Score(0.5, 0.1, float("nan"), (0.5,)), {}).metrics() == {
        "final/test_loss": 0.5,
        "final/ci95_tasks": 0.1,
        "final/seeds": 1.0,
    }


def winner_of(of):
    proposal = Proposals(of).ask()
    return proposal.run, Trial(proposal.number, proposal.params, proposal.run.to_dict())


@pytest.mark.parametrize("name", ["demo", "sine-lstm", "sine-lstm-sequential", "sine-op-lstm"])
def test_the_final_job_trains_the_winners_configuration_in_one_pack(name):
    of = load_job(name)
    run, winner = winner_of(of)
    final = final_job(of, winner)
    assert (final.space, final.seeds, pack_size(final)) == (None, 3, 3)
    proposals = Proposals(final, final=True)
    runs = [proposals.ask().run for _ in range(3)]
    assert proposals.ask() is None
    assert all(one.configuration() == run.configuration() for one in runs)
    assert all(one.final and one.evaluation_seed == one.seed for one in runs)
    assert len({one.signature for one in runs}) == 1
    assert len({one.seed for one in runs} | {run.seed}) == 4
    assert all(one.budget.total == 70000 and one.budget.unit == "tasks" for one in runs)


def test_seeds_of_the_command_line_win():
    of = job("rates", final={"seeds": 4, "cpus": 3, "gpus": 0.5})
    _, winner = winner_of(of)
    final = final_job(of, winner)
    assert (final.seeds, final.resources.cpus, final.resources.gpus) == (4, 3, 0.5)
    assert final_job(of, winner, seeds=2).seeds == 2


def test_the_final_budget_replaces_keys_and_may_change_the_unit():
    budget = {"tasks": 40, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2}
    assert final_budget(job()) == budget
    assert final_budget(job(final={"budget": {"test_tasks": 9}})) == budget | {"test_tasks": 9}
    by_updates = final_budget(job(final={"budget": {"updates": 30}}))
    assert by_updates == {"updates": 30, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2}
