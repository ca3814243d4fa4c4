"""The verbs that run work: ``train``, ``sweep``, ``resume``, ``extend``, ``rerun-failed``, ``stop``."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from jobs.cli.interrupt import stop_on_interrupt
from jobs.cli.output import (
    as_json,
    name_option,
    plugin,
    quiet_libraries,
    ray_address,
    report,
    say,
    settings,
    tracking_uri,
    trust,
)
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.operations.running import Outcome
    from jobs.operations.status import Status
    from jobs.store.home import Home
    from jobs.store.scores import FinalResult
    from jobs.sweep.messages import OnProgress, Progress


@click.command()
@click.argument("job")
@name_option("the training", "JOB-train")
@settings
@plugin
@tracking_uri
@as_json
def train(
    job: str,
    name: str | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Train one configuration of JOB here, without Ray: its fixed values and its first enqueued point.

    JOB is a job, or a trial as SWEEP/TRIAL, whose configuration is trained again, with its seeds.
    """
    from jobs.jobfile.reading import load_job
    from jobs.jobfile.resolving import single_configuration
    from jobs.operations.start import NewSweep, start_here
    from jobs.operations.tracking_server import chosen_uri
    from jobs.operations.trials import Alone, job_of_trial, split_reference
    from jobs.store.home import Home
    from jobs.store.states import SweepKind

    quiet_libraries()
    home = Home()
    if (reference := split_reference(job)) is not None:
        alone = job_of_trial(home, *reference, overrides=overrides, plugins=plugins)
    else:
        stem = Path(job).stem
        alone = Alone(load_job(job, overrides, plugins=plugins), experiment=stem, name=f"{stem}-train")
    loaded, name = single_configuration(alone.job), name or home.free_name(alone.name)
    uri = chosen_uri(tracking_uri)
    new = NewSweep(loaded, name, SweepKind.TRAIN, experiment=alone.experiment, tracking_uri=uri)
    run(home, name, lambda show: start_here(home, new, progress=show), uri=uri, as_json=json_)


@click.command()
@click.argument("job")
@name_option("the sweep", "JOB")
@click.option("--trials", type=int, metavar="K", help="Trials at most.")
@settings
@plugin
@tracking_uri
@ray_address
@as_json
def sweep(
    job: str,
    name: str | None,
    trials: int | None,
    overrides: tuple[str, ...],
    plugins: tuple[str, ...],
    tracking_uri: str | None,
    ray_address: str | None,
    json_: bool,
) -> None:
    """Run the sweep of JOB on Ray Tune, tracked in MLflow."""
    from jobs.jobfile.overruled import overruled
    from jobs.jobfile.reading import load_job
    from jobs.operations.start import NewSweep, start_on_ray
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home
    from jobs.store.states import SweepKind

    quiet_libraries()
    loaded, stem, home = load_job(job, overrides, trials=trials, plugins=plugins), Path(job).stem, Home()
    if loaded.space is None:
        raise RequestError(f"{job} has no space to sweep; oplstm train {job} trains its one configuration")
    for line in overruled(loaded):
        _notice(line)
    name, uri = name or home.free_name(stem), chosen_uri(tracking_uri)
    new = NewSweep(loaded, name, SweepKind.SWEEP, experiment=stem, tracking_uri=uri)

    def work(show: "OnProgress") -> "Outcome":
        return start_on_ray(home, new, ray_address=ray_address, progress=show)

    run(home, name, work, uri=uri, as_json=json_)


@click.command()
@click.argument("name")
@trust
@tracking_uri
@ray_address
@as_json
def resume(name: str, trust: bool, tracking_uri: str | None, ray_address: str | None, json_: bool) -> None:
    """Go on with NAME, which was stopped or killed, as if it never had been.

    Of one that has ended, --trust records your code as it is now, so that promote and other verbs take it.
    """
    from jobs.operations import control
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    home, means = Home(), control.Means(chosen_uri(tracking_uri), ray_address, trust)

    def work(show: "OnProgress") -> "Outcome":
        return control.resume(home, name, progress=show, means=means, notice=_notice)

    run(home, name, work, uri=means.uri, as_json=json_)


