"""``make demo``: the whole path on 5-shot sine regression, in minutes on a laptop.

A sweep on Ray Tune, every point in a local MLflow server, promotion of the winner by meta-validation, its final run
over 3 seeds with the paper's full budget, and the paper's cell of Table 1 beside ours.
"""

import time
from typing import Any

import click

from jobs.cli.display import choice_table, progress_bar, result_lines, stdout
from jobs.cli.main import Verbs, quiet_libraries, stop_on_interrupt
from jobs.jobfile.schema import load_job
from jobs.operations import launch
from jobs.store.home import Home
from tracking.results.tables import paper_table
from tracking.server.client import connect

JOB = "demo"


@click.group(cls=Verbs, invoke_without_command=True)
def main() -> None:
    """Run the demo."""
    quiet_libraries()
    start = time.monotonic()
    home, job = Home(), load_job(JOB)
    name = home.free_name(JOB)
    stop_on_interrupt(home, name)
    with launch.tracking_server(home, None) as uri:
        click.echo(f"1/3  sweep of {job.trials} configurations, 2 at a time; MLflow comes up at {uri}")
        with progress_bar(name) as show:
            outcome = launch.start_sweep(home, job, name, JOB, uri=None, ray_address=None, progress=show)
        if not finished(name, outcome):
            return
        click.echo(_counts(outcome))
        click.echo("2/3  promotion by meta-validation")
        choice = launch.select(outcome.folder)
        stdout.print(choice_table(choice))
        registered = launch.register(outcome.folder, choice, uri)
        click.echo(f"registered {registered} in the MLflow Model Registry")
        click.echo(f"3/3  final run of {choice.picked}: {job.final.seeds} seeds in one pack, the paper's full budget")
        final_name = home.free_name(f"{name}-final")
        stop_on_interrupt(home, final_name)
        with progress_bar(final_name) as show:
            final = launch.start_final(home, outcome.folder, choice, seeds=None, progress=show)
        if final.result is None:
            finished(final_name, final)
            return
        click.echo("\n".join(result_lines(final_name, final.result)))
        click.echo(paper_table(connect(uri), 1).to_text())
    click.echo(f"{(time.monotonic() - start) / 60:.1f} minutes in all; look at it with: make ui")


def finished(name: str, outcome: launch.Outcome) -> bool:
    """Whether a step of the demo ran to its end; if not, say how to go on."""
    done = outcome.progress["exhausted"] and not outcome.progress["counts"].get("stopped")
    if not done:
        click.echo(f"{name} stopped; go on with: oplstm resume {name}")
    return bool(done)


def _counts(outcome: launch.Outcome) -> str:
    progress: dict[str, Any] = outcome.progress
    counts = ", ".join(f"{count} {state}" for state, count in progress["counts"].items())
    return f"     {counts}; best meta-validation {progress['best']:.4f} ({progress['leader']})"


if __name__ == "__main__":
    main()
