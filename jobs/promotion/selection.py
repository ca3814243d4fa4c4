"""Picking the best configuration of a sweep, by meta-validation alone.

Nothing here can see a test score: a candidate is made of validation values and a model, and test scores lie in
files that this module does not open.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jobs.store.events import LeaderScores, Promoted
from jobs.store.home import SweepFolder
from jobs.store.intervals import Interval, Values
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial_files import readable
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split
from oplstm.errors import RequestError
from oplstm.training.checkpoint import load_model, load_validation_values

_AGAIN = "sweep its configuration again (under enqueue)"


@dataclass(frozen=True)
class Candidate:
    """A trial that completed.

    Attributes:
        name: Of the trial.
        number: Of the trial.
        values: Validation value of its best weights, by the benchmark's measure, on every one of the sweep's common
            validation tasks.
    """

    name: str
    number: int
    values: Values


@dataclass(frozen=True)
class Leader:
    """A candidate that was re-scored.

    Attributes:
        name: Of the trial.
        validation: Its best validation.
        behind: Paired difference to the best candidate on the common validation tasks.
        tied: Whether that difference may be zero (95%).
        score_a: On the fresh block A, which picks.
    """

    name: str
    validation: Interval
    behind: Interval
    tied: bool
    score_a: Interval


@dataclass(frozen=True)
class Choice:
    """The outcome of a promotion.

    Attributes:
        picked: Name of the trial.
        leaders: Those that were re-scored, best validation first.
        score_b: The picked trial's score on block B, which picked nothing.
    """

    picked: str
    leaders: tuple[Leader, ...]
    score_b: Interval

    def event(self) -> Promoted:
        """The choice as the sweep's journal holds it."""
        leaders = tuple(
            LeaderScores(
                trial=leader.name,
                validation=leader.validation.stated(),
                behind=leader.behind.stated(),
                tied=leader.tied,
                score_a=leader.score_a.stated(),
            )
            for leader in self.leaders
        )
        return Promoted(picked=self.picked, score_b=self.score_b.stated(), leaders=leaders)


def candidates(folder: SweepFolder, state: SweepState, measure: Measure) -> list[Candidate]:
    """The completed trials of a sweep, best validation first.

    Raises:
        RequestError: None has completed.
        WorkError: The scores of one cannot be read.
    """
    found = []
    for trial in state.trials.values():
        if trial.state is TrialState.COMPLETE:
            with readable(folder, trial.name, again=_AGAIN):
                values = load_validation_values(folder.trial(trial.name)).numpy()
            found.append(Candidate(trial.name, trial.number, values))
    if not found:
        raise RequestError(f"{folder.name} has no completed trial to promote; see oplstm status {folder.name}")
    return sorted(found, key=lambda candidate: (measure.cost(float(candidate.values.mean())), candidate.number))


Rescore = Callable[[str, Split], Values]
"""Values of a trial's best weights on a fresh block of validation tasks."""


def rescore_with(folder: SweepFolder, measure: Measure, *, seed: int, tasks: int) -> Rescore:
    """Rescoring with the models in a sweep's folder."""

    def rescore(name: str, split: Split) -> Values:
        with readable(folder, name, again=_AGAIN):
            model = load_model(folder.trial(name), folder.data)
            values: Values = model.scores(split, seed=seed, count=tasks)[measure.name].numpy()
        return values

    return rescore


def choose(found: Sequence[Candidate], rescore: Rescore, measure: Measure, *, leaders: int) -> Choice:
    """Re-score the winner and what is statistically tied with it on block A, pick there, and report block B.

    Args:
        found: Candidates, best validation first.
        rescore: Gives values on fresh tasks.
        measure: What the values are, and which are better.
        leaders: At most this many are re-scored.
    """
    best = found[0]
    rescored = []
    for candidate in found[:leaders]:
        behind = Interval.of(candidate.values - best.values, over="differences")
        tied = candidate is best or not measure.cost(behind.mean) - behind.half_width > 0
        if tied:
            score = Interval.of(rescore(candidate.name, Split.PROMOTION_A), over="tasks")
            validation = Interval.of(candidate.values, over="tasks")
            rescored.append(Leader(candidate.name, validation, behind, tied, score))
    picked = min(rescored, key=lambda leader: (math.isnan(leader.score_a.mean), measure.cost(leader.score_a.mean)))
    score_b = Interval.of(rescore(picked.name, Split.PROMOTION_B), over="tasks")
    return Choice(picked.name, tuple(rescored), score_b)
