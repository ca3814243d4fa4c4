"""The paper's tables with our results beside its cells, made from the final runs that MLflow holds.

A final run stands in a cell only where everything that defines the cell agrees (``conditions.differences``); all others
are listed with what differs. So do trainings of the configurations that the paper publishes, which stand in a column of
their own: what their configuration gives in our hands is another question than what ours gives.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, Literal

from oplstm.errors import RequestError
from tracking.results.conditions import budget_used, code_versions, differences, parameters, same_learner
from tracking.results.final_runs import FinalRun, final_runs
from tracking.results.paper_results import ACROSS_TABLE_4, OMNIGLOT_TABLE_2, SINE_TABLE_1, WITHIN_TABLE_3, PaperCell

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ACCURACY: Final = "Accuracy"
Meet = Literal["yes", "over seeds", "no"]


@dataclass(frozen=True, slots=True)
class Result:
    """A final run of ours.

    Attributes:
        value: Mean over the test tasks of all seeds.
        ci95_tasks: Half-width of the 95% interval over test tasks; None if not known.
        ci95_seeds: The same over seeds; None with a single seed.
        seeds: How many seeds.
        budget: How long each seed trained, on average.
        parameters: Trained parameters of one seed.
        hours: Of training, a seed, on average; None if not known.
        code: Version of oplstm, a commit where it is known.
        run_name: Of the final run.
        run_id: In MLflow.
        date: When it started, UTC.
    """

    value: float
    ci95_tasks: float | None
    ci95_seeds: float | None
    seeds: int
    budget: str | None
    parameters: int | None
    hours: float | None
    code: str
    run_name: str
    run_id: str
    date: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the paper and what we have for it.

    Attributes:
        paper: It.
        ours: The final run of a configuration that a sweep of ours has picked.
        retrained: The published configuration, trained here.
    """

    paper: PaperCell
    ours: Result | None
    retrained: Result | None = None

    @property
    def name(self) -> str:
        """Such as "OP-LSTM 5-shot"."""
        return f"{self.paper.method} {self.paper.task}"

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.ours is None else self.ours.value - self.paper.value

    @property
    def intervals_meet(self) -> Meet | None:
        """Whether our interval meets the paper's: over tasks, which both have; else over seeds, which only ours has."""
        if self.ours is None:
            return None
        apart = abs(self.ours.value - self.paper.value) - self.paper.ci95
        if apart <= (self.ours.ci95_tasks or 0.0):
            return "yes"
        return "over seeds" if apart <= (self.ours.ci95_seeds or 0.0) else "no"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"difference": self.difference, "intervals_meet": self.intervals_meet}


@dataclass(frozen=True, slots=True)
class Other:
    """A final run that stands in no cell of a table.

    Attributes:
        run_name: Of the final run.
        run_id: In MLflow.
        date: When it started, UTC.
        what: Such as "lstm 5-shot on sine".
        value: Its result.
        seeds: How many seeds.
        differs: In what it differs from the cell, or why another stands there.
    """

    run_name: str
    run_id: str
    date: str
    what: str
    value: float
    seeds: int
    differs: tuple[str, ...]

    @property
    def line(self) -> str:
        """In words."""
        return f"{self.run_name} ({self.what}, {self.value:.4f}): {'; '.join(self.differs)}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the paper, ours beside it."""

    number: int
    title: str
    metric: str
    cells: tuple[Cell, ...]
    others: tuple[Other, ...] = ()

    @property
    def not_run(self) -> list[str]:
        """Names of the cells that we have nothing for."""
        return [cell.name for cell in self.cells if cell.ours is None]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a cell that was not run has `"ours": null` and is listed under "not_run"."""
        named = {"number": self.number, "title": self.title, "metric": self.metric}
        others = [asdict(other) | {"differs": list(other.differs)} for other in self.others]
        return named | {"cells": [cell.to_dict() for cell in self.cells], "others": others, "not_run": self.not_run}


TABLES: Final[dict[int, tuple[str, str, tuple[PaperCell, ...]]]] = {
    1: ("sine regression, query MSE after learning from the support set", "Mean squared error", SINE_TABLE_1),
    2: ("Omniglot, 5-way", _ACCURACY, OMNIGLOT_TABLE_2),
    3: ("miniImageNet and CUB, 5-way, within the domain", _ACCURACY, WITHIN_TABLE_3),
    4: ("miniImageNet and CUB, 5-way, across domains", _ACCURACY, ACROSS_TABLE_4),
}
"""Title, what the values are, and the paper's cells, by number."""


def runs_of(
    client: "MlflowClient", number: int, experiment_ids: Sequence[str] | None = None, *, also: Collection[str] = ()
) -> list[FinalRun]:
    """The final runs that a tracking server holds on the benchmarks of a table of the paper.

    Args:
        client: Of the tracking server.
        number: 1 to 4.
        experiment_ids: Where to look; everywhere by default.
        also: Names of trainings that are neither final runs nor of a published configuration.

    Raises:
        RequestError: There is no training of such a name with a result on these benchmarks.
    """
    benchmarks = sorted({paper.benchmark for paper in TABLES[number][2]})
    runs = final_runs(client, benchmarks, experiment_ids, also=also)
    tested = {run.parent.name for run in runs if "final/seeds" in run.parent.metrics}
    for name in also:
        if name not in tested:
            raise RequestError(f"no tested training {name!r} on {' or '.join(benchmarks)} is on the server")
    return runs


