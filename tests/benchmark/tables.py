"""Rows for a person, as Markdown, and what their figures depend on."""

import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
HEADINGS = {
    "tasks_per_second": "tasks/s",
    "over_baseline": "x usual",
    "over_lstm_cell": "x LSTMCell",
    "over_alone": "x alone",
    "over_published": "x published",
    "ms_per_update": "ms an update",
    "peak_mib": "MiB",
    "validation_seconds": "s a validation",
    "server_cpu": "server's own CPU",
}
"""Of the columns that are not named by their key."""
SHARES = (
    *("sampling", "validation", "waiting", "working", "tracking", "progress", "deciding", "round_trip", "threads"),
    *("server_cpu", "scheduling", "outbox", "busy", "share", "idle"),
)
"""Columns in percent."""


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows below their title; a column in which nothing was measured is left out."""
    keys = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(key) is not None for row in rows)
    ]
    columns = []
    for key in keys:
        cells = [HEADINGS.get(key, key.replace("_", " ")), *(_cell(key, row.get(key)) for row in rows)]
        width = max(3, *map(len, cells))
        text = any(isinstance(row.get(key), str) for row in rows)
        cells = [cell.ljust(width) if text else cell.rjust(width) for cell in cells]
        columns.append([cells[0], "-" * width if text else "-" * (width - 1) + ":", *cells[1:]])
    lines = [f"| {' | '.join(line)} |" for line in zip(*columns, strict=True)]
    return "\n".join([f"### {title}", "", *lines, ""])


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if key in SHARES:
        return f"{100 * value:.3g} %"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value).replace("|", r"\|")


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*: (.*)", info.read_text(), re.MULTILINE)
        cpu = names[0] if names else cpu
    on_cuda = device.type == "cuda"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name(device) if on_cuda else cpu,
        "driver": _answer("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if on_cuda else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if on_cuda else None,
        "cpu": cpu,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "oplstm": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "commit": _answer("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"),
    }


def _answer(*command: str) -> str | None:
    """The first line that a program prints; None where it is not there or fails."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None
