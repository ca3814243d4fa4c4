"""How the cost of a sweep's coordination grows with the number of its trials: real coordinator, nothing trained."""

import random
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from jobs.jobfile.schema import Job, load_job
from jobs.store.home import SweepFolder
from jobs.store.state import Header
from jobs.sweep.coordinator import Coordinator
from oplstm.training.reports import Point, RunEnd

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
        return [(title, growth(job, Path(folder), TRIALS, progress))]


def growth(job: Job, home: Path, trials: Sequence[int], progress: Callable[[str], object]) -> list[dict[str, Any]]:
    """A row a number of trials: milliseconds a call of the coordinator, and seconds to open it again."""
    folder = new_sweep(home / "sweeps" / "growth", job)
    coordinator, rows, ended, dice = Coordinator(folder, _no_server), [], 0, random.Random(0)
    for count in trials:
        progress(f"a sweep of {count} trials, without training")
        taken: dict[str, list[float]] = {}
        while ended < count:
            if ended == count - TIMED:
                taken.clear()
            _one_trial(coordinator, dice, taken)
            ended += 1
        coordinator.close(flush_seconds=0)
        began = time.perf_counter()
        coordinator = Coordinator(folder, _no_server)
        opening = time.perf_counter() - began
        calls = {f"{call}_ms": 1e3 * median(taken[call]) for call in CALLS}
        rows.append({"trials": count, **calls, "open_seconds": opening, "open_ms_a_trial": 1e3 * opening / count})
    coordinator.close(flush_seconds=0)
    return rows


def new_sweep(path: Path, job: Job, kind: str = "sweep") -> SweepFolder:
    """The folder of a sweep that has not begun."""
    folder = SweepFolder(path)
    header = Header(
        id=uuid.uuid4().hex, name=path.name, kind=kind, experiment="benchmark", job=job.model_dump(mode="json"),
        tracking_uri=None, provenance={}, created=time.time(),
    )  # fmt: skip
    header.write(folder)
    return folder


def _no_server() -> str:
    """Shipping is measured elsewhere."""
    raise ConnectionError("no MLflow server")


def _one_trial(coordinator: Coordinator, dice: random.Random, taken: dict[str, list[float]]) -> None:
    """Plays a pack's process for one trial; the seconds of each call are added to ``taken``."""

    def timed(call: str, *arguments: Any) -> Any:
        began = time.perf_counter()
        answer = getattr(coordinator, call)(*arguments)
        taken.setdefault(call, []).append(time.perf_counter() - began)
        return answer

    assignment = timed("next_pack")
    [name] = assignment["names"]
    started = timed("started", assignment["pack"], {"oplstm.device": "cpu"})
    [run] = started["runs"]
    total, every, size = run["budget"]["tasks"], run["budget"]["tasks"] // POINTS, run["meta_batch_size"]
    best = float("inf")
    for milestone in range(0, total + 1, every):
        value = dice.random()
        best = min(best, value)
        metrics = {"val/loss": value, "val/ci95": value / 9, "val/best": best, "tasks_seen": float(milestone)}
        timed("on_points", [Point(name, milestone // size, milestone, metrics)])
    timed("on_ends", [RunEnd(name, "complete", total // size, 0, {"val/best": best, "test/loss": best})])
    timed("progress")
