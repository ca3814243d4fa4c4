"""Whole commands, with real Ray and a real MLflow server: sweeps of trials that do no work, and plans of many."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TRIALS = (8, 48)
PLANNED = (1_000, 10_000)
JOB = "sine-lstm"
NO_WORK = {"tasks": 32, "validate_every": 32, "validation_tasks": 1, "test_tasks": 1}
"""The budget of a trial: one update, or a few of a small meta-batch."""


def sections(progress: Callable[[str], object]) -> list[tuple[str, list[dict[str, Any]]]]:
    """A table of sweeps and one of plans."""
    with tempfile.TemporaryDirectory() as folder:
        sweeps = []
        for trials in TRIALS:
            progress(f"a sweep of {trials} trials without work")
            options = [f"--set=budget.{key}={value}" for key, value in NO_WORK.items()]
            command = ["sweep", JOB, "--name", f"no-work-{trials}", "--trials", str(trials), "--set=pack=1", *options]
            sweeps.append(seconds_of(command, Path(folder)))
        plans = []
        for trials in PLANNED:
            progress(f"a plan of {trials} trials")
            plans.append(seconds_of(["plan", JOB, "--trials", str(trials)], Path(folder)))
    return [
        ("Sweeps of trials that do no work, one trial a pack", costs(TRIALS, sweeps)),
        ("oplstm plan, start of the process and timing of six configurations included", costs(PLANNED, plans)),
    ]


def costs(trials: Sequence[int], seconds: Sequence[float]) -> list[dict[str, Any]]:
    """A row a command: its seconds, and those that each further trial took since the row before."""
    rows: list[dict[str, Any]] = []
    for count, taken in zip(trials, seconds, strict=True):
        row = {"trials": count, "seconds": taken, "seconds_per_further_trial": None}
        if rows:
            row["seconds_per_further_trial"] = (taken - rows[-1]["seconds"]) / (count - rows[-1]["trials"])
        rows.append(row)
    return rows


def seconds_of(command: Sequence[str], home: Path) -> float:
    """Wall time of an ``oplstm`` command with its own home.

    Raises:
        subprocess.CalledProcessError: It failed; its output is in the error.
    """
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "jobs.cli", *command],
        env={**os.environ, "OPLSTM_HOME": str(home)}, check=True, capture_output=True,
    )  # fmt: skip
    return time.perf_counter() - began
