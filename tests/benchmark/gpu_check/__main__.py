"""The check of an NVIDIA GPU: ``python -m tests.benchmark.gpu_check``."""

import sys
import time
from pathlib import Path

import click
import psutil
import torch

from tests.benchmark.gpu_check.part import PARTS
from tests.benchmark.gpu_check.process import command_of, messages
from tests.benchmark.gpu_check.report import Report

SECONDS = 350.0
NO_GPU = 2

file = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option(
    "--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True,
    help="cpu tries the check itself, with tiny networks and tasks: its figures mean nothing.",
)  # fmt: skip
@click.option(
    "--only", type=click.Choice(list(PARTS)), multiple=True, help="A part; can be given again. All of them otherwise."
)
@click.option("--seconds", type=click.FloatRange(min=1), default=SECONDS, show_default=True, help="For everything.")
@click.option("--json", "json_file", type=file, default="gpu-check.json", show_default=True, help="For programs.")
@click.option("--markdown", "markdown_file", type=file, default="gpu-check.md", show_default=True, help="For people.")
def main(device: str, only: tuple[str, ...], seconds: float, json_file: Path, markdown_file: Path) -> None:
    """Test and measure an NVIDIA GPU, in at most six minutes.

    Both files are written anew with every figure, so what is known is never lost. Exit codes: 0, all parts are done;
    1, one has failed, which its part of the report explains; 2, there is no GPU, or the request was wrong.
    """
    if device == "cuda" and not torch.cuda.is_available():
        click.echo("no NVIDIA GPU", err=True)
        sys.exit(NO_GPU)
    report, end = Report(json_file, markdown_file), time.monotonic() + seconds - spent()
    names = [name for name in PARTS if not only or name in only]
    for done, name in enumerate(names):
        began = time.monotonic()
        weights = [PARTS[other].weight for other in names[done:]]
        report.begin(name, PARTS[name].title)
        click.echo(f"{name}: {PARTS[name].title}", err=True)
        share = max(1.0, end - began) * weights[0] / sum(weights)
        for message in messages(command_of(name, device, share), share):
            report.take(message)
        click.echo(report.end(time.monotonic() - began).markdown())
    click.echo(f"written: {json_file}, {markdown_file}", err=True)
    sys.exit(1 if report.failed else 0)


def spent() -> float:
    """Seconds since this process began: a cold start of PyTorch is part of the time."""
    return time.time() - psutil.Process().create_time()


if __name__ == "__main__":
    main()
