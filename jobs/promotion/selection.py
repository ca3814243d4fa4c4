"""Picking the best configuration of a sweep, by meta-validation alone.

Nothing here can see a test score: a configuration is made of validation values and models, and test scores lie in
files that this module does not open.
"""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from jobs.promotion.decision import decide
from jobs.promotion.seeds import SeedVariance
from jobs.promotion.standing import Configuration, Standing, standings
from jobs.store.home import SweepFolder
from jobs.store.intervals import Interval, Values
from jobs.store.names import trial_name
from jobs.store.promoted import LeaderScores, Promoted, StatedSpread
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.store.trial_files import readable
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split
from oplstm.errors import RequestError
from oplstm.training.checkpoint import load_model, load_validation_values
from oplstm.training.device import Device

_AGAIN = "sweep its configuration again (under enqueue)"
_COUNTED = (TrialState.COMPLETE, TrialState.DIVERGED)
"""Ends of a replicate that count as a result of its configuration: one that diverged has its best weights."""


@dataclass(frozen=True)
class Leader:
    """A configuration that was re-scored.

    Attributes:
        standing: How it stands in the sweep.
        score_a: On the fresh block A, which picks: the mean over its runs, with the interval over tasks.
        over_seeds: The same as a claim about the configuration, the luck of having been chosen taken off; None where
            the variance over seeds is unknown.
        seeds: The score of each of its runs there.
    """

    standing: Standing
    score_a: Interval
    over_seeds: Interval | None
    seeds: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name of its trial."""
        return self.standing.name


@dataclass(frozen=True)
class Choice:
    """The outcome of a promotion.

    Attributes:
        picked: Name of the trial.
        leaders: Those that were re-scored, best validation first.
        standings: All configurations, best validation first.
        spread: The variance over seeds; None where it is unknown.
        forecast: Of the final run's score; None where nothing can be said.
        score_b: The picked configuration on block B, which picked nothing: the mean over its runs.
        instead_of: Where a user chose the trial, the name of the one that is best on block A.
    """

    picked: str
    leaders: tuple[Leader, ...]
    standings: tuple[Standing, ...]
    spread: SeedVariance | None
    forecast: Interval | None
    score_b: Interval
    instead_of: str | None = None

    @property
    def tied(self) -> tuple[str, ...] | None:
        """All configurations that may be as good as the picked one; None where that is unknown."""
        if self.spread is None:
            return None
        return tuple(standing.name for standing in self.standings if standing.tied)

    @property
    def weights_tied(self) -> tuple[str, ...]:
        """All trials whose weights may be as good as those of the first."""
        return tuple(standing.name for standing in self.standings if standing.weights_tied)

    def event(self, *, registered: str | None = None, final: str | None = None) -> Promoted:
        """The choice as the sweep's journal holds it.

        Args:
            registered: The registered model and its version.
            final: Name of the final run.
        """
        leaders = tuple(
            LeaderScores(
                trial=leader.name,
                validation=leader.standing.score.stated(),
                behind=leader.standing.behind.stated(),
                tied=leader.standing.weights_tied,
                score_a=leader.score_a.stated(),
                seeds=tuple(score if np.isfinite(score) else None for score in leader.seeds),
            )
            for leader in self.leaders
        )
        spread = None
        if self.spread is not None:
            numbers = float(self.spread.variance), float(self.spread.degrees)
            spread = StatedSpread(variance=numbers[0], degrees=numbers[1], source=self.spread.source)
        return Promoted(
            picked=self.picked,
            score_b=self.score_b.stated(),
            leaders=leaders,
            tied=self.tied,
            forecast=None if self.forecast is None else self.forecast.stated(),
            seed_variance=spread,
            registered=registered,
            final=final,
            by_hand=self.instead_of is not None,
        )


def configurations(
    folder: SweepFolder, state: SweepState, measure: Measure, *, chosen: str | None = None
) -> list[Configuration]:
    """The completed trials of a sweep with their replicates, best validation of the trial first.

    What began with the weights of another trial is none of them: its budget alone did not make it.

    Args:
        folder: Of the sweep.
        state: Of the sweep.
        measure: What the scores are.
        chosen: Name of a trial that is among them though it was pruned.

    Raises:
        RequestError: None has completed.
        WorkError: The scores of one cannot be read.
    """
    among = (trial for trial in state.trials.values() if not trial.is_warm)
    complete = [trial for trial in among if trial.state is TrialState.COMPLETE or trial.name == chosen]
    if not complete:
        raise RequestError(f"{folder.name} has no completed trial to promote; see oplstm status {folder.name}")
    found = []
    for trial in complete:
        runs = [trial, *_replicates(state, trial)]
        names = tuple(run.name for run in runs)
        values = np.stack([_validation(folder, name) for name in names])
        found.append((measure.cost(float(values[0].mean())), trial.number, Configuration(names, values)))
    return [configuration for _, _, configuration in sorted(found, key=lambda one: one[:2])]


def _replicates(state: SweepState, trial: Trial) -> list[Trial]:
    found, count = [], 1
    while (replicate := state.replicates.get(trial_name(trial.number, count))) is not None:
        if replicate.state in _COUNTED:
            found.append(replicate)
        count += 1
    return found


def _validation(folder: SweepFolder, name: str) -> Values:
    with readable(folder, name, again=_AGAIN):
        values: Values = load_validation_values(folder.trial(name)).numpy()
    return values


Rescore = Callable[[str, Split], Values]
"""Values of a run's best weights on a fresh block of validation tasks."""


