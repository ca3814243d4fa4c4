"""Rows for a person, and what their figures depend on."""

import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from tests.benchmark.measuring import Bench

SMALL_SHARES = (
    *("waiting", "working", "tracking", "progress", "deciding", "round_trip", "threads", "server_cpu"),
    *("scheduling", "outbox"),
)
COLUMNS = {
    "tasks_per_second": ("tasks/s", "{:.4g}"),
    "expected": ("expected", "{:,g}"),
    "over_baseline": ("× usual", "{:.2f}"),
    "over_lstm_cell": ("× LSTMCell", "{:.2f}"),
    "over_alone": ("× alone", "{:.2f}"),
    "over_published": ("× published", "{:.2f}"),
    "ms_per_update": ("ms/update", "{:.2f}"),
    "peak_mib": ("MiB", "{:.0f}"),
    "sampling": ("sampling", "{:.1%}"),
    "validation_seconds": ("s/validation", "{:.2f}"),
    "validation": ("validation", "{:.1%}"),
    **{name: (name.replace("_", " "), "{:.2%}") for name in SMALL_SHARES},
}
"""Heading and form of the columns that are not shown as they are."""


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """The rows below their title; a column in which nothing was measured is left out."""
    grid = Table(title=title)
    keys = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(key) is not None for row in rows)
    ]
    for key in keys:
        text = any(isinstance(row.get(key), str) for row in rows)
        grid.add_column(
            COLUMNS.get(key, (key.replace("_", " "),))[0], justify="left" if text else "right", no_wrap=text
        )
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        last = after is not None and _group(row) != _group(after)
        grid.add_row(*(_cell(key, row.get(key)) for key in keys), end_section=last)
    return grid


def _group(row: Mapping[str, Any]) -> list[Any]:
    """What rows that belong together share."""
    return [row.get(key) for key in ("learner", "convention", "factor")]


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in COLUMNS:
        return COLUMNS[key][1].format(value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def machine(bench: Bench) -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*: (.*)", info.read_text(), re.MULTILINE)
        cpu = names[0] if names else cpu
    return {
        "device": torch.cuda.get_device_name(bench.place.device) if bench.on_cuda else cpu,
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "oplstm": version("oplstm"),
    }
