"""``oplstm figure`` and ``oplstm report``: sweeps as pictures and as a page, in files."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.output import as_json, quiet_libraries, report, say

if TYPE_CHECKING:
    from jobs.operations.tuning import Effort

_output = click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="A .png or .svg; NAME-<figure>.png by default."
)


@click.group()
def figure() -> None:
    """Draw sweeps: PNG or SVG, the same bytes for the same sweep."""


@figure.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--effort",
    type=click.Choice(["trials", "hours"]),
    default="trials",
    show_default=True,
    help="Along the axis: hours are those of training, shared by the runs of a pack.",
)
@_output
@as_json
def tuning(names: tuple[str, ...], effort: "Effort", output: Path | None, json_: bool) -> None:
    """Draw the best validation against tuning effort, and say which sweep is better at equal effort."""
    from jobs.operations.figures import draw_tuning
    from jobs.store.home import Home

    home = Home()
    path = output or Path(f"{names[0]}-tuning.png")
    made = draw_tuning([home.sweep(name) for name in dict.fromkeys(names)], path, effort=effort)
    lines = [f"wrote {path}", *made.comparisons, *(f"note: {note}" for note in made.notes)]
    report({"file": str(path), **made.to_json()}, lambda: say(*lines), as_json=json_)


@figure.command()
@click.argument("name")
@click.option("--leaders", type=click.IntRange(1, 24), default=5, show_default=True, help="Trials that are drawn.")
@_output
@as_json
def curves(name: str, leaders: int, output: Path | None, json_: bool) -> None:
    """Draw the learning curves of the leaders of sweep NAME."""
    from jobs.operations.figures import draw_curves
    from jobs.store.home import Home

    path = output or Path(f"{name}-curves.png")
    drawn = draw_curves(Home().sweep(name), path, leaders=leaders)
    report({"file": str(path), "trials": drawn}, lambda: say(f"wrote {path}"), as_json=json_)


@figure.command("5")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_output
@as_json
def shots(names: tuple[str, ...], output: Path | None, json_: bool) -> None:
    """Draw the paper's Figure 5: the plain LSTM reading in order and at once, against shots.

    Of all tested runs of the sweeps NAME, replicates included, such as those of sine-shots and omniglot-shots under
    several seeds.
    """
    from jobs.cli.display.results import interval
    from jobs.operations.shots import draw_shots
    from jobs.store.home import Home

    home, path = Home(), output or Path(f"{names[0]}-5.png")
    points = draw_shots([home.sweep(name) for name in dict.fromkeys(names)], path)
    data = {"file": str(path), "points": [point.to_json() for point in points]}
    lines = [
        f"{one.support}, {one.shots} shots: {interval(one.test)} over {len(one.runs)} runs"
        + ("" if one.published is None else f" (published {one.published:g})")
        for one in points
    ]
    report(data, lambda: say(f"wrote {path}", *lines), as_json=json_)


@figure.command("6")
@click.argument("name")
@_output
@as_json
def similarity(name: str, output: Path | None, json_: bool) -> None:
    """Draw the paper's Figure 6 for the seeds of NAME: how OP-LSTM's updates resemble others.

    Its job needs op_lstm and budget.analyses [update_similarity].
    """
    from jobs.operations.figures import draw_similarity
    from jobs.store.home import Home

    path = output or Path(f"{name}-6.png")
    drawn = draw_similarity(Home().sweep(name), path)
    report({"file": str(path), "trials": drawn}, lambda: say(f"wrote {path}"), as_json=json_)


@click.command("report")
@click.argument("name")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="The page; NAME-report.html by default."
)
@as_json
def page(name: str, output: Path | None, json_: bool) -> None:
    """Write the report of sweep NAME: one page that opens without a network."""
    from jobs.operations.reporting.tracked import write_report
    from jobs.store.home import Home

    quiet_libraries()
    path = output or Path(f"{name}-report.html")
    write_report(Home().sweep(name), path)
    report({"file": str(path)}, lambda: say(f"wrote {path}"), as_json=json_)
