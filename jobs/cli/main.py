"""The command line. Exit codes: 0 done, 1 the work failed, 2 the request was wrong and nothing was started."""

import contextlib
import json
import logging
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from jobs.cli.data import data
from oplstm.errors import RequestError, WorkError

# Ray, MLflow and torch are imported by the verbs that need them: `oplstm jobs` answers at once.


class Verbs(click.Group):
    """Prints users' errors as one line each, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except RequestError as error:
            self._fail(error, 2)
        except (WorkError, OSError) as error:
            self._fail(error, 1)

    @staticmethod
    def _fail(error: Exception, code: int) -> None:
        for line in str(error).splitlines():
            click.echo(f"oplstm: {line}", err=True)
        sys.exit(code)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oplstm")
def main() -> None:
    """Hyperparameter search and experiment tracking for few-shot meta-learning.

    Everything lives under $OPLSTM_HOME (default ./oplstm-home).
    """
    quiet_libraries()


def quiet_libraries() -> None:
    """Keep the libraries' own chatter out of the output."""
    import optuna

    warnings.filterwarnings("ignore", category=FutureWarning)
    logging.getLogger().setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


as_json = click.option("--json", "json_", is_flag=True, help="One JSON document on stdout.")
settings = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Replace a value of the job.")
tracking_uri = click.option("--tracking-uri", metavar="URI", help="MLflow server; embedded by default.")
ray_address = click.option("--ray-address", metavar="HOST:PORT", help="Ray cluster; a local one by default.")


def _print(json_: bool, data: Any, show: Callable[[], None]) -> None:
    if json_:
        click.echo(json.dumps(data, indent=2, default=str))
    else:
        show()


@main.command()
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
    _print(json_, {"path": str(path)}, lambda: click.echo(f"wrote {path}; look at it, then: oplstm plan {path}"))


@main.command()
@as_json
def jobs(json_: bool) -> None:
    """List the job files that ship."""
    from jobs.jobfile.schema import load_job, shipped_jobs

    found = {name: load_job(name).description for name in shipped_jobs()}
    _print(json_, found, lambda: click.echo("\n".join(f"{name:26} {text}" for name, text in found.items())))


@main.command()
@click.argument("job")
@click.option("--trials", type=int, metavar="K")
@settings
@as_json
def plan(job: str, trials: int | None, overrides: tuple[str, ...], json_: bool) -> None:
    """Say what JOB would do, with every error in it; no work is done."""
    from jobs.cli.display import plan_lines
    from jobs.jobfile.schema import load_job
    from jobs.operations.plan import make_plan
    from jobs.store.home import Home

    made = make_plan(load_job(job, overrides, trials=trials), Home().data)
    _print(json_, made.to_dict(), lambda: click.echo("\n".join(plan_lines(made))))


@main.command()
@click.argument("job")
@click.option("--name", help="Of this training; by default the job's.")
@settings
@tracking_uri
@as_json
def train(job: str, name: str | None, overrides: tuple[str, ...], tracking_uri: str | None, json_: bool) -> None:
    """Train one configuration of JOB here, without Ray: its fixed values and its first enqueued point."""
    from jobs.jobfile.schema import load_job, single_configuration
    from jobs.operations.launch import chosen_uri, start_local
    from jobs.store.home import Home

    loaded, stem = single_configuration(load_job(job, overrides)), Path(job).stem
    home = Home()
    name = name or home.free_name(f"{stem}-train")
    _run(
        json_, home, name,
        lambda show: start_local(home, loaded, name, "train", stem, uri=chosen_uri(tracking_uri), progress=show),
    )  # fmt: skip


