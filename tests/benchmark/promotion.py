"""How good promotion's decisions are, on simulated sweeps with known truths: ``python -m tests.benchmark.promotion``.

Every decision is made by the functions that ``oplstm promote`` calls, many sweeps at a time. Scores are percentage
points, turned into costs (less is better); a sweep's configurations have true scores of standard deviation 1, seeds
move them by 0.5, a task's score has a standard deviation of 9 around them, and a part of that, the correlation, is the
same for all runs on a task. A run's weights are those of the best of its validation points.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import click
import numpy as np
from numpy.typing import NDArray

from jobs.promotion.forecast import forecast
from jobs.promotion.racing import next_seeds
from jobs.promotion.seeds import Block, picked, seed_intervals, seed_variance
from jobs.promotion.ties import Behind, configurations_margin, tied, weights_margin
from jobs.store.intervals import Interval, Values
from tests.benchmark.tables import table

CORRELATIONS = (0.0, 0.5, 0.8)
AT_A_TIME = 20  # sweeps; their tasks are all in memory


@dataclass(frozen=True)
class Sweeps:
    """What is simulated.

    Attributes:
        configurations: Of a sweep.
        draw: True costs of so many sweeps' configurations, from a generator and a shape.
        seed_sd: Standard deviation over seeds.
        task_sd: Of a task's score.
        correlation: Of two runs' scores on a task.
        tasks: Of a validation point.
        points: Validation points of a run.
        block_tasks: Of the blocks A and B.
        leaders: Configurations that are replicated.
        seeds: Replicates of each.
        raced: Configurations in a race.
        race_runs: Runs in a race.
        final_seeds: Of a final run.
    """

    configurations: int = 100
    draw: Callable[[np.random.Generator, tuple[int, ...]], Values] = field(
        default=lambda rng, shape: rng.standard_normal(shape)
    )
    seed_sd: float = 0.5
    task_sd: float = 9.0
    correlation: float = 0.5
    tasks: int = 600
    points: int = 32
    block_tasks: int = 4000
    leaders: int = 5
    seeds: int = 2
    raced: int = 10
    race_runs: int = 15
    final_seeds: int = 3

    @property
    def own_sd(self) -> float:
        """Of what a task's score has that no other run's has."""
        return float(self.task_sd * np.sqrt(1 - self.correlation))

    def more_seeds(self, rng: np.random.Generator, true: Values) -> Values:
        """True costs of the weights of another seed of each configuration."""
        return true + self.seed_sd * rng.standard_normal(true.shape)

    def scored(self, rng: np.random.Generator, true: Values, common: Values) -> Values:
        """``(..., tasks)``: every task's cost of weights ``(...)``, on tasks with these common parts ``(n, tasks)``."""
        own = self.own_sd * rng.standard_normal((*true.shape, common.shape[-1]))
        return own + true[..., None] + common.reshape(len(common), *[1] * (true.ndim - 1), -1)

    def validated(self, rng: np.random.Generator, true: Values, common: Values) -> Values:
        """The same on the validation tasks that chose the weights: the best of several draws of what is a run's own."""
        best = rng.standard_normal((*true.shape, self.points)).min(-1) * self.own_sd / np.sqrt(self.tasks)
        values = self.scored(rng, true, common)
        own_mean = values.mean(-1) - true - common.reshape(len(common), *[1] * (true.ndim - 1), -1).mean(-1)
        return values + (best - own_mean)[..., None]

    def common(self, rng: np.random.Generator, sweeps: int, tasks: int) -> Values:
        """What all runs share, of each task."""
        return self.task_sd * np.sqrt(self.correlation) * rng.standard_normal((sweeps, tasks))


Found = dict[str, Values]


