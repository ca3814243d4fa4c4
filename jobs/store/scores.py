"""The test scores of a final run, or of a training, over its seeds and test tasks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.store.home import SweepFolder
from jobs.store.intervals import NORMAL_QUANTILE, Interval, Values
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.store.trial_files import readable
from oplstm.training.checkpoint import has_test_scores, load_test_scores


@dataclass(frozen=True)
class Score:
    """A test score of a final run, or of a training.

    Attributes:
        mean: Over all tasks of all seeds.
        ci95_tasks: Half-width over test tasks, as in the paper: a claim about these trained weights.
        ci95_seeds: Half-width over seeds, and over whatever test tasks they might have met: a claim about the
            configuration.
        seed_means: The mean of each seed.
        tasks: Number of different test tasks.
    """

    mean: float
    ci95_tasks: float
    ci95_seeds: float
    seed_means: tuple[float, ...]
    tasks: int

    @classmethod
    def of(cls, values: Sequence[Values], *, same_tasks: bool) -> "Score":
        """Of the values on every task, one array a seed.

        Seeds with tasks of their own are independent of each other: tasks are pooled, and how far the seeds' means lie
        apart (Student t) has what their tasks add to it. Seeds that were tested on the same tasks agree in how hard
        these are, which their means do not show: a task counts once, with its mean over seeds, and what the tasks
        have in common is added to the interval over seeds (random effects of seeds and tasks, crossed).

        Args:
            values: ``(tasks,)`` each.
            same_tasks: Whether all seeds were tested on the same tasks.
        """
        means = tuple(float(of_seed.mean()) for of_seed in values)
        seeds = Interval.of(means, over="seeds").half_width
        if not same_tasks:
            pooled = Interval.of(np.concatenate(values), over="tasks")
            return cls(pooled.mean, pooled.half_width, seeds, means, sum(map(len, values)))
        crossed = np.stack(values).astype(np.float64)
        by_task = crossed.mean(0)
        over_tasks = Interval.of(by_task, over="tasks")
        interaction = crossed - by_task - crossed.mean(1, keepdims=True) + crossed.mean()
        degrees = (crossed.shape[0] - 1) * (crossed.shape[1] - 1)
        if degrees:
            noise = float((interaction**2).sum()) / degrees / crossed.size
            shared = max(over_tasks.half_width**2 - NORMAL_QUANTILE**2 * noise, 0.0)
            seeds = math.hypot(seeds, math.sqrt(shared))
        return cls(over_tasks.mean, over_tasks.half_width, seeds, means, len(by_task))


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
        named["final/tasks"] = float(self.test.tasks)
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

    # Seeds of a final run are tested on tasks of their own, those of a training on the same.
    same_tasks = len({trial.config.evaluation_seed for trial in trials}) == 1

    def pooled(name: str) -> Score:
        return Score.of([of_seed[name] for of_seed in scores], same_tasks=same_tasks)

    cross = {name: pooled(f"cross/{name}/{measure}") for name in benchmark.cross()}
    diverged = tuple(trial.name for trial in trials if trial.state is TrialState.DIVERGED)
    return FinalResult(measure, pooled(measure), cross, benchmark.open(folder.data).partial_title(), diverged)


def _is_tested(folder: SweepFolder, trial: Trial) -> bool:
    """Whether it has a test score: one that diverged has, but not in sweeps of older versions."""
    if trial.state is TrialState.DIVERGED:
        return has_test_scores(folder.trial(trial.name))
    return trial.state is TrialState.COMPLETE and trial.run["budget"].get("test_tasks", 1) > 0
