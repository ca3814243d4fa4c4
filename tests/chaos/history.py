"""A whole history: each workload unbroken, and then round after round with injuries."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.chaos.comparison import Compared, compare
from tests.chaos.findings import Findings
from tests.chaos.injuries import Phase, RoundPlan, draw
from tests.chaos.outage import HurtServer
from tests.chaos.report import Calm, Told
from tests.chaos.suffering import Round, Suffered
from tests.chaos.workload import Workload
from tests.chaos.world import World
from tracking.server.embedded import Server, ensure_server


def unbroken(world: World, *, here: bool) -> tuple[Findings, Calm]:
    """The workload of a world from beginning to end with nothing in its way; ``here`` on the Ray of this process."""
    total, seconds = {}, {}
    for phase in Phase:
        began = time.time()
        (world.here(phase) if here else world.start(phase).wait(300)).ok()
        seconds[phase], total[phase] = time.time() - began, world.done(phase)
    return world.findings(), Calm(total, seconds)


def hurt(
    folder: Path,
    seed: int,
    kills: int,
    *,
    most_costly: int | None,
    workloads: tuple[Workload, ...],
    say: Callable[[str], object],
    server: Server | None = None,
) -> list[Told]:
    """Go through a history; a round each that it has.

    Args:
        folder: For all files.
        seed: Of the history.
        kills: Injuries in all.
        most_costly: Those of them at most that a restart follows.
        workloads: What is hurt.
        say: Told what happens.
        server: The MLflow server, where there is one already, and Ray in this process: what is not hurt uses both.
    """
    plans = draw(seed, kills, most_costly=most_costly, workloads=workloads)
    if server is not None:
        return _hurt(folder, plans, of=server, say=say, here=True)
    own = ensure_server(folder / "server")
    try:
        return _hurt(folder, plans, of=own, say=say, here=False)
    finally:
        own.stop()


def _hurt(folder: Path, plans: list[RoundPlan], of: Server, say: Callable[[str], object], *, here: bool) -> list[Told]:
    told: list[Told] = []
    calm: dict[str, tuple[Findings, Calm]] = {}
    server = HurtServer(of)
    try:
        for number, one in enumerate(plans):
            name = one.workload.name
            if name not in calm:
                say(f"{name}, unbroken")
                world = World(folder / f"calm-{name}", one.workload, uri=server.uri, experiment=f"calm-{name}")
                calm[name] = unbroken(world, here=here)
                world.end()
            expected, took = calm[name]
            say(f"round {number}: {name}, {len(one.injuries)} injuries")
            world = World(folder / f"round-{number}", one.workload, uri=server.uri, experiment=f"round-{number}-{name}")
            told.append(Told(name, *_round(world, server, one=one, expected=expected, took=took, say=say), took))
            for difference in told[-1].differences:
                say(f"  DIFFERENCE: {difference}")
    finally:
        server.revive()
        server.wait()
    return told


def _round(
    world: World, server: HurtServer, *, one: RoundPlan, expected: Findings, took: Calm, say: Callable[[str], object]
) -> tuple[Suffered, Compared]:
    """One round; whatever breaks in it is a fault of this round, and the others go on."""
    going = Round(world, server, say)
    try:
        going.run(one.injuries, took.total)
        going.suffered.faults += world.ship()
        return going.suffered, compare(world.findings(), expected)
    except Exception as error:
        traceback.print_exc()
        going.suffered.faults.append(f"the round broke off: {error!r}")
        return going.suffered, compare(Findings({}), expected)
    finally:
        world.end()
