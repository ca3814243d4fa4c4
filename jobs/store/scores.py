"""The test scores of a final run, or of a training, pooled over its seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.store.home import SweepFolder
from jobs.store.intervals import Interval, Values
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.store.trial_files import readable
from oplstm.training.checkpoint import has_test_scores, load_test_scores


@dataclass(frozen=True)
class Score:
    """A test score of a final run.

    Attributes:
        mean: Over all tasks of all seeds.
        ci95_tasks: Half-width over all test tasks pooled, as in the paper: a claim about these trained weights.
        ci95_seeds: Half-width over the means of the seeds (Student t): a claim about the configuration.
        seed_means: The mean of each seed.
    """

    mean: float
    ci95_tasks: float
    ci95_seeds: float
    seed_means: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[Values]) -> "Score":
        """Of the values on every task, one array a seed."""
        means = [float(of_seed.mean()) for of_seed in values]
        pooled = Interval.of(np.concatenate(values), over="tasks")
        return cls(pooled.mean, pooled.half_width, Interval.of(means, over="seeds").half_width, tuple(means))


@dataclass(frozen=True)
class FinalResult:
    """The test result of a final run.

    Attributes:
        measure: What the scores are: ``loss`` or ``accuracy``.
        test: On the test tasks.
        cross: On those of other domains, by dataset (Section 5.3).
        dataset: The dataset to name beside the result, where parts of one are absent.
        diverged: Names of the seeds that diverged, which were tested with the best weights from before.
    """

    measure: str
    test: Score
    cross: dict[str, Score]
    dataset: str | None = None
    diverged: tuple[str, ...] = ()

    def metrics(self) -> dict[str, float]:
        """As tracked on the final run's parent."""
        named = {"final/seeds": float(len(self.test.seed_means)), f"final/test_{self.measure}": self.test.mean}
        named |= {"final/ci95_tasks": self.test.ci95_tasks, "final/ci95_seeds": self.test.ci95_seeds}
        for name, score in self.cross.items():
            named[f"final/cross/{name}/{self.measure}"] = score.mean
            named[f"final/cross/{name}/ci95_tasks"] = score.ci95_tasks
            named[f"final/cross/{name}/ci95_seeds"] = score.ci95_seeds
        return {name: value for name, value in named.items() if math.isfinite(value)}

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        plain: dict[str, Any] = {**self.metrics(), "seed_means": list(self.test.seed_means)}
        plain |= {} if self.dataset is None else {"dataset": self.dataset}
        return plain | ({"diverged": list(self.diverged)} if self.diverged else {})


def final_result(folder: SweepFolder, state: SweepState) -> FinalResult | None:
    """The result of a final run, or of a training; None while a seed is missing, or where there is no test.

    Raises:
        WorkError: The scores of one are damaged.
    """
    trials = list(state.trials.values())
    if not trials or not all(_is_tested(folder, trial) for trial in trials):
        return None
    benchmark = trials[0].config.benchmark
    measure = benchmark.measure.name
    wanted, scores = [measure, *(f"cross/{name}/{measure}" for name in benchmark.cross())], []
    for trial in trials:
        with readable(folder, trial.name, again="promote its sweep again, which makes another final run"):
            found = load_test_scores(folder.trial(trial.name))
            scores.append({name: found[name].numpy() for name in wanted})

    def pooled(name: str) -> Score:
        return Score.of([of_seed[name] for of_seed in scores])

    cross = {name: pooled(f"cross/{name}/{measure}") for name in benchmark.cross()}
    diverged = tuple(trial.name for trial in trials if trial.state is TrialState.DIVERGED)
    return FinalResult(measure, pooled(measure), cross, benchmark.open(folder.data).partial_title(), diverged)


def _is_tested(folder: SweepFolder, trial: Trial) -> bool:
    """Whether it has a test score: one that diverged has, but not in sweeps of older versions."""
    if trial.state is TrialState.DIVERGED:
        return has_test_scores(folder.trial(trial.name))
    return trial.state is TrialState.COMPLETE and trial.run["budget"].get("test_tasks", 1) > 0