def table_of(number: int, runs: Sequence[FinalRun]) -> Table:
    """A table of the paper with these final runs, the newest first; those on other benchmarks are passed over.

    Of several that are exact for a cell the best documented stands in it: that with most seeds, of equals the newest.
    """
    title, metric, papers = TABLES[number]
    runs = [run for run in runs if _benchmark(run) in {paper.benchmark for paper in papers}]
    cells: list[Cell] = []
    others: dict[tuple[int, str], Other] = {}

    def list_below(run: FinalRun, paper: PaperCell, *why: str) -> None:
        others[runs.index(run), paper.task] = _other(run, paper, why)

    for paper in papers:
        found = [run for run in runs if _is_of(run, paper) and _metric(paper) in run.parent.metrics]
        differing = {run.parent.run_id: differences(run, paper) for run in found}
        in_cell: dict[bool, Result] = {}
        for published in (False, True):
            of = [run for run in found if run.published is published]
            exact = sorted((run for run in of if not differing[run.parent.run_id]), key=lambda run: -run.seed_count)
            if exact:
                in_cell[published] = _result(exact[0], paper)
            for run in exact[1:]:
                why = "fewer seeds" if run.seed_count < exact[0].seed_count else "older"
                list_below(run, paper, f"exact, but {why} than {exact[0].parent.name}, which stands in the cell")
        cells.append(Cell(paper, in_cell.get(False), in_cell.get(True)))
        for run in found:
            if differing[run.parent.run_id]:
                list_below(run, paper, *differing[run.parent.run_id])
    for run in runs:
        if not any(_is_of(run, paper) for paper in papers):
            alike = {_metric(paper): paper for paper in papers if paper.benchmark == _benchmark(run)}
            for metric_name, paper in alike.items():
                if metric_name in run.parent.metrics:
                    list_below(run, paper, f"the table has no cell of {run.label}")
    return Table(number, title, metric, tuple(cells), tuple(others[key] for key in sorted(others)))


def _benchmark(run: FinalRun) -> str | None:
    return run.parent.tags.get("oplstm.benchmark")


def _is_of(run: FinalRun, paper: PaperCell) -> bool:
    return same_learner(run, paper) and run.parent.tags.get("oplstm.shots") == str(paper.shots)


def _intervals(paper: PaperCell) -> str:
    return "final" if paper.across is None else f"final/cross/{paper.across}"


def _metric(paper: PaperCell) -> str:
    if paper.across is not None:
        return f"{_intervals(paper)}/accuracy"
    return "final/test_loss" if paper.benchmark == "sine" else "final/test_accuracy"


def _other(run: FinalRun, paper: PaperCell, differs: tuple[str, ...]) -> Other:
    parent, across = run.parent, "" if paper.across is None else f" -> {paper.across}"
    value = parent.metrics[_metric(paper)]
    return Other(parent.name, parent.run_id, parent.date, f"{run.label}{across}", value, run.seed_count, differs)


def _half_widths(run: FinalRun, paper: PaperCell) -> tuple[float | None, float | None]:
    """Of the intervals over tasks and over seeds; of a training of an older version, bounds of them.

    Those versions pooled the tasks of seeds that had met the same ones, as if they were different; they recorded no
    number of tasks. The mean over seeds of a task varies at most as much as a seed's value does on average.
    """
    metrics = run.parent.metrics
    over_tasks, over_seeds = (metrics.get(f"{_intervals(paper)}/ci95_{of}") for of in ("tasks", "seeds"))
    met = {seed.tags.get("digest.test_tasks") for seed in run.seeds}
    if "final/tasks" in metrics or len(run.seeds) < 2 or len(met) > 1 or None in met or over_seeds is None:
        return over_tasks, over_seeds
    of_one = "test/ci95" if paper.across is None else f"cross/{paper.across}/ci95"
    bound = fmean(seed.metrics.get(of_one, math.inf) for seed in run.seeds)
    return (bound, math.hypot(over_seeds, bound)) if bound < math.inf else (None, None)


def _result(run: FinalRun, paper: PaperCell) -> Result:
    metrics, parent = run.parent.metrics, run.parent
    over_tasks, over_seeds = _half_widths(run, paper)
    hours = [seed.metrics.get("train/hours") for seed in run.seeds]
    known = [value for value in hours if value is not None]
    return Result(
        value=metrics[_metric(paper)],
        ci95_tasks=over_tasks,
        ci95_seeds=over_seeds,
        seeds=run.seed_count,
        budget=budget_used(run),
        parameters=parameters(run),
        hours=sum(known) / len(known) if known and len(known) == len(hours) else None,
        code=", ".join(code_versions(run)),
        run_name=parent.name,
        run_id=parent.run_id,
        date=parent.date,
    )