def simulated(of: Sweeps, sweeps: int, seed: int = 0) -> Found:
    """What promotion decided in each of so many sweeps, beside the truth; arrays ``(sweeps,)``."""
    rng = np.random.default_rng(seed)
    parts = []
    for first in range(0, sweeps, AT_A_TIME):
        count = min(AT_A_TIME, sweeps - first)
        parts.append(_promoted(of, count, rng))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _promoted(of: Sweeps, count: int, rng: np.random.Generator) -> Found:
    true = of.draw(rng, (count, of.configurations))
    weights = of.more_seeds(rng, true)
    common = of.common(rng, count, of.tasks)
    validation = of.validated(rng, weights, common)
    means = validation.mean(-1)
    first = means.argmin(-1)
    behind = Behind.of(validation, first)
    found = {"weights tied": _holds(tied(behind, weights_margin(behind)), weights.argmin(-1))}
    found["without seeds"] = _holds(tied(behind, weights_margin(behind)), true.argmin(-1))
    found["regret, one seed"] = _at(true, first) - true.min(-1)

    leading = means.argsort(-1)[:, : of.leaders]
    seeds = _with_replicates(of, rng, true=_at(true, leading), chosen=_at(weights, leading))
    block = Block.of(of.scored(rng, seeds, of.common(rng, count, of.block_tasks)))
    spread, best = seed_variance(block), picked(block.means)
    pick = _at(leading, best)
    found["regret"] = _at(true, pick) - true.min(-1)
    found["seed variance"] = spread.variance

    fair, half = seed_intervals(block, spread)
    found["leaders' seeds"] = (abs(fair - _at(true, leading)) <= half).mean(-1)

    fresh = of.validated(rng, seeds[..., 1:], common)
    values, counts = validation.copy(), np.ones(true.shape)
    rows = np.arange(count)[:, None]
    values[rows, leading] = (values[rows, leading] + fresh.sum(-2)) / (1 + of.seeds)
    counts[rows, leading] = 1 + of.seeds
    behind = Behind.of(values, pick)
    among = tied(behind, configurations_margin(behind, spread, counts=counts, best=pick))
    found["configurations tied"] = _holds(among, true.argmin(-1))
    found["how many"] = among.sum(-1).astype(float)

    foreseen = forecast(block, spread, best=best, seeds=of.final_seeds, tasks=of.tasks)
    score_b = Block.of(of.scored(rng, seeds, of.common(rng, count, of.block_tasks))).means
    chosen = _at(true, pick)
    found["forecast"] = foreseen.mean - chosen
    found["block B, mean over seeds"] = _at(score_b.mean(-1), best) - chosen
    found["block B, its weights"] = _at(score_b[..., 0], best) - chosen
    finals = of.more_seeds(rng, np.repeat(chosen[:, None], of.final_seeds, 1))
    tested = np.concatenate([of.scored(rng, final, of.common(rng, count, of.tasks)).mean(-1)[:, None]
                             for final in finals.T], axis=1)  # fmt: skip
    intervals = [Interval.of(of_seeds, over="seeds") for of_seeds in tested]
    found["final seeds"] = np.array([abs(i.mean - c) <= i.half_width for i, c in zip(intervals, chosen, strict=True)])
    found["forecast interval"] = abs(foreseen.mean - tested.mean(-1)) <= foreseen.half_width
    return found | _raced(of, rng, true, weights=weights, means=means)


def _with_replicates(of: Sweeps, rng: np.random.Generator, *, true: Values, chosen: Values) -> Values:
    """``(sweeps, leaders, 1 + seeds)``, true costs of weights."""
    fresh = of.more_seeds(rng, np.repeat(true[..., None], of.seeds, -1))
    return np.concatenate([chosen[..., None], fresh], -1)


def _raced(of: Sweeps, rng: np.random.Generator, true: Values, *, weights: Values, means: Values) -> Found:
    """Regret of a race's winner, how many runs it took, and the forecast after it; made of means on block A alone."""
    leading = means.argsort(-1)[:, : of.raced]
    shape = (*leading.shape, of.race_runs + 1)
    noise = of.own_sd / np.sqrt(of.block_tasks)
    seeds = of.more_seeds(rng, np.broadcast_to(_at(true, leading)[..., None], shape))
    seeds[..., 0] = _at(weights, leading)
    scores = seeds + noise * rng.standard_normal(shape)
    counts, left = np.ones(leading.shape, int), np.full(len(true), of.race_runs)
    while True:
        shown = np.where(np.arange(shape[-1]) < counts[..., None], scores, np.nan)
        block = Block(shown, np.full(len(true), noise**2), np.full(shape, of.task_sd**2), of.block_tasks)
        more = next_seeds(block, left=left)
        if not more.any():
            best = picked(block.means)
            winner = _at(true, _at(leading, best))
            foreseen = forecast(block, seed_variance(block), best=best, seeds=of.final_seeds, tasks=of.tasks)
            found = {"race": winner - true.min(-1), "race runs": counts.sum(-1) - float(of.raced)}
            return found | {"after a race": foreseen.mean - winner}
        counts, left = counts + more, left - more.sum(-1)


