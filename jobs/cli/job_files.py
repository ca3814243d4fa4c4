"""The verbs about job files: ``init``, ``jobs``, ``plan``."""

from pathlib import Path

import click

from jobs.cli.output import as_json, quiet_libraries, report, settings
from oplstm.errors import RequestError


@click.command()
@click.argument("path", default="job.yaml", type=click.Path(path_type=Path))
@as_json
def init(path: Path, json_: bool) -> None:
    """Write a commented job file to PATH."""
    from jobs.jobfile.template import TEMPLATE

    if path.exists():
        raise RequestError(f"{path} exists; give another path")
    try:
        path.write_text(TEMPLATE)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror}") from error
    text = f"wrote {path}; look at it, then: oplstm plan {path}"
    report({"path": str(path)}, lambda: click.echo(text), as_json=json_)


@click.command()
@as_json
def jobs(json_: bool) -> None:
    """List the job files that ship."""
    from jobs.jobfile.shipped import descriptions

    found = descriptions()
    lines = [f"{name:26} {text}" for name, text in found.items()]
    report(found, lambda: click.echo("\n".join(lines)), as_json=json_)


@click.command()
@click.argument("job")
@click.option("--trials", type=int, metavar="K")
@settings
@as_json
def plan(job: str, trials: int | None, overrides: tuple[str, ...], json_: bool) -> None:
    """Say what JOB would do, with every error in it; no work is done."""
    from jobs.cli.display.plan import plan_lines
    from jobs.jobfile.reading import load_job
    from jobs.operations.plan import make_plan
    from jobs.store.home import Home

    quiet_libraries()
    made = make_plan(load_job(job, overrides, trials=trials), Home().data)
    report(made.to_json(), lambda: click.echo("\n".join(plan_lines(made))), as_json=json_)