@click.command()
@click.argument("name")
@click.option("--trials", type=click.IntRange(min=1), metavar="K", help="Trials in all.")
@click.option(
    "--budget", type=click.IntRange(min=1), metavar="N", help="Of a run in all, in tasks or updates as its job has it."
)
@trust
@tracking_uri
@ray_address
@as_json
def extend(
    name: str,
    trials: int | None,
    budget: int | None,
    trust: bool,
    tracking_uri: str | None,
    ray_address: str | None,
    json_: bool,
) -> None:
    """Go on with sweep NAME with more trials or a longer budget, as if its job had always said so.

    With a longer budget, runs that completed go on from where they ended; pruned, failed and diverged ones stay.
    """
    from jobs.operations import control
    from jobs.operations import extend as extending
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    home, means = Home(), control.Means(chosen_uri(tracking_uri), ray_address, trust)

    def work(show: "OnProgress") -> "Outcome":
        return extending.extend(home, name, trials=trials, budget=budget, progress=show, means=means, notice=_notice)

    run(home, name, work, uri=means.uri, as_json=json_)


def _notice(line: str) -> None:
    say(line, err=True)


@click.command("rerun-failed")
@click.argument("name")
@click.option("--diverged", is_flag=True, help="Train again what diverged too.")
@trust
@tracking_uri
@ray_address
@as_json
def rerun_failed(
    name: str, diverged: bool, trust: bool, tracking_uri: str | None, ray_address: str | None, json_: bool
) -> None:
    """Train again the runs of NAME that failed, from their last checkpoint, and nothing else."""
    from jobs.operations import control
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    home, means = Home(), control.Means(chosen_uri(tracking_uri), ray_address, trust)

    def work(show: "OnProgress") -> "Outcome":
        return control.rerun_failed(home, name, diverged=diverged, progress=show, means=means, notice=_notice)

    run(home, name, work, uri=means.uri, as_json=json_)


@click.command()
@click.argument("name")
@as_json
def stop(name: str, json_: bool) -> None:
    """Ask NAME to checkpoint and stop; resume goes on with it."""
    from jobs.operations import control
    from jobs.store.home import Home

    control.stop(Home(), name)
    text = f"{name} stopped; oplstm resume {name} goes on"
    report({"name": name, "state": "stopped"}, lambda: say(text), as_json=json_)


def run(home: "Home", name: str, work: "Callable[[OnProgress], Outcome]", *, uri: str | None, as_json: bool) -> None:
    """Do long work behind a progress bar and report how it ended; exits with 1 unless it is complete.

    Args:
        home: Where.
        name: Of what is run.
        work: Does it.
        uri: Of the tracking server, if one was named.
        as_json: Whether the report is JSON.
    """
    from jobs.cli.display.progress import progress_bar
    from jobs.cli.display.results import ending_lines
    from jobs.operations.doctor import refusal_line, refusals
    from jobs.operations.running import forget_stop_request
    from jobs.operations.status import sweep_status
    from jobs.operations.webhook import telling

    forget_stop_request(home.sweep_folder(name))
    stop_on_interrupt(home, name, go_on=f"oplstm resume {name}")
    # Ray writes about processes that die to stdout, which belongs to the report.
    with contextlib.redirect_stdout(sys.stderr), telling(home, name, warn=_notice), progress_bar(name) as show:
        outcome = work(announced(show, home, name, uri=uri))
    status = sweep_status(outcome.folder)
    data = {**status.to_json(trials=True), "records_waiting": outcome.waiting}
    if outcome.result is not None:
        data["result"] = outcome.result.to_json()
    report(data, lambda: say(*ending_lines(status, outcome.result)), as_json=as_json)
    if outcome.waiting:
        say(f"{outcome.waiting} records wait for MLflow: oplstm doctor {name} ships them", err=True)
    if refused := refusals(outcome.folder):
        say(refusal_line(name, refused), err=True)
    if not is_done(status, outcome.result):
        sys.exit(1)


def announced(show: "OnProgress", home: "Home", name: str, *, uri: str | None) -> "OnProgress":
    """The same, which says first, once the work has begun, where it can be watched."""
    said = False

    def first(progress: "Progress") -> None:
        nonlocal said
        if not said:
            from jobs.operations.ui import page_of

            said = True
            page = page_of(home.sweep_folder(name), uri) or "oplstm ui"
            say(f"{name}: watch it with: oplstm status {name} --watch; in MLflow: {page}", err=True)
        show(progress)

    return first


def is_done(status: "Status", result: "FinalResult | None") -> bool:
    """Whether the work asked for is complete: a final run has a result, anything else a run that completed."""
    has_result = result is not None if status.kind == "final" else status.has_result
    return status.state == "complete" and has_result
