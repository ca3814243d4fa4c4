"""``python -m tests.chaos --kills 60 --seed 1``: hurt real sweeps and compare their ends with unbroken ones."""

import gc
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

import tests.conftest  # noqa: F401  # the environment of all tests, before anything imports Ray
from oplstm.durable import write_file
from tests.chaos.comparison import compare
from tests.chaos.findings import Findings
from tests.chaos.injuries import Phase, draw
from tests.chaos.outage import HurtServer
from tests.chaos.report import Calm, Told, to_json, to_markdown
from tests.chaos.suffering import Round
from tests.chaos.workload import WORKLOADS, Workload
from tests.chaos.world import World


def unbroken(world: World) -> tuple[Findings, Calm]:
    """The workload of a world from beginning to end with nothing in its way."""
    total, seconds, starting = {}, {}, {}
    for phase in Phase:
        began = time.time()
        world.start(phase).wait(300).ok()
        seconds[phase], total[phase] = time.time() - began, world.done(phase)
        starting[phase] = world.first_point(phase) - began
    return world.findings(), Calm(total, seconds, starting)


def hurt(
    folder: Path,
    seed: int,
    kills: int,
    *,
    most_costly: int | None,
    workloads: tuple[Workload, ...],
    say: Callable[[str], object],
) -> list[Told]:
    """Go through a history; a round each that it has.

    Args:
        folder: For all files.
        seed: Of the history.
        kills: Injuries in all.
        most_costly: Those of them at most that a restart follows.
        workloads: What is hurt.
        say: Told what happens.
    """
    told: list[Told] = []
    calm: dict[str, tuple[Findings, Calm]] = {}
    server = HurtServer(folder / "server")
    try:
        for number, one in enumerate(draw(seed, kills, most_costly=most_costly, workloads=workloads)):
            name = one.workload.name
            if name not in calm:
                say(f"{name}, unbroken")
                world = World(folder / f"calm-{name}", one.workload, uri=server.uri, experiment=f"calm-{name}")
                calm[name] = unbroken(world)
                world.end()
            expected, took = calm[name]
            say(f"round {number}: {name}, {len(one.injuries)} injuries")
            world = World(folder / f"round-{number}", one.workload, uri=server.uri, experiment=f"round-{number}-{name}")
            try:
                suffered = Round(world, server, say).run(one.injuries, took.total)
                suffered.faults += world.ship()
                told.append(Told(name, suffered, compare(world.findings(), expected), took))
            finally:
                world.end()
            for difference in told[-1].differences:
                say(f"  DIFFERENCE: {difference}")
            gc.collect()
    finally:
        server.stop()
    return told


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
