"""Whole sweeps of many shapes, with real Ray and a real MLflow server: one run a pack, packs, and the usual program."""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.jobfile.reading import load_job
from jobs.store.idle import idle_share
from jobs.sweep.proposals import Proposal, proposed
from oplstm.training.run import RunConfig
from tests.benchmark.baseline import BASELINES, BaselineTraining
from tests.benchmark.measuring import Bench
from tests.benchmark.orchestration.commands import seconds_of


@dataclass(frozen=True)
class Measured:
    """A sweep that is measured.

    Attributes:
        job: Of the shipped jobs.
        trials: Its first so many configurations; None for all.
        tasks: Of the budget of each.
        options: Further overrides.
    """

    job: str
    trials: int | None
    tasks: int
    options: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """What ``oplstm sweep`` is called with, but for the packs."""
        every = min(2500, self.tasks)
        budget = {"tasks": self.tasks, "validate_every": every, "validation_tasks": 200, "test_tasks": 200}
        values = [*(f"budget.{key}={value}" for key, value in budget.items()), "pruner={name: null}", *self.options]
        return [self.job, *(f"--set={value}" for value in values), *self._trials]

    @property
    def _trials(self) -> list[str]:
        return [] if self.trials is None else ["--trials", str(self.trials)]

    def runs(self) -> list[RunConfig]:
        """Its configurations."""
        overrides = [argument.removeprefix("--set=") for argument in self.arguments if argument.startswith("--set=")]
        job = load_job(self.job, overrides, trials=self.trials)
        return [found.run for found in proposed(job) if isinstance(found, Proposal)]


SWEEPS = (
    Measured("sine-lstm", 20, 7_000),
    Measured("sine-op-lstm", None, 500, ("convention=paper",)),  # 40 of its cells
)
USUAL_SECONDS = 1.0
"""Of the usual program a configuration."""


def sections(bench: Bench, sweeps: Sequence[Measured] = SWEEPS) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table: a row for every way to make each sweep."""
    rows = [row for sweep in sweeps for row in rows_of(sweep, bench)]
    return [("Whole sweeps on all cores, Ray's start, validation and test included", rows)]


def rows_of(sweep: Measured, bench: Bench) -> list[dict[str, Any]]:
    """A row for every way to make a sweep; the usual program's time is what some updates of each run foretell."""
    runs, cores = sweep.runs(), os.cpu_count() or 1
    tasks = sum(run.budget.update_count(run.meta_batch_size) * run.meta_batch_size for run in runs)
    bench.progress(f"{sweep.job}: one task at a time")
    usual = sum(usual_seconds(run, bench) for run in runs) / cores
    rows = [
        _row(sweep, "one task at a time (training alone, foretold)", seconds=usual, tasks=tasks, usual=usual, idle=None)
    ]
    for pack in ("1", "auto"):
        bench.progress(f"{sweep.job}: pack={pack}")
        with tempfile.TemporaryDirectory() as folder:
            command = ["sweep", *sweep.arguments, f"--set=pack={pack}", "--name", "measured"]
            seconds = seconds_of(command, Path(folder))
            idle = idle_share(Path(folder) / "sweeps" / "measured" / "journal.jsonl", slots=cores)
        rows.append(_row(sweep, f"pack: {pack}", seconds=seconds, tasks=tasks, usual=usual, idle=idle))
    return rows


def usual_seconds(run: RunConfig, bench: Bench) -> float:
    """Seconds of one core in which the usual program would train a run, from some of its updates."""
    last = replace(run, hyperparameters=_on_last_pass(run.hyperparameters))
    training = BaselineTraining(last, BASELINES[run.learner].kinds[0], bench.place)
    training.step()
    updates, began = 0, time.process_time()
    while updates == 0 or time.process_time() - began < min(USUAL_SECONDS, bench.seconds):
        training.step()
        updates += 1
    return (time.process_time() - began) / updates * run.budget.update_count(run.meta_batch_size)


def _on_last_pass(hyperparameters: Any) -> Any:
    """With the loss on the last pass, the only one that the usual program knows."""
    return replace(hyperparameters, loss_on="last")


def _row(
    sweep: Measured, packs: str, *, seconds: float, tasks: int, usual: float, idle: float | None
) -> dict[str, Any]:
    return {
        "job": sweep.job,
        "trials": len(sweep.runs()),
        "packs": packs,
        "seconds": seconds,
        "tasks_per_second": tasks / seconds,
        "over_baseline": usual / seconds,
        "idle": idle,
    }
