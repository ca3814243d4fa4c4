"""The verbs about job files: ``init``, ``jobs``, ``plan``."""

from pathlib import Path

import click

from jobs.cli.output import as_json, plugin, quiet_libraries, ray_address, report, say, settings
from oplstm.errors import RequestError, message


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
        raise RequestError(f"cannot write {path}: {error.strerror or message(error)}") from error
    text = f"wrote {path}; look at it, then: oplstm plan {path}"
    report({"path": str(path)}, lambda: say(text), as_json=json_)


@click.command()
@as_json
def jobs(json_: bool) -> None:
    """List the job files that ship."""
    from jobs.jobfile.shipped import descriptions

    found = descriptions()
    lines = [f"{name:26} {text}" for name, text in found.items()]
    report(found, lambda: say(*lines), as_json=json_)


@click.command()
@click.argument("job")
@click.option("--trials", type=int, metavar="K")
@settings
@plugin
@ray_address
@as_json
def plan(
    job: str,
    trials: int | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    ray_address: str | None,
    json_: bool,
) -> None:
    """Say what JOB would do, with every error in it; no work is done.

    It is asked whether this machine has what the job asks for, as for a sweep here; not with --ray-address.
    """
    from jobs.cli.display.plan import plan_lines
    from jobs.jobfile.reading import load_job
    from jobs.operations.plan import make_plan
    from jobs.operations.requirements import check_here
    from jobs.store.home import Home
    from jobs.store.names import SWEEP_NAME

    quiet_libraries()
    loaded, stem, home = load_job(job, overrides, trials=trials, plugins=plugins), Path(job).stem, Home()
    check_here(loaded, home, on_cluster=ray_address is not None)
    notes = [] if ray_address is None else [f"nothing was asked of the cluster at {ray_address}"]
    if not SWEEP_NAME.fullmatch(stem):
        notes.append(f"{stem!r} cannot be a sweep's name: give it another with --name")
    made = make_plan(loaded, home.data, notes=notes)
    report(made.to_json(), lambda: say(*plan_lines(made)), as_json=json_)