def rescore_with(
    folder: SweepFolder,
    measure: Measure,
    *,
    seed: int,
    tasks: int,
    device: Device | None = None,
    told: Callable[[str], None] | None = None,
) -> Rescore:
    """Rescoring with the models in a sweep's folder.

    Args:
        folder: Of the sweep.
        measure: What the scores are.
        seed: Of the blocks.
        tasks: Of each block.
        device: Where to compute; None for the CPU.
        told: Hears what is being scored.
    """
    where = device or Device(data=folder.data)

    @functools.cache
    def rescore(name: str, split: Split) -> Values:
        if told is not None:
            told(f"scoring {name} on block {'A' if split is Split.PROMOTION_A else 'B'}")
        with readable(folder, name, again=_AGAIN):
            model = load_model(folder.trial(name), where)
            values: Values = model.scores(split, seed=seed, count=tasks)[measure.name].numpy()
        return values

    return rescore


def block_seed(sweep: str, found: Sequence[Configuration], promotions: int) -> int:
    """The seed of blocks A and B: fresh in each sweep, for each set of configurations and after each promotion.

    Args:
        sweep: Id of the sweep.
        found: What is picked from.
        promotions: How many there were before.
    """
    names = sorted(one.name for one in found)
    digest = hashlib.sha256("\n".join([sweep, str(promotions), *names]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def choose(
    found: Sequence[Configuration],
    rescore: Rescore,
    measure: Measure,
    *,
    leaders: int,
    earlier: SeedVariance | None = None,
    final_seeds: int = 3,
    final_tasks: int = 1000,
    chosen: str | None = None,
) -> Choice:
    """Re-score the leaders on block A, pick the best mean over seeds there, and report block B.

    The leaders are the configurations that have replicates; in a sweep without, those whose weights are statistically
    tied with the best.

    Args:
        found: Configurations, best validation first.
        rescore: Gives values on fresh tasks.
        measure: What the values are, and which are better.
        leaders: At most this many are re-scored where none has replicates.
        earlier: The variance over seeds in earlier sweeps, for one whose own replicates do not tell it.
        final_seeds: Of the final run of which a forecast is made.
        final_tasks: Test tasks of each of its seeds.
        chosen: Name of the trial that a user chose, which is re-scored too; None for the best.
    """
    replicated = [one for one in found if len(one.runs) > 1]
    before = standings(found, measure, best=0, spread=None)
    tied = [one for one, standing in zip(found, before, strict=True) if standing.weights_tied]
    leading = {one.name for one in (replicated or tied[:leaders])} | {chosen}
    scored = [rescored(one, rescore, Split.PROMOTION_A) for one in found if one.name in leading]
    decision = decide(
        found, scored, measure, earlier=earlier, final_seeds=final_seeds, final_tasks=final_tasks, chosen=chosen
    )
    by_name = {standing.name: standing for standing in decision.standings}
    winner = next(one for one in found if one.name == decision.picked)
    score_b = rescored(winner, rescore, Split.PROMOTION_B).values.mean(0)
    leaders_a = tuple(
        Leader(
            by_name[one.name],
            score_a=Interval.of(one.values.mean(0), over="tasks"),
            over_seeds=None if decision.spread is None else contender.score,
            seeds=contender.seed_means,
        )
        for one, contender in zip(scored, decision.contenders, strict=True)
    )
    return Choice(
        picked=decision.picked,
        leaders=leaders_a,
        standings=decision.standings,
        spread=decision.spread,
        forecast=decision.forecast,
        score_b=Interval.of(score_b, over="tasks"),
        instead_of=None if chosen is None else decision.best,
    )


def rescored(one: Configuration, rescore: Rescore, split: Split) -> Configuration:
    """A configuration with its scores on a fresh block."""
    return replace(one, values=np.stack([rescore(name, split) for name in one.runs]))
