"""The verbs that look closer: ``compare``, ``explain``, ``export``."""

from pathlib import Path

import click

from jobs.cli.output import as_json, quiet_libraries, report, say


@click.command()
@click.argument("a")
@click.argument("b")
@as_json
def compare(a: str, b: str, json_: bool) -> None:
    """Say what differs between A and B, two sweeps or two trials (NAME/trial-0003), and how their scores do.

    Of a sweep the best trial by meta-validation is compared. The interval of the difference is paired where both were
    scored on the same tasks. Test scores come last: they are for reading, not for picking.
    """
    from jobs.cli.display.compared import comparison_lines
    from jobs.operations.compare import compare as look
    from jobs.store.home import Home

    found = look(Home(), a, b)
    report(found.to_json(), lambda: say(*comparison_lines(found)), as_json=json_)


@click.command()
@click.argument("name")
@click.argument("trial")
@as_json
def explain(name: str, trial: str, json_: bool) -> None:
    """Say why TRIAL of sweep NAME ended as it did, and what trains it alone.

    TRIAL is its name, such as trial-0003, or its number.
    """
    from jobs.cli.display.explained import explanation_lines
    from jobs.operations.explain import explain as look
    from jobs.store.home import Home

    found = look(Home(), name, trial)
    report(found.to_json(), lambda: say(*explanation_lines(found)), as_json=json_)


@click.command()
@click.argument("name")
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    help="A folder, NAME-export by default; or a file: .csv or .parquet for one table, .log or .db for Optuna.",
)
@click.option("--points", is_flag=True, help="In a file with one table: the points, not the trials.")
@click.option("--overwrite", is_flag=True, help="Take the place of an earlier export.")
@as_json
def export(name: str, to: Path | None, points: bool, overwrite: bool, json_: bool) -> None:
    """Write sweep NAME to a folder: its trials and points as CSV and Parquet, its study for optuna-dashboard.

    Test scores stand in the last columns of the trials: they are for reading, not for picking.
    """
    from jobs.operations.export import STUDY, default_name
    from jobs.operations.export import export as write
    from jobs.store.home import Home

    quiet_libraries()
    path = to or Path(default_name(name))
    made = write(Home().sweep(name), path, points=points, overwrite=overwrite)
    lines = [f"wrote {path}: {made.trials} trials, {made.points} points"]
    if made.files:
        lines += [f"  {', '.join(made.files)}", f"look at the study with: optuna-dashboard {path / STUDY}"]
    report(made.to_json(), lambda: say(*lines), as_json=json_)