@main.command()
@click.argument("job")
@click.option("--name", help="Of the sweep; by default the job's.")
@click.option("--trials", type=int, metavar="K", help="Trials at most.")
@settings
@tracking_uri
@ray_address
@as_json
def sweep(
    job: str,
    name: str | None,
    trials: int | None,
    overrides: tuple[str, ...],
    tracking_uri: str | None,
    ray_address: str | None,
    json_: bool,
) -> None:
    """Run the sweep of JOB on Ray Tune, tracked in MLflow."""
    from jobs.jobfile.schema import load_job
    from jobs.operations.launch import chosen_uri, start_sweep
    from jobs.store.home import Home

    loaded, stem, home = load_job(job, overrides, trials=trials), Path(job).stem, Home()
    if loaded.space is None:
        raise RequestError(f"{job} has no space to sweep; oplstm train {job} trains its one configuration")
    chosen = name or stem
    uri = chosen_uri(tracking_uri)
    _run(
        json_, home, chosen,
        lambda show: start_sweep(home, loaded, chosen, stem, uri=uri, ray_address=ray_address, progress=show),
    )  # fmt: skip


@main.command()
@click.argument("name")
@ray_address
@as_json
def resume(name: str, ray_address: str | None, json_: bool) -> None:
    """Go on with NAME, which was stopped or killed, as if it never had been."""
    from jobs.operations import launch
    from jobs.store.home import Home

    home = Home()
    _run(json_, home, name, lambda show: launch.resume(home, name, ray_address=ray_address, progress=show))


def _run(json_: bool, home: Any, name: str, work: Callable[[Any], Any]) -> None:
    """Do long work behind a progress bar; the first Ctrl-C stops it cleanly, the second at once."""
    from jobs.cli.display import progress_bar, result_lines
    from jobs.operations.status import sweep_status

    stop_on_interrupt(home, name)
    # Ray writes about processes that die to stdout, which belongs to the report.
    with contextlib.redirect_stdout(sys.stderr), progress_bar(name) as show:
        outcome = work(show)
    status = sweep_status(outcome.folder, trials=True)
    status["records_waiting"] = outcome.waiting
    if outcome.result is not None:
        status["result"] = outcome.result.to_dict()

    def say() -> None:
        best = "" if status["best"] is None else f", best validation {status['best']:.4f} ({status['leader']})"
        counts = ", ".join(f"{count} {state}" for state, count in status["counts"].items())
        click.echo(f"{name} {status['state']}: {counts}{best}")
        if outcome.result is not None:
            click.echo("\n".join(result_lines(name, outcome.result)))
        if status["state"] != "complete":
            click.echo(f"go on with: oplstm resume {name}")
        elif status["kind"] == "sweep":
            click.echo(f"look at it with: oplstm ui; promote the best with: oplstm promote {name}")
        if outcome.waiting:
            click.echo(f"{outcome.waiting} records wait for MLflow: oplstm doctor {name} ships them", err=True)

    _print(json_, status, say)
    failed = status["counts"].get("failed", 0)
    if failed and failed == sum(status["counts"].values()):
        raise WorkError(f"every run of {name} failed; see {outcome.folder.path / 'tune.log'}")


