"""The verbs ``oplstm data``: import an image dataset, and see what was imported."""

import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from jobs.cli.output import say
from oplstm.errors import RequestError

# torch, torchvision and rich are imported by the verbs that need them: a wrong request is answered at once.

as_json = click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")


@click.group()
def data() -> None:
    """Import image datasets, and see which are there."""


@data.command("import")
@click.argument("dataset")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--download", is_flag=True, help="Fetch it from its public home (Omniglot only).")
@click.option("--partial", is_flag=True, help="Accept a source that lacks whole classes, as another dataset.")
@click.option("--name", help="DATASET is a folder of class folders, or an archive of one, and this its name.")
@click.option("--size", type=int, metavar="PIXELS", help="With --name: height and width to store; 84 by default.")
@click.option("--gray", "--grey", "grey", is_flag=True, help="With --name: store one channel instead of three.")
@click.option(
    "--split", type=click.Path(path_type=Path), help="With --name: a JSON or CSV of the classes of each split."
)
@as_json
def import_(
    dataset: str,
    path: Path | None,
    download: bool,
    partial: bool,
    name: str | None,
    size: int | None,
    grey: bool,
    split: Path | None,
    json_: bool,
) -> None:
    """Import DATASET (omniglot, miniimagenet or cub) from PATH, a folder or an archive, in place of an earlier import.

    With --name, DATASET is a folder of your own with a folder of pictures for each class: docs/datasets.md says how it
    says which classes are for meta-training, validation and test, and where to get the other three.
    """
    if name is not None:
        if path is not None or download or partial:
            raise RequestError(
                "--name goes with a folder of your own alone, without a second PATH, --download, --partial"
            )
        _import_own(Path(dataset), name, size=84 if size is None else size, grey=grey, split=split, as_json=json_)
        return
    if size is not None or grey or split is not None:
        raise RequestError("--size, --gray and --split go with --name, for a folder of your own")

    from jobs.store.home import Home
    from oplstm.episodes.datasets.class_lists import DATASETS, class_list

    if dataset not in DATASETS and Path(dataset).exists():
        raise RequestError(f"{dataset} is none of {', '.join(DATASETS)}; for a folder of your own give it a --name")
    listed = class_list(dataset)
    _check_where(listed.title, dataset, str(listed.about["source"]), path=path, download=download)

    from oplstm.episodes.datasets.importing import import_dataset

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's end clears up like Ctrl-C
    home, started = Home().data, time.perf_counter()
    with _downloaded() if path is None else contextlib.nullcontext(path) as source, _bar(listed.title) as show:
        import_dataset(dataset, source, home, partial=partial, on_progress=show)
    entry = _entry(home, dataset, started)
    say(json.dumps(entry, indent=2) if json_ else "\n".join(_report(entry)))


def _import_own(source: Path, name: str, *, size: int, grey: bool, split: Path | None, as_json: bool) -> None:
    from jobs.store.home import Home
    from oplstm.episodes.datasets.importing import import_folders

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home, started = Home().data, time.perf_counter()
    with _bar(name) as show:
        import_folders(name, source, home, size=size, grey=grey, split=split, on_progress=show)
    entry = _entry(home, name, started)
    ways = min(5, *entry["splits"].values())
    use = f"name: images, dataset: {name}, size: {size}, grey: {str(grey).lower()}, ways: {ways}, shots: 1"
    lines = [*_report(entry), f"in a job: benchmark: {{{use}}}"]
    say(json.dumps(entry, indent=2) if as_json else "\n".join(lines))


def _entry(home: Path, name: str, started: float) -> dict[str, Any]:
    """What ``status`` says of a dataset that was imported since ``started``, and how long that took."""
    from oplstm.episodes.datasets.store import dataset_status

    [entry] = [one for one in dataset_status(home) if one["name"] == name]
    return {**entry, "seconds": round(time.perf_counter() - started, 1)}


