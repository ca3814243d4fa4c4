"""``python -m tests.chaos --kills 60 --seed 1``: hurt real sweeps and compare their ends with unbroken ones."""

import json
import secrets
import signal
import tempfile
from pathlib import Path

import click

import tests.conftest  # noqa: F401  # the environment of all tests, before anything imports Ray
from oplstm.durable import write_file
from tests.chaos.history import hurt
from tests.chaos.report import to_json, to_markdown
from tests.chaos.workload import WORKLOADS


@click.command()
@click.option("--kills", type=click.IntRange(1), default=60, help="Injuries in all.")
@click.option("--seed", type=int, help="Of the history; by default another each time.")
@click.option("--restarts", type=click.IntRange(0), help="At most so many injuries that a restart follows.")
@click.option("--workload", type=click.Choice([one.name for one in WORKLOADS]), help="That alone.")
@click.option("--keep", type=click.Path(path_type=Path), help="A new folder in which all files stay.")
@click.option("--json", "json_to", type=click.Path(path_type=Path), help="Write the report and the history there.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the tables there too.")
def main(
    kills: int, seed: int | None, restarts: int | None, workload: str | None, keep: Path | None,
    json_to: Path | None, markdown: Path | None,
) -> None:  # fmt: skip
    """Hurt real sweeps at random, and see that they end as if nothing had happened."""
    for number in (signal.SIGINT, signal.SIGTERM):  # behind nohup too: what was started is to be ended
        signal.signal(number, signal.default_int_handler)
    seed = secrets.randbelow(10**6) if seed is None else seed
    click.echo(f"SEED={seed}")
    chosen = tuple(one for one in WORKLOADS if workload in (None, one.name))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = keep or Path(scratch)
        told = hurt(folder, seed, kills, most_costly=restarts, workloads=chosen, say=click.echo)
    for path, content in ((json_to, json.dumps(to_json(seed, told), indent=1)), (markdown, to_markdown(seed, told))):
        if path is not None:
            write_file(path, content)
    click.echo("\n" + to_markdown(seed, told))
    if any(one.differences for one in told):
        raise SystemExit(f"not as it should be; once more with: make chaos KILLS={kills} SEED={seed}")


if __name__ == "__main__":
    main()
