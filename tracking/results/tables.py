"""The paper's tables with our results beside its cells, made from the final runs that MLflow holds."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tracking.results.paper_results import ACROSS_TABLE_4, OMNIGLOT_TABLE_2, SINE_TABLE_1, WITHIN_TABLE_3, PaperCell

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_NOT_RUN: Final = "not run"
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


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the paper, ours beside it."""

    number: int
    title: str
    metric: str
    cells: tuple[Cell, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data; a cell that was not run has `"ours": null` and is listed under "not_run"."""
        return asdict(self) | {"not_run": [_name(cell) for cell in self.cells if cell.ours is None]}

    def to_text(self, width: int = 118) -> str:
        """The table as text of at most `width` columns."""
        from rich.console import Console
        from rich.table import Table as RichTable

        grid = RichTable(title=f"Table {self.number}: {self.title}", title_justify="left")
        grid.add_column("method")
        for heading in ("tasks", "paper", "ours", "± seeds", "seeds"):
            grid.add_column(heading, justify="right")
        grid.add_column("final run", overflow="fold")
        previous = ""
        for cell in self.cells:
            if previous and cell.paper.method != previous:
                grid.add_section()
            grid.add_row(*_columns(cell, first=cell.paper.method != previous))
            previous = cell.paper.method
        text = io.StringIO()
        console = Console(file=text, width=width, color_system=None, highlight=False)
        console.print(grid)
        console.print(f"{self.metric}. ± is half of the 95% interval: over all test tasks pooled, and over seeds.")
        missing = [_name(cell) for cell in self.cells if cell.ours is None]
        if missing:
            console.print(f"Not run: {', '.join(missing)}.")
        return text.getvalue().rstrip()


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
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids), wanted, max_results=_PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


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


def _name(cell: Cell) -> str:
    return f"{cell.paper.method} {_task(cell.paper)}"


def _task(paper: PaperCell) -> str:
    """Such as "5-shot", "cub 1-shot" or "cub -> miniimagenet 1-shot"."""
    where = [] if paper.benchmark in ("sine", "omniglot") else [paper.benchmark]
    where += [] if paper.across is None else ["->", paper.across]
    return " ".join([*where, f"{paper.shots}-shot"])


def _columns(cell: Cell, *, first: bool) -> tuple[str, ...]:
    paper, ours = cell.paper, cell.ours
    left = (paper.method if first else "", _task(paper), _interval(paper.value, paper.ci95))
    if ours is None:
        return (*left, _NOT_RUN, "", "", "")
    seeds = "" if ours.ci95_seeds is None else f"{ours.ci95_seeds:.4f}"
    return (*left, _interval(ours.value, ours.ci95_tasks), seeds, str(ours.seeds), ours.run_name)


def _interval(value: float, half: float | None) -> str:
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"
