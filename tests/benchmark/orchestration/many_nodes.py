"""One coordinator for the packs of many nodes: real coordinator and journal, nodes that are clocks."""

import heapq
import itertools
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from jobs.jobfile.reading import load_job
from jobs.jobfile.schema import Job
from oplstm.training.reports import Point, RunEnd
from tests.benchmark.orchestration.clocked import Clocked, timed
from tests.jobs.formula_training import new_sweep, no_server
from tracking.journal.journal import Journal

NODES = 50
JOB = "sine-lstm"
PACKS = (1, 16)
"""Runs of a pack."""
ROUNDS = 4
"""Packs that each node trains."""
POINTS = 10
"""Validation points of a run beyond the one before its training."""
SECONDS = 2.0
"""That a pack trains from point to point, give or take a half; points of real sweeps are further apart."""
TAIL = 100
CALLS = ("next_pack", "on_points", "settle", "on_ends")

Call = tuple[str, tuple[Any, ...]]


def sections(progress: Callable[[str], object]) -> list[tuple[str, list[dict[str, Any]]]]:
    """A table of what the packs of many nodes wait for one coordinator."""
    rows = []
    for runs in PACKS:
        progress(f"a coordinator of {NODES} nodes, {runs} runs a pack")
        with tempfile.TemporaryDirectory() as folder:
            job = load_job(JOB, [f"pack={runs}"], trials=NODES * ROUNDS * runs + 1)
            rows.append({"runs": runs, **answers(job, Path(folder) / "many", nodes=NODES)})
    title = f"A coordinator of {NODES} packs at once, a point every {SECONDS:g} s: milliseconds until each is answered"
    return [(title, rows)]


def answers(job: Job, path: Path, *, nodes: int) -> dict[str, Any]:
    """What the packs of so many nodes wait until they are answered, and how much of its time the coordinator works.

    It takes one call after the other, as Ray gives them to it: who calls while it works waits for those before. When
    it is called, the nodes' clocks say; how long it works, the clock of this machine does.
    """
    dice, written = random.Random(0), dict[str, list[float]](append=[], sync=[])
    originals = {name: getattr(Journal, name) for name in written}
    for name, seconds in written.items():
        setattr(Journal, name, timed(originals[name], seconds))
    coordinator = Clocked(new_sweep(path, job), no_server)
    try:
        waits, last = _played(coordinator, nodes, dice)
        worked = sum(map(sum, coordinator.seconds.values()))
    finally:
        coordinator.close(flush_seconds=0)
        for name, original in originals.items():
            setattr(Journal, name, original)
    row = {"median_ms": 1e3 * median(itertools.chain(*waits.values()))}
    row |= {f"{call}_ms": 1e3 * median(waits[call]) for call in CALLS}
    row["slowest_of_a_hundred_ms"] = 1e3 * quantiles(itertools.chain(*waits.values()), n=TAIL)[-1]
    row |= {f"journal_{name}_ms": 1e3 * median(seconds) for name, seconds in written.items()}
    row["busy"] = worked / last
    return row


def _played(coordinator: Clocked, nodes: int, dice: random.Random) -> tuple[dict[str, list[float]], float]:
    """Let all nodes train until each is through: seconds that calls waited, by method, and when the last ended."""
    waits: dict[str, list[float]] = defaultdict(list)
    trainings = [_training(dice) for _ in range(nodes)]
    due = [(dice.uniform(0, SECONDS), node) for node in range(nodes)]
    heapq.heapify(due)
    free, answer = 0.0, dict[int, Any]()
    pending: dict[int, Call] = {node: next(trainings[node])[0] for _, node in due}
    while due:
        came, node = heapq.heappop(due)
        method, arguments = pending.pop(node)
        answer[node] = coordinator.call(method, *arguments)
        free = max(free, came) + coordinator.seconds[method][-1]
        waits[method].append(free - came)
        try:
            pending[node], trains = trainings[node].send(answer[node])
        except StopIteration:
            continue
        heapq.heappush(due, (free + trains, node))
    return waits, free


def _training(dice: random.Random) -> Generator[tuple[Call, float], Any, None]:
    """The calls of a node's process, each with the seconds that it trains before; it is sent the answers."""
    for _ in range(ROUNDS):
        assignment = yield ("next_pack", (NODES,)), 0.0
        yield ("started", (assignment.pack, {"oplstm.device": "cpu"})), 0.0
        names = assignment.trials
        for update in range(POINTS + 1):
            trains = dice.uniform(SECONDS / 2, SECONDS * 3 / 2) if update else 0.0
            points = []
            for name in names:
                value = dice.random()
                metrics = {"val/loss": value, "val/ci95": value / 9, "val/best": value, "tasks_seen": float(update)}
                points.append(Point(name, update, update, metrics))
            yield ("on_points", (points,)), trains
            yield ("settle", ()), 0.0  # before the checkpoint
        yield ("on_ends", ([RunEnd(name, "complete", POINTS, 0, {"val/best": 1.0}) for name in names],)), 0.0
        yield ("settle", ()), 0.0