def _at(values: NDArray, index: NDArray[np.intp]) -> NDArray:
    """Of each sweep the value with its index, or its values with its indices."""
    if index.ndim == values.ndim:
        return np.take_along_axis(values, index, -1)
    return np.take_along_axis(values, index[..., None], -1)[..., 0]


def _holds(among: NDArray[np.bool_], index: NDArray[np.intp]) -> Values:
    return _at(among, index).astype(float)


def row(of: Sweeps, found: Found) -> dict[str, float | str]:
    """The figures of a table's row."""
    error = {name: float(np.sqrt((found[name] ** 2).mean())) for name in found if name == "forecast" or "block" in name}
    return {
        "correlation": of.correlation,
        "weights tied hold the best weights": _share(found["weights tied"]),
        "and the best configuration": _share(found["without seeds"]),
        "configurations tied hold it": _share(found["configurations tied"]),
        "how many": round(float(found["how many"].mean()), 1),
        "regret, one seed": round(float(found["regret, one seed"].mean()), 3),
        "replicates": round(float(found["regret"].mean()), 3),
        "race": round(float(found["race"].mean()), 3),
        "race runs": round(float(found["race runs"].mean()), 1),
        "seed sd": round(float(np.sqrt(found["seed variance"].mean())), 3),
        "forecast bias": round(float(-found["forecast"].mean()), 3),
        "forecast error": round(error["forecast"], 3),
        "... after a race": round(float(-np.nanmean(found["after a race"])), 3),
        "block B bias": round(float(-found["block B, mean over seeds"].mean()), 3),
        "error after a race": round(float(np.sqrt(np.nanmean(found["after a race"] ** 2))), 3),
        "block B error": round(error["block B, mean over seeds"], 3),
        "one seed's": round(error["block B, its weights"], 3),
        "final seeds cover": _share(found["final seeds"]),
        "leaders' seeds cover": _share(found["leaders' seeds"]),
        "forecast covers": _share(found["forecast interval"]),
    }


def _share(of: Values) -> str:
    return f"{100 * of.mean():.1f} %"


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Values:
    """Costs of configurations that crowd below a ceiling, as accuracies do."""
    return rng.gamma(1.5, 1.0, shape)


def tables(sweeps: int) -> list[tuple[str, list[dict[str, float | str]]]]:
    """The figures of so many sweeps of each kind."""
    grids = {"normal": Sweeps(), "skewed, below a ceiling": Sweeps(draw=skewed)}
    made = []
    for name, grid in grids.items():
        rows = []
        for correlation in CORRELATIONS:
            of = replace(grid, correlation=correlation)
            rows.append(row(of, simulated(of, sweeps)))
        made.append((f"{sweeps:,} sweeps of {grid.configurations} configurations, true scores {name}", rows))
    return made


def turned(rows: list[dict[str, float | str]]) -> list[dict[str, float | str]]:
    """A column each instead of a row each."""
    first, *rest = rows[0]
    return [{first: name, **{str(one[first]): one[name] for one in rows}} for name in rest]


@click.command()
@click.option("--sweeps", default=2000, show_default=True, type=click.IntRange(min=1), help="Of each kind.")
def main(sweeps: int) -> None:
    """Simulate promotion on sweeps with known truths."""
    started = time.process_time()
    for title, rows in tables(sweeps):
        click.echo(table(title, turned(rows)))
    click.echo(f"{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    main()
