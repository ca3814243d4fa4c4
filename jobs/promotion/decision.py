"""What a promotion decides, from validation scores alone: one pure function."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from jobs.promotion.forecast import forecast
from jobs.promotion.scale import Scale
from jobs.promotion.seeds import SeedVariance, over_seeds, picked, seed_intervals, seed_variance, without_luck
from jobs.promotion.standing import Configuration, Standing, costs_of, standings
from jobs.store.intervals import Interval
from oplstm.episodes.measure import Measure


@dataclass(frozen=True)
class Contender:
    """A configuration that was scored on block A.

    Attributes:
        name: Of the trial that the sweep ranked.
        seed_means: Score of each seed's weights, the trial's own first.
        score: The configuration's, the luck of the trial's own seed taken off, with its interval over seeds and tasks;
            nan for the interval where the variance over seeds is unknown.
    """

    name: str
    seed_means: tuple[float, ...]
    score: Interval


@dataclass(frozen=True)
class Decision:
    """What a promotion decides.

    Attributes:
        picked: Name of the trial whose configuration is carried on: the best, or the one that a user chose.
        best: Name of the trial whose configuration has the best mean over its seeds on block A.
        contenders: All that were scored on block A.
        standings: All configurations of the sweep, as ``standings`` has them.
        spread: Variance over seeds, of the picked configuration; None where it is unknown.
        forecast: Of the final run's score; None where the picked configuration has no replicate.
    """

    picked: str
    best: str
    contenders: tuple[Contender, ...]
    standings: tuple[Standing, ...]
    spread: SeedVariance | None
    forecast: Interval | None


def decide(
    found: Sequence[Configuration],
    on_block_a: Sequence[Configuration],
    measure: Measure,
    *,
    earlier: SeedVariance | None,
    final_seeds: int,
    final_tasks: int,
    chosen: str | None = None,
) -> Decision:
    """Pick a configuration, and say how sure that is.

    Args:
        found: All configurations on the sweep's common validation tasks, the trial with the best score first.
        on_block_a: The leaders on block A, in the same order.
        measure: What the values are, and which are better.
        earlier: Variance over seeds in earlier sweeps of the same learner and benchmark, for where this sweep's
            replicates are too few; None where there are none.
        final_seeds: Of the final run.
        final_tasks: Test tasks of each of its seeds.
        chosen: Name of the trial that a user chose, one of those on block A; None for the best.
    """
    costs = costs_of(on_block_a, measure)
    scale, best = Scale.of(costs, measure), picked(costs.mean(-1))
    block = scale.block(costs)
    own = seed_variance(block)
    names = [one.name for one in on_block_a]
    place = best if chosen is None else np.asarray(names.index(chosen))
    winner = names[int(place)]
    unit = scale.variance_of_costs(float(over_seeds(without_luck(block.means))[place]))
    spread = replace(own, variance=own.variance * unit) if own.known else earlier
    unknown = SeedVariance(np.asarray(np.nan), np.asarray(0.0), "replicates")
    known = unknown if spread is None else replace(spread, variance=spread.variance / unit)
    means, halves = seed_intervals(block, known)
    foreseen = forecast(block, known, best=place, seeds=final_seeds, tasks=final_tasks)
    return Decision(
        winner,
        names[int(best)],
        tuple(
            Contender(
                one.name,
                tuple(float(value) for value in one.values.mean(-1)),
                scale.interval(float(means[row]), float(halves[row]), measure),
            )
            for row, one in enumerate(on_block_a)
        ),
        tuple(standings(found, measure, best=[one.name for one in found].index(winner), spread=spread)),
        spread,
        None if np.isnan(foreseen.mean) else scale.interval(float(foreseen.mean), float(foreseen.half_width), measure),
    )
