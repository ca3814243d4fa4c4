"""Meta-training tasks per second, ours beside one task at a time: ``python -m tests.benchmark``."""

import importlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from oplstm.durable import write_file
from oplstm.training.device import Device
from oplstm.training.machine.allocator import keep_freed_memory
from tests.benchmark import growth, images, mixed, ragged, sine
from tests.benchmark.measuring import Bench
from tests.benchmark.tables import machine, table

Tables = list[tuple[str, list[dict[str, Any]]]]
VERSION = 2
SECTIONS = ("sine", "omniglot", "conv4", "growth", "ragged", "orchestration", "sweep", "pages")
WITH_RAY = {
    "orchestration": "tests.benchmark.orchestration",
    "sweep": "tests.benchmark.orchestration.sweeps",
    "pages": "tests.benchmark.orchestration.pages",
}
"""Sections that import Ray and MLflow, which the numerical ones do without."""
MEMORY_GIB = 4.0
"""That no contender may take more of on a CPU."""


def measured(section: str, bench: Bench, packs: list[int] | None) -> Tables:
    """The tables of a section."""
    if section in WITH_RAY:
        found: Tables = importlib.import_module(WITH_RAY[section]).sections(bench)
        return found
    sections: Mapping[str, Callable[[Bench, list[int] | None], Tables]] = {
        "sine": sine.sections,
        "omniglot": images.omniglot,
        "conv4": images.conv4,
        "growth": growth.sections,
        "ragged": lambda bench, packs: [*ragged.sections(bench), *mixed.sections(bench)],
    }
    return sections[section](bench, packs)


def _packs(ctx: click.Context, param: click.Parameter, value: str | None) -> list[int] | None:
    if value is None:
        return None
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"must be whole numbers >= 1 with commas between, got {value!r}")
    return sorted({int(part) for part in parts})


def _only(ctx: click.Context, param: click.Parameter, value: str) -> list[str]:
    names = [part.strip() for part in value.split(",")]
    if unknown := [name for name in names if name not in SECTIONS]:
        raise click.BadParameter(f"sections are {', '.join(SECTIONS)}, got {', '.join(map(repr, unknown))}")
    return [name for name in SECTIONS if name in names]


@click.command()
@click.option("--only", default=",".join(SECTIONS), show_default=True, callback=_only, help="What to measure.")
@click.option("--seconds", default=3.0, show_default=True, type=click.FloatRange(min=0.001), help="Per contender.")
@click.option(
    "--packs", callback=_packs, help="Runs trained side by side, such as 1,64; otherwise as each section has them."
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="A CPU gives one core."
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the rows there.")
def main(only: list[str], seconds: float, packs: list[int] | None, device: str, json_file: Path | None) -> None:
    """Measure meta-training on this machine, beside the usual way to write it."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.BadParameter("PyTorch finds no GPU here", param_hint="--device")
    if device == "cpu":
        torch.set_num_threads(1)
    keep_freed_memory()
    bench = Bench(
        place=Device(device=torch.device(device)),
        seconds=seconds,
        limit_mib=1024 * MEMORY_GIB if device == "cpu" else None,
        progress=partial(click.echo, err=True),
    )
    document: dict[str, Any] = {"version": VERSION, "machine": machine(bench.place.device), "tables": []}
    for section in only:
        for title, rows in measured(section, bench, packs):
            click.echo(table(title, rows))
            document["tables"].append({"section": section, "title": title, "rows": rows})
        if json_file is not None:
            write_file(json_file, json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
