"""The paper's tables with our results beside its cells, made from the final runs that MLflow holds."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tracking.results.paper_results import ACROSS_TABLE_4, OMNIGLOT_TABLE_2, SINE_TABLE_1, WITHIN_TABLE_3, PaperCell
from tracking.server.client import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_ACCURACY: Final = "Accuracy"
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Result:
    """A final run of ours.

    Attributes:
        value: Mean over the test tasks of all seeds.
        ci95_tasks: Half-width of the 95% interval over all test tasks pooled; None if not known.
        ci95_seeds: The same over seeds; None with a single seed.
        seeds: How many seeds.
        run_name: Of the final run.
        run_id: In MLflow.
        date: When it started, UTC.
    """

    value: float
    ci95_tasks: float | None
    ci95_seeds: float | None
    seeds: int
    run_name: str
    run_id: str
    date: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the paper and what we have for it."""

    paper: PaperCell
    ours: Result | None

    @property
    def name(self) -> str:
        """Such as "OP-LSTM 5-shot"."""
        return f"{self.paper.method} {self.paper.task}"


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the paper, ours beside it."""

    number: int
    title: str
    metric: str
    cells: tuple[Cell, ...]

    @property
    def not_run(self) -> list[str]:
        """Names of the cells that we have nothing for."""
        return [cell.name for cell in self.cells if cell.ours is None]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a cell that was not run has `"ours": null` and is listed under "not_run"."""
        return asdict(self) | {"not_run": self.not_run}


TABLES: Final[dict[int, tuple[str, str, tuple[PaperCell, ...]]]] = {
    1: ("sine regression, query MSE after learning from the support set", "Mean squared error", SINE_TABLE_1),
    2: ("Omniglot, 5-way", _ACCURACY, OMNIGLOT_TABLE_2),
    3: ("miniImageNet and CUB, 5-way, within the domain", _ACCURACY, WITHIN_TABLE_3),
    4: ("miniImageNet and CUB, 5-way, across domains", _ACCURACY, ACROSS_TABLE_4),
}
"""Title, what the values are, and the paper's cells, by number."""


def paper_table(client: "MlflowClient", number: int, experiment_ids: Sequence[str] | None = None) -> Table:
    """A table of the paper; for each cell the newest final run that has a result.

    Args:
        client: Of the tracking server.
        number: 1 to 4.
        experiment_ids: Where to look; everywhere by default.
    """
    title, metric, papers = TABLES[number]
    runs = [run for name in {paper.benchmark for paper in papers} for run in _final_runs(client, name, experiment_ids)]
    return Table(number, title, metric, tuple(Cell(paper, _newest(paper, runs)) for paper in papers))


def _newest(paper: PaperCell, runs: "Sequence[Run]") -> Result | None:
    """The result of the newest of ``runs``, newest first, that is a final run of the cell."""
    for run in runs:
        tags = run.data.tags
        learner = tags.get("oplstm.learner", "").replace("-", "_")
        mode = (tags.get("oplstm.mode") or "batched") if learner == "lstm" else ""
        here = (tags.get("oplstm.benchmark"), learner, mode, tags.get("oplstm.shots"))
        if here == (paper.benchmark, paper.learner, paper.mode, str(paper.shots)):
            result = _result(run, paper)
            if result is not None:
                return result
    return None


def _final_runs(client: "MlflowClient", benchmark: str, experiment_ids: Sequence[str] | None) -> "Iterator[Run]":
    """Final runs, newest first."""
    if experiment_ids is None:
        experiment_ids = [experiment.experiment_id for experiment in client.search_experiments(max_results=_PAGE)]
    wanted = f"tags.`oplstm.kind` = 'final' AND tags.`oplstm.benchmark` = '{benchmark}'"
    return all_runs(client, experiment_ids, wanted, order_by=["attributes.start_time DESC"])


def _result(run: "Run", paper: PaperCell) -> Result | None:
    metrics = run.data.metrics
    if paper.benchmark == "sine":
        value, intervals = "final/test_loss", "final"
    elif paper.across is None:
        value, intervals = "final/test_accuracy", "final"
    else:
        intervals = f"final/cross/{paper.across}"
        value = f"{intervals}/accuracy"
    if value not in metrics:
        return None
    partial = run.data.tags.get("oplstm.partial_dataset")
    name = run.info.run_name or run.info.run_id
    return Result(
        value=metrics[value],
        ci95_tasks=metrics.get(f"{intervals}/ci95_tasks"),
        ci95_seeds=metrics.get(f"{intervals}/ci95_seeds"),
        seeds=int(metrics.get("final/seeds", 1)),
        run_name=name if partial is None else f"{name} (on {partial})",
        run_id=run.info.run_id,
        date=datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
    )
