"""What a person sees: progress bars and tables on stderr and stdout."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from jobs.operations.plan import Plan
from jobs.promotion.selection import Choice
from jobs.store.final import FinalResult, Score
from jobs.store.intervals import Interval
from oplstm.errors import RequestError

stderr = Console(stderr=True)
stdout = Console()


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar with best-so-far and time left; yields what takes ``Coordinator.progress``."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=stderr) as bar:
        task = bar.add_task(escape(title), total=None, note="starting")

        def show(progress: dict[str, Any]) -> None:
            counts = progress["counts"]
            ended = sum(counts.get(state, 0) for state in ("complete", "pruned", "diverged", "failed"))
            total = progress["asked"] if progress["exhausted"] else progress["trials"]
            parts = [f"{ended}/{total or '?'} runs"]
            if progress["best"] is not None:
                parts.append(f"best {progress['best']:.4f}")
            parts += [f"{counts[state]} {state}" for state in ("diverged", "failed") if counts.get(state)]
            if progress["tracking_error"]:
                parts.append(f"MLflow waits ({progress['waiting_records']} records)")
            bar.update(task, total=total, completed=progress["fraction"], note=", ".join(parts))

        try:
            yield show
        except RequestError:
            bar.live.transient = True  # nothing was started, so no bar stays behind
            raise


def interval(value: Interval) -> str:
    """``mean ± half-width``."""
    return f"{value.mean:.4f}" + ("" if math.isnan(value.half_width) else f" ± {value.half_width:.4f}")


def choice_table(choice: Choice) -> Table:
    """The leaders of a sweep and the one that was picked."""
    table = Table(title="Candidates: the best meta-validation and what is statistically tied with it")
    for heading in ("trial", "meta-validation", "behind the best", "block A (picks)", ""):
        table.add_column(heading)
    for leader in choice.leaders:
        mark = "picked" if leader.name == choice.picked else "tied"
        table.add_row(leader.name, interval(leader.validation), interval(leader.behind), interval(leader.score_a), mark)
    table.caption = f"{choice.picked} on block B, which picked nothing: {interval(choice.score_b)}"
    return table


def result_lines(name: str, result: FinalResult) -> list[str]:
    """The test result of a final run, with the claim that each interval makes."""
    what = {"loss": "MSE", "accuracy": "accuracy"}[result.measure]
    named = "" if result.dataset is None else f" on {result.dataset}"
    lines = _score_lines(f"{name}: test {what}{named}", result.test)
    for dataset, score in result.cross.items():
        lines += _score_lines(f"{name}: {what} on {dataset}, across domains", score)
    return lines


def _score_lines(title: str, score: Score) -> list[str]:
    seeds = len(score.seed_means)
    lines = [
        f"{title} {score.mean:.4f}",
        f"  ± {score.ci95_tasks:.4f} (95% over all test tasks pooled: about these trained weights)",
    ]
    if seeds > 1:
        lines.append(f"  ± {score.ci95_seeds:.4f} (95% over {seeds} seeds: about the configuration)")
    return [*lines, "  seeds: " + "  ".join(f"{mean:.4f}" for mean in score.seed_means)]


def plan_lines(plan: Plan) -> list[str]:
    """A plan in words."""
    hours = "unknown" if plan.cpu_hours is None else _duration(plan.cpu_hours * 3600)
    lines = [
        f"trials      {plan.trials}",
        f"signatures  {plan.signatures}",
        f"packs       {_packs(plan)}",
        f"time        about {hours} on one core, without pruning",
        f"disk        about {plan.disk_bytes / 2**20:.1f} MiB",
    ]
    if plan.learns_from_results is not None:
        lines.append(f"drawn       at random: what {plan.learns_from_results} proposes depends on results")
    return lines


def _packs(plan: Plan) -> str:
    if plan.pack_sizes is None:
        return str(plan.packs)
    sizes = ", ".join(map(str, plan.pack_sizes))
    if plan.packs is not None:
        return f"{plan.packs}, of up to {sizes} runs, as measured on this machine"
    known = f" but for those of up to {sizes} runs" if sizes else ""
    return f"of as many runs as pay, measured at the start{known}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def status_table(rows: list[dict[str, Any]]) -> Table:
    """One line a sweep."""
    table = Table()
    for heading in ("name", "kind", "state", "runs", "best", "leader"):
        table.add_column(heading)
    for row in rows:
        runs = ", ".join(f"{count} {state}" for state, count in row["counts"].items())
        best = "" if row["best"] is None else f"{row['best']:.4f}"
        table.add_row(row["name"], row["kind"], row["state"], runs, best, row["leader"] or "")
    return table


def trials_table(trials: list[dict[str, Any]]) -> Table:
    """One line a trial, best meta-validation first."""
    table = Table()
    for heading in ("trial", "state", "done", "val/best", "configuration"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        params = "  ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                           for name, value in trial["params"].items())  # fmt: skip
        best = "" if trial["best"] is None else f"{trial['best']:.4f}"
        table.add_row(trial["name"], trial["state"], f"{trial['fraction']:.0%}", best, escape(params))
    return table
