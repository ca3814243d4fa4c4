"""The result of a final run: the tasks of all its seeds, pooled, with two intervals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from jobs.store.home import SweepFolder
from jobs.store.scores import FinalResult, Score, final_result
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep.proposals import Proposals
from oplstm.episodes.measure import LOSS
from oplstm.errors import WorkError
from oplstm.training.sealed import write_sealed
from tests.jobs.formula_training import job
from tests.oplstm.training.damage import flip, truncate

RUN = Proposals(job()).ask().run
LOSSES = [np.random.default_rng(seed).gamma(2.0, 0.02, 50) for seed in range(3)]


@pytest.fixture
def seeds(tmp_path):
    """A final run of three seeds that have completed: its folder and state."""
    folder, state = SweepFolder(tmp_path / "final"), SweepState(LOSS)
    for number, losses in enumerate(LOSSES):
        trial = Trial(number, {}, RUN.to_dict(), LOSS, state=TrialState.COMPLETE)
        state.trials[number] = state.by_name[trial.name] = trial
        scores = {"test.safetensors": {"loss": torch.from_numpy(losses)}}
        write_sealed(folder.trial(trial.name), "run.json", data={"run": trial.run}, tensors=scores)
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
    assert result.to_json()["seed_means"] == list(test.seed_means)


TESTED = (TrialState.COMPLETE, TrialState.DIVERGED)


@pytest.mark.parametrize("state", [state for state in TrialState if state not in TESTED])
def test_there_is_no_result_while_a_seed_is_missing(state, seeds):
    folder, states = seeds
    states.trials[1].state = state
    assert final_result(folder, states) is None
    assert final_result(folder, SweepState(LOSS)) is None


def test_a_seed_that_diverged_counts_with_its_best_weights_and_is_named(seeds):
    folder, states = seeds
    whole = final_result(folder, states)
    states.trials[1].state = TrialState.DIVERGED
    result = final_result(folder, states)
    assert (result.test, result.diverged) == (whole.test, ("trial-0001",))
    assert result.to_json()["diverged"] == ["trial-0001"]
    (folder.trial("trial-0001") / "test.safetensors").unlink()  # an older version tested none
    assert final_result(folder, states) is None


@pytest.mark.parametrize("file", ["run.json", "test.safetensors"])
@pytest.mark.parametrize("damage", [lambda path: flip(path, -1, 0), lambda path: truncate(path, -1), Path.unlink])
def test_damaged_scores_are_named_with_their_trial_and_the_mend(seeds, file, damage):
    path = seeds[0].trial("trial-0001") / file
    damage(path)
    with pytest.raises(WorkError) as caught:
        final_result(*seeds)
    assert str(caught.value).startswith(f"{path} is damaged: it")
    assert str(caught.value).endswith(
        "; oplstm doctor final --repair puts the files of trial-0001 back from their copy in MLflow; "
        "if that is lost too, promote its sweep again, which makes another final run"
    )


def test_one_seed_makes_no_claim_about_the_configuration():
    assert FinalResult("loss", Score(0.5, 0.1, float("nan"), (0.5,)), {}).metrics() == {
        "final/test_loss": 0.5,
        "final/ci95_tasks": 0.1,
        "final/seeds": 1.0,
    }
