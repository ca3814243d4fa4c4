"""Results and endings in words."""

import math
from typing import TYPE_CHECKING

from jobs.operations.status import Status
from jobs.store.intervals import Interval
from jobs.store.states import SweepKind

if TYPE_CHECKING:  # they import torch
    from jobs.store.scores import FinalResult, Score


def interval(value: Interval) -> str:
    """``mean ± half-width``."""
    return f"{value.mean:.4f}" + ("" if math.isnan(value.half_width) else f" ± {value.half_width:.4f}")


def ending_lines(status: Status, result: "FinalResult | None") -> list[str]:
    """How a sweep, training or final run has ended, and what to do next."""
    best = "" if status.best is None else f", best validation {status.best:.4f} ({status.leader})"
    counts = ", ".join(f"{count} {state}" for state, count in status.counts.items())
    lines = [f"{status.name} {status.state}: {counts}{best}"]
    if result is not None:
        lines += result_lines(status.name, result)
    if status.state in ("stopped", "running"):
        lines.append(f"go on with: oplstm resume {status.name}")
    elif status.state == "incomplete":
        lines += [f"{trial.name} was lost: {trial.note}" for trial in status.lost]
        left = "; what is left can be promoted" if status.kind is SweepKind.SWEEP and status.has_result else ""
        lines.append(f"why: {status.folder}/tune.log{left}")
        lines.append(f"train what failed again with: oplstm rerun-failed {status.name}")
    elif status.kind is SweepKind.FINAL and result is None:
        lines.append(f"a seed did not complete, so there is no result; oplstm status {status.name} says why")
    elif not status.has_result:
        lines.append(f"no run completed; oplstm status {status.name} says why")
    elif status.kind is SweepKind.SWEEP:
        lines.append(f"look at it with: oplstm ui; promote the best with: oplstm promote {status.name}")
    return lines


def result_lines(name: str, result: "FinalResult") -> list[str]:
    """The test result of a final run, with the claim that each interval makes."""
    what = {"loss": "MSE", "accuracy": "accuracy"}[result.measure]
    named = "" if result.dataset is None else f" on {result.dataset}"
    lines = _score_lines(f"{name}: test {what}{named}", result.test)
    for dataset, score in result.cross.items():
        lines += _score_lines(f"{name}: {what} on {dataset}, across domains", score)
    if result.diverged:
        lines.append(f"  diverged, and tested with the best weights from before: {', '.join(result.diverged)}")
    return lines


def _score_lines(title: str, score: "Score") -> list[str]:
    seeds = len(score.seed_means)
    lines = [
        f"{title} {score.mean:.4f}",
        f"  ± {score.ci95_tasks:.4f} (95% over {score.tasks:,} test tasks: about these trained weights)",
    ]
    if seeds > 1:
        lines.append(f"  ± {score.ci95_seeds:.4f} (95% over {seeds} seeds: about the configuration)")
    return [*lines, "  seeds: " + "  ".join(f"{mean:.4f}" for mean in score.seed_means)]