def stop_on_interrupt(home: Any, name: str) -> None:
    """Let the first Ctrl-C ask the sweep to stop cleanly, and the second end this process."""

    def handle(signum: int, frame: Any) -> None:
        request = home.sweeps / name / "stop"
        if request.exists() or not request.parent.is_dir():
            signal.default_int_handler(signum, frame)
        request.touch()
        click.echo("\nstopping at the next update; once more to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):  # a batch system ends its time with SIGTERM
        signal.signal(number, handle)


@main.command()
@click.argument("name", required=False)
@as_json
def status(name: str | None, json_: bool) -> None:
    """Show all sweeps, or every trial of NAME."""
    from jobs.cli.display import status_table, stdout, trials_table
    from jobs.operations.status import all_status, sweep_status
    from jobs.store.home import Home

    home = Home()
    if name is None:
        rows = all_status(home)
        _print(json_, rows, lambda: stdout.print(status_table(rows)))
        return
    one = sweep_status(home.sweep(name), trials=True)

    def show() -> None:
        stdout.print(status_table([one]))
        stdout.print(trials_table(one["trials"]))

    _print(json_, one, show)


@main.command()
@click.argument("name")
@as_json
def stop(name: str, json_: bool) -> None:
    """Ask NAME to checkpoint and stop; resume goes on with it."""
    from jobs.operations.launch import is_running
    from jobs.store.home import Home

    folder = Home().sweep(name)
    if not is_running(folder):
        raise RequestError(f"{name} is not running")
    folder.stop_request.touch()
    while is_running(folder):
        time.sleep(0.2)
    _print(
        json_, {"name": name, "state": "stopped"}, lambda: click.echo(f"{name} stopped; oplstm resume {name} goes on")
    )


@main.command()
@click.argument("name")
@click.option("--seeds", type=click.IntRange(min=1), help="Of the final run; by default the job's.")
@click.option("--dry-run", is_flag=True, help="Only say what would be picked.")
@as_json
def promote(name: str, seeds: int | None, dry_run: bool, json_: bool) -> None:
    """Pick the best configuration of sweep NAME by meta-validation, register it, and run its final run."""
    from jobs.cli.display import choice_table, progress_bar, result_lines, stdout
    from jobs.operations import launch
    from jobs.store.home import Home
    from jobs.store.state import Header

    home = Home()
    folder = home.sweep(name)
    launch.require_idle(folder)
    choice = launch.select(folder)
    report: dict[str, Any] = choice.to_dict()
    if not json_:
        stdout.print(choice_table(choice))
    if not dry_run:
        home.check_writable()
        stop_on_interrupt(home, home.free_name(f"{name}-final"))
        with launch.tracking_server(home, Header.read(folder).tracking_uri, wait=True) as uri:
            report["registered"] = launch.register(folder, choice, uri)
            with progress_bar(f"{name}-final") as show:
                outcome = launch.start_final(home, folder, choice, seeds=seeds, progress=show)
        report["final"] = outcome.folder.name
        report["result"] = None if outcome.result is None else outcome.result.to_dict()
        if not json_:
            click.echo(f"registered {report['registered']} in the MLflow Model Registry")
            if outcome.result is not None:
                click.echo("\n".join(result_lines(outcome.folder.name, outcome.result)))
            else:
                click.echo(f"{outcome.folder.name} stopped; go on with: oplstm resume {outcome.folder.name}")
    if json_:
        _print(json_, report, lambda: None)


@main.command()
@click.argument("number", type=click.IntRange(1, 4))
@click.option("--tracking-uri", metavar="URI", help="MLflow server; embedded by default.")
@as_json
def table(number: int, tracking_uri: str | None, json_: bool) -> None:
    """Print a table of the paper, ours beside its cells, from tracked final runs."""
    from jobs.operations.launch import chosen_uri, tracking_server
    from jobs.store.home import Home
    from tracking.results.tables import paper_table
    from tracking.server.client import connect

    with tracking_server(Home(), chosen_uri(tracking_uri), wait=True) as uri:
        made = paper_table(connect(uri), number)
    _print(json_, made.to_dict(), lambda: click.echo(made.to_text()))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Of a new server.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--tracking-uri", metavar="URI", help="MLflow server; embedded by default.")
@as_json
def ui(port: int | None, no_browser: bool, tracking_uri: str | None, json_: bool) -> None:
    """Open the MLflow UI on the newest sweep; Ctrl-C ends it."""
    from jobs.operations import ui as view
    from jobs.operations.launch import chosen_uri
    from jobs.store.home import Home

    view.serve(Home(), chosen_uri(tracking_uri), port=port, browser=not no_browser, as_json=json_)


@main.command()
@click.argument("name", required=False)
@click.option("--rebuild", is_flag=True, help="Ship the whole journal of NAME again, for an MLflow that lost it.")
@as_json
def doctor(name: str | None, rebuild: bool, json_: bool) -> None:
    """Check this machine; with NAME, ship what waits for MLflow."""
    from jobs.operations.doctor import examine, ship
    from jobs.store.home import Home

    if name is not None:
        shipped = ship(Home(), name, rebuild=rebuild)
        _print(json_, {"name": name, "shipped": shipped}, lambda: click.echo(f"{name}: {shipped} records shipped"))
        return
    if rebuild:
        raise RequestError("--rebuild needs the NAME of a sweep")
    checks = examine(Home())

    def show() -> None:
        for check in checks:
            click.echo(f"{'ok  ' if check['ok'] else 'LOOK'}  {check['check']}: {check['found']}")

    _print(json_, checks, show)
    if not all(check["ok"] for check in checks):
        sys.exit(1)


main.add_command(data)

if __name__ == "__main__":
    main()