def _check_where(title: str, dataset: str, home: str, *, path: Path | None, download: bool) -> None:
    """Refuse a request that does not say where the images come from, and one that says it twice."""
    can_download = dataset == "omniglot"
    if download and not can_download:
        raise RequestError(
            f"--download fetches omniglot only; {title} is to be had by hand, under its terms, from: {home} "
            f"(docs/datasets.md says how); then: oplstm data import {dataset} PATH"
        )
    if download and path is not None:
        raise RequestError(f"give {path} or --download, not both")
    if path is None and not download:
        instead = ", or --download to fetch them" if can_download else f"; they are to be had from: {home}"
        raise RequestError(f"give the PATH of {title}'s images, a folder or an archive{instead}")


@contextlib.contextmanager
def _downloaded() -> Iterator[Path]:
    """A folder with Omniglot's archives, which is gone afterwards."""
    from oplstm.episodes.datasets.importing import download_omniglot

    def say(done: int, total: int) -> None:
        if done < total:
            click.echo(f"downloading archive {done + 1} of {total}", err=True)

    with tempfile.TemporaryDirectory(prefix="oplstm-omniglot-") as folder:
        yield download_omniglot(Path(folder), say)


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with images a second and time left, gone at the end; yields what takes images done and in all."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=None, rate="looking for the images")

        def show(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate=f"{speed:,.0f} images/s" if speed else "")

        yield show


def _report(entry: dict[str, Any]) -> list[str]:
    from rich.filesize import decimal

    splits = ", ".join(f"{count} {split}" for split, count in entry["splits"].items())
    return [
        f"imported {entry['title']} in {entry['seconds']} s: {entry['images']:,} images of {_size(entry['size'])}, "
        f"{entry['classes']} classes ({splits}), {decimal(entry['disk_bytes'])} in {entry['folder']}",
        f"digest {entry['digest']}",
        *entry["notes"],
    ]


@data.command()
@click.option("--verify", is_flag=True, help="Compute every digest anew from the pixels on disk.")
@as_json
def status(verify: bool, json_: bool) -> None:
    """Show which datasets are there; the exit code is 1 if one of them has a problem."""
    from jobs.store.home import Home
    from oplstm.episodes.datasets.store import dataset_status

    home = Home().data
    entries = dataset_status(home)
    if verify:
        _verify(entries)
    if json_:
        click.echo(json.dumps(entries, indent=2))
    elif not entries:
        say(f"no dataset in {home} yet; for one: oplstm data import omniglot --download")
    else:
        _show(entries)
    if any(entry["problem"] for entry in entries):
        sys.exit(1)


def _verify(entries: list[dict[str, Any]]) -> None:
    """Read the pixels of all that can be opened: adds ``verified``, or a ``problem``."""
    from rich.console import Console

    from oplstm.episodes.datasets.store import verify_dataset

    with Console(stderr=True).status("") as spinner:
        for entry in entries:
            spinner.update(f"reading {entry['name']}")
            try:
                if not entry["problem"]:
                    verify_dataset(Path(entry["folder"]))
            except RequestError as error:
                entry["problem"] = str(error)
            entry["verified"] = not entry["problem"]


def _show(entries: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    from jobs.cli.display.tables import cell

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("dataset")
    for heading in ("train/val/test", "images", "size", "digest", "disk"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for entry in entries:
        title, *cells = entry["name"], "?", "?", "?", "?"
        if "title" in entry:
            splits = "/".join(str(count) for count in entry["splits"].values())
            digest = entry["digest"].removeprefix("sha256:")[:8]
            title, *cells = entry["title"], splits, f"{entry['images']:,}", _size(entry["size"]), digest
        state = "problem" if entry["problem"] else "verified" if entry.get("verified") else "ok"
        table.add_row(cell(title), *map(cell, cells), decimal(entry["disk_bytes"]), state)
    Console().print(table)
    for entry in entries:
        for line in [entry["problem"]] if entry["problem"] else entry["notes"]:
            say(f"{entry['name']}: {line}")


def _size(size: list[int]) -> str:
    return "x".join(str(length) for length in size)
