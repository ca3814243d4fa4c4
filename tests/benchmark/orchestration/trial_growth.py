"""How the cost of a sweep's coordination grows with the number of its trials: real coordinator, nothing trained."""

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jobs.jobfile.reading import load_job
from jobs.jobfile.schema import Job
from jobs.store.header import Header
from jobs.store.state import SweepState
from oplstm.training.reports import Point, RunEnd
from tests.benchmark.orchestration.clocked import Clocked
from tests.jobs.formula_training import new_sweep, no_server

TRIALS = (100, 1_000, 10_000)
JOB = "sine-lstm"
POINTS = 3
"""Validation points of a trial beyond the one before its training."""
TIMED = 50
"""The last trials of each number, whose calls are timed."""
CALLS = ("next_pack", "started", "on_points", "on_ends", "progress")


def sections(progress: Callable[[str], object]) -> list[tuple[str, list[dict[str, Any]]]]:
    """A table of milliseconds a call, at each number of trials that have ended."""
    title = f"Coordination of a sweep by trials that have ended, {POINTS + 1} points each: medians of {TIMED} calls"
    with tempfile.TemporaryDirectory() as folder:
        job = load_job(JOB, ["pack=1"], trials=TRIALS[-1] + 1)  # one more than end, so that the sweep is never over
        return [(title, growth(job, Path(folder), trials=TRIALS, progress=progress))]


def growth(job: Job, home: Path, *, trials: Sequence[int], progress: Callable[[str], object]) -> list[dict[str, Any]]:
    """A row a number of trials: milliseconds a call of the coordinator, seconds to read its journal and to go on."""
    folder = new_sweep(home / "sweeps" / "growth", job)
    coordinator, rows, ended, dice = Clocked(folder, no_server), [], 0, random.Random(0)
    for count in trials:
        progress(f"a sweep of {count} trials, without training")
        while ended < count:
            if ended == count - TIMED:
                coordinator.seconds.clear()
            _one_trial(coordinator, dice)
            ended += 1
        calls = {f"{call}_ms": 1e3 * median(coordinator.seconds[call]) for call in CALLS}
        coordinator.close(flush_seconds=0)
        began = time.perf_counter()
        SweepState.of(folder, Header.read(folder))
        reading = time.perf_counter() - began
        began = time.perf_counter()
        coordinator = Clocked(folder, no_server)
        opening = time.perf_counter() - began
        rows.append(
            {
                "trials": count,
                **calls,
                "read_seconds": reading,
                "open_seconds": opening,
                "open_ms_a_trial": 1e3 * opening / count,
            }
        )
    coordinator.close(flush_seconds=0)
    return rows


def _one_trial(coordinator: Clocked, dice: random.Random) -> None:
    """Plays a pack's process for one trial."""
    assignment = coordinator.next_pack()
    [name] = assignment.trials
    coordinator.started(assignment.pack, {"oplstm.device": "cpu"})
    best = float("inf")
    for update in range(POINTS + 1):
        value = dice.random()
        best = min(best, value)
        metrics = {"val/loss": value, "val/ci95": value / 9, "val/best": best, "tasks_seen": float(update)}
        coordinator.on_points([Point(name, update, update, metrics)])
    coordinator.on_ends([RunEnd(name, "complete", POINTS, 0, {"val/best": best, "test/loss": best})])
    coordinator.progress()
