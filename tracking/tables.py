"""The paper's tables with our results beside its cells, made from the final runs that MLflow holds."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tracking.paper_results import SINE_TABLE_1, PaperCell

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_NOT_RUN: Final = "not run"
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
        for heading in ("shots", "paper", "ours", "± seeds", "seeds"):
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


def table_1(client: "MlflowClient", experiment_ids: Sequence[str] | None = None) -> Table:
    """Table 1 of the paper, sine regression; for each cell the newest final run that has a result.

    Args:
        client: Of the tracking server.
        experiment_ids: Where to look; everywhere by default.
    """
    found: dict[tuple[str, str, str], Result] = {}
    for run in _final_runs(client, "sine", experiment_ids):
        tags = run.data.tags
        learner = tags.get("oplstm.learner", "").replace("-", "_")
        mode = (tags.get("oplstm.mode") or "batched") if learner == "lstm" else ""
        found.setdefault((learner, mode, tags.get("oplstm.shots", "")), _result(run))
    cells = tuple(Cell(paper, found.get((paper.learner, paper.mode, str(paper.shots)))) for paper in SINE_TABLE_1)
    return Table(1, "sine regression, query MSE after learning from the support set", "Mean squared error", cells)


def _final_runs(client: "MlflowClient", benchmark: str, experiment_ids: Sequence[str] | None) -> "Iterator[Run]":
    """Final runs with a result, newest first."""
    if experiment_ids is None:
        experiment_ids = [experiment.experiment_id for experiment in client.search_experiments(max_results=_PAGE)]
    wanted = f"tags.`oplstm.kind` = 'final' AND tags.`oplstm.benchmark` = '{benchmark}'"
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids), wanted, max_results=_PAGE, order_by=["attributes.start_time DESC"], page_token=token
        )
        yield from (run for run in page if "final/test_loss" in run.data.metrics)
        token = page.token
        if not token:
            return


def _result(run: "Run") -> Result:
    metrics = run.data.metrics
    return Result(
        value=metrics["final/test_loss"],
        ci95_tasks=metrics.get("final/ci95_tasks"),
        ci95_seeds=metrics.get("final/ci95_seeds"),
        seeds=int(metrics.get("final/seeds", 1)),
        run_name=run.info.run_name or run.info.run_id,
        run_id=run.info.run_id,
        date=datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M"),
    )


def _name(cell: Cell) -> str:
    return f"{cell.paper.method} {cell.paper.shots}-shot"


def _columns(cell: Cell, *, first: bool) -> tuple[str, ...]:
    paper, ours = cell.paper, cell.ours
    left = (paper.method if first else "", str(paper.shots), _interval(paper.value, paper.ci95))
    if ours is None:
        return (*left, _NOT_RUN, "", "", "")
    seeds = "" if ours.ci95_seeds is None else f"{ours.ci95_seeds:.4f}"
    return (*left, _interval(ours.value, ours.ci95_tasks), seeds, str(ours.seeds), ours.run_name)


def _interval(value: float, half: float | None) -> str:
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"
