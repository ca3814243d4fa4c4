"""``make demo``: the whole path on 5-shot sine regression, in minutes on a laptop, by the command line's own verbs.

A sweep on Ray Tune, every point in a local MLflow server, promotion of the winner by meta-validation, its final run
over 3 seeds with the paper's full budget, and the paper's cell of Table 1 beside ours.
"""

import time

import click

from jobs.cli.main import main as oplstm

JOB = "demo"


@click.command()
def main() -> None:
    """Run the demo; where a step stops or fails, so does the demo, with its exit code."""
    from jobs.operations.tracking_server import chosen_uri, tracking_server
    from jobs.store.home import Home

    start, home = time.monotonic(), Home()
    name = home.free_name(JOB)
    with tracking_server(home, chosen_uri(None)) as uri:
        click.echo(f"1/3  a sweep; MLflow comes up at {uri}")
        _run("sweep", JOB, "--name", name)
        click.echo("2/3  promotion by meta-validation, and the final run: the paper's full budget")
        _run("promote", name)
        click.echo("3/3  the paper's table")
        _run("table", "1")
    click.echo(f"{(time.monotonic() - start) / 60:.1f} minutes in all; look at it with: make ui")


def _run(*arguments: str) -> None:
    click.echo(f"$ oplstm {' '.join(arguments)}")
    oplstm.main(list(arguments), standalone_mode=False)


if __name__ == "__main__":
    main()
