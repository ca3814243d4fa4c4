"""The result of a final run or of a training: over the tasks of all its seeds, with two intervals."""

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
HARD = np.random.default_rng(3).gamma(2.0, 0.02, 50)
"""What tasks have in common, as far as seeds meet the same."""
LOSSES = [HARD + np.random.default_rng(seed).gamma(2.0, 0.01, 50) for seed in range(3)]


@pytest.fixture
def seeds(tmp_path):
    """A final run of three seeds that have completed: its folder and state."""
    folder, state = SweepFolder(tmp_path / "final"), SweepState(LOSS)
    for number, losses in enumerate(LOSSES):
        trial = Trial(number, {}, RUN.to_dict() | {"evaluation_seed": number}, LOSS, state=TrialState.COMPLETE)
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
        "final/tasks": 150.0,
    }
    assert result.to_json()["seed_means"] == list(test.seed_means)


def test_tasks_that_all_seeds_were_tested_on_count_once(seeds):
    folder, state = seeds
    for trial in state.trials.values():
        trial.run["evaluation_seed"] = 7
    test = final_result(folder, state).test
    by_task, means = np.mean(LOSSES, axis=0), np.mean(LOSSES, axis=1)
    assert (test.tasks, test.seed_means) == (50, pytest.approx(means, rel=1e-12))
    assert test.mean == pytest.approx(np.mean(LOSSES), rel=1e-12)
    assert test.ci95_tasks == pytest.approx(stats.norm.ppf(0.975) * stats.sem(by_task), rel=1e-12)
    # Expected mean squares of two crossed random effects, with one value a cell
    residual = [
        value - by_task[task] - means[seed] + np.mean(LOSSES)
        for seed, losses in enumerate(LOSSES)
        for task, value in enumerate(losses)
    ]
    of_tasks, of_both = 3 * by_task.var(ddof=1), np.square(residual).sum() / (2 * 49)
    shared = max(of_tasks - of_both, 0.0) / (3 * 50)
    of_seeds = stats.t.ppf(0.975, 2) * stats.sem(means)
    assert shared > 0
    wanted = np.sqrt(of_seeds**2 + stats.norm.ppf(0.975) ** 2 * shared)
    assert test.ci95_seeds == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("same_tasks", [False, True])
def test_intervals_hold_as_often_as_they_say_whether_seeds_share_their_tasks_or_not(same_tasks):
    """Over seeds: of a configuration, at seeds and tasks that nobody has seen. Over tasks: of these seeds."""
    rng, seeds, tasks, runs = np.random.default_rng(0), 5, 200, 800
    covered = np.zeros(2)
    for _ in range(runs):
        of_seeds = rng.normal(0.0, 0.05, (seeds, 1))
        of_tasks = rng.normal(0.0, 1.0, (1 if same_tasks else seeds, tasks))
        score = Score.of(list(of_seeds + of_tasks + rng.normal(0.0, 1.0, (seeds, tasks))), same_tasks=same_tasks)
        covered += abs(score.mean) <= score.ci95_seeds, abs(score.mean - of_seeds.mean()) <= score.ci95_tasks
    assert np.all(np.abs(covered / runs - 0.95) <= 0.03)


@pytest.mark.parametrize("same_tasks", [False, True])
def test_one_seed_or_one_task_gives_no_interval_of_it(same_tasks):
    one_seed = Score.of([np.array([0.1, 0.3])], same_tasks=same_tasks)
    assert (one_seed.mean, np.isnan(one_seed.ci95_seeds), one_seed.ci95_tasks > 0) == (0.2, True, True)
    one_task = Score.of([np.array([0.1]), np.array([0.3])], same_tasks=same_tasks)
    assert np.isnan(one_task.ci95_tasks) == same_tasks and one_task.mean == pytest.approx(0.2)


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
    assert FinalResult("loss", Score(0.5, 0.1, float("nan"), (0.5,), 600), {}).metrics() == {
        "final/test_loss": 0.5,
        "final/ci95_tasks": 0.1,
        "final/seeds": 1.0,
        "final/tasks": 600.0,
    }
