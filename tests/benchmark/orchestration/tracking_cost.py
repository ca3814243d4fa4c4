"""What tracking costs the thread that trains: points at a given rate, with an MLflow server that is up, slow or down.

A point here is what MLflow calls one: a value of one metric at one step.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import single_configuration
from jobs.jobfile.schema import Job
from jobs.store.states import SweepKind
from oplstm.training.device import Device
from oplstm.training.reports import Point
from tests.benchmark.orchestration.clocked import Clocked, Observed, remote
from tests.benchmark.sine import LSTM
from tests.jobs.formula_training import new_sweep
from tracking.server.client import connect
from tracking.server.embedded import Server, ensure_server
from tracking.server.process import any_free_port

ServerState = Literal["up", "slow", "down"]
RATE = 1_000.0
"""Points a second."""
SECONDS = 10.0
"""That each case trains for."""
DELAY_SECONDS = 0.25
"""That the slow server takes more for every answer."""
ARRIVAL_SECONDS = 120.0
TICK_SECONDS = 0.5
"""Between two looks at the progress, as its bar takes them."""
METRICS = ("val/loss", "val/ci95", "val/best", "tasks_seen", "train/loss", "train/tasks_per_second")
STATES: Sequence[ServerState] = ("up", "slow", "down")
CASES: Sequence[tuple[str, int]] = (("train", 1), ("train", 16), ("sweep", 16))
"""``train`` has its coordinator in the process that trains, ``sweep`` in a Ray actor; and the runs of the pack."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What was measured of one case; shares are of the time for which it trained.

    Attributes:
        mode: ``train`` or ``sweep``.
        runs: In the pack; all their points come together.
        server: ``up``, ``slow`` or ``down``.
        points_per_second: That were made.
        waiting: Share of its time that the training thread spent in calls of the coordinator, by the clock on the wall.
        working: The part of it in which the thread had the processor; what is left is Ray, locks and other programs.
        tracking: Of that, making records and writing the journal.
        progress: Of that, looking at the progress; in a sweep another process does.
        deciding: Of that, Optuna's study and pruner.
        round_trip: Of that, Ray, and whatever else kept the call from going on.
        threads: Processor time of the threads that ship and sync; they share Python's global lock with training in
            ``train``, and with nothing that trains in a sweep.
        server_cpu: Processor time of the MLflow server.
        arrived: Points on the server in the end; None where it was down.
        sent: Points that were made.
    """

    mode: str
    runs: int
    server: ServerState
    points_per_second: float
    waiting: float
    working: float
    tracking: float
    progress: float
    deciding: float
    round_trip: float
    threads: float
    server_cpu: float | None
    arrived: int | None
    sent: int


def sections(progress: Callable[[str], object]) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table: every case with every state of the server."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = ensure_server(Path(folder))
        connect(server.uri)  # MLflow takes seconds to import, once a process
        try:
            for mode, runs in CASES:
                for state in STATES:
                    progress(f"tracking, {mode}, {runs} runs, server {state}")
                    place = Path(folder) / "sweeps" / f"{mode}-{runs}-{state}"
                    rows.append(asdict(cost(mode, runs, state=state, server=server, place=place)))
        finally:
            server.stop()
    return [(f"Tracking at {RATE:,.0f} points a second beside the published LSTM on sine", rows)]


def cost(mode: str, runs: int, *, state: ServerState, server: Server, place: Path) -> Cost:
    """One case, in the new folder ``place``."""
    folder = new_sweep(place, job_of(mode, runs), kind=SweepKind(mode))
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(address(state, server))
        calls = Clocked(folder, uri) if mode == "train" else stack.enter_context(remote(folder, uri))
        assignment = calls.next_pack()
        names = assignment.trials
        calls.started(assignment.pack, {"oplstm.device": "cpu"})
        while (seen := calls.progress()).waiting_records and not seen.tracking_error:
            time.sleep(0.1)  # its process imports MLflow and creates the runs
        before, server_before = calls.spent(), cpu_seconds(server)
        seconds, waited, worked, looked, sent = train(calls, names, looks=mode == "train")
        after, server_after = calls.spent(), cpu_seconds(server)
        spent = {name: after[name] - before.get(name, 0.0) for name in after}
        calls.close(flush_seconds=0.0 if state == "down" else ARRIVAL_SECONDS)
    return Cost(
        mode=mode,
        runs=runs,
        server=state,
        points_per_second=sent / seconds,
        waiting=(waited + looked) / seconds,
        working=worked / seconds,
        tracking=(spent["on_points"] - spent["deciding"]) / seconds,
        progress=looked / seconds,
        deciding=spent["deciding"] / seconds,
        round_trip=(waited - spent["on_points"]) / seconds,
        threads=spent["threads"] / seconds,
        server_cpu=None if state == "down" else (server_after - server_before) / seconds,
        arrived=None if state == "down" else arrived(server.uri, place.name),
        sent=sent,
    )


def job_of(mode: str, runs: int) -> Job:
    """A job whose first pack has so many runs: seeds of one configuration, or trials that differ in their rates."""
    if mode == "train":
        return single_configuration(load_job("sine-lstm")).model_copy(update={"seeds": runs})
    alike = ["widths=[40,40]", "pool_cell=true", "loss_on=last", "meta_batch_size=4", f"pack={runs}", "enqueue=[]"]
    return load_job("sine-lstm", alike, trials=runs)


@contextlib.contextmanager
def address(state: ServerState, server: Server) -> Iterator[str]:
    """Where a server is that is up, slow or down."""
    if state == "up":
        yield server.uri
    elif state == "down":
        yield f"http://127.0.0.1:{any_free_port()}"
    else:
        port = server.uri.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.benchmark.orchestration.slow_proxy", port, str(DELAY_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
            try:
                yield f"http://127.0.0.1:{int(proxy.stdout.readline())}"  # type: ignore[union-attr]
            finally:
                proxy.terminate()


def train(calls: Observed, names: Sequence[str], *, looks: bool) -> tuple[float, float, float, float, int]:
    """Train the published LSTM and hand over points of all runs whenever so many are due.

    Returns:
        Seconds in all; seconds in which points were handed over; processor seconds of that and of looks at the
        progress; seconds of these looks; and the number of points.
    """
    pack = LSTM.pack(len(names), Device())
    pack.step()
    every, bunch = len(names) * len(METRICS) / RATE, 0
    waited = worked = looked = shown = 0.0
    began = now = time.perf_counter()
    while now - began < SECONDS:
        pack.step()
        now = time.perf_counter()
        while now - began >= (bunch + 1) * every:
            bunch += 1
            points = [Point(name, bunch, bunch, metrics(bunch)) for name in names]
            called, used = time.perf_counter(), time.thread_time()
            calls.on_points(points)
            now = time.perf_counter()
            waited, worked = waited + now - called, worked + time.thread_time() - used
        if looks and now - shown > TICK_SECONDS:
            used = time.thread_time()
            calls.progress()
            shown = time.perf_counter()
            looked, worked, now = looked + shown - now, worked + time.thread_time() - used, shown
    return now - began, waited, worked, looked, bunch * len(names) * len(METRICS)


def metrics(index: int) -> dict[str, float]:
    """Values with as many digits as real ones have."""
    return {name: 1.0 / (index + place + 1.7) for place, name in enumerate(METRICS)}


def arrived(uri: str, sweep: str) -> int:
    """Rows of the metrics on the server, of all runs of a sweep but its own."""
    client = connect(uri)
    experiment = client.get_experiment_by_name("tests")
    if experiment is None:
        return 0
    runs = client.search_runs([experiment.experiment_id], f"tags.`oplstm.sweep` = '{sweep}'", max_results=1000)
    trials = [run for run in runs if run.data.tags["oplstm.kind"].endswith("-trial")]
    histories = [client.get_metric_history(run.info.run_id, name) for run in trials for name in METRICS]
    return sum(map(len, histories))


def cpu_seconds(server: Server) -> float:
    """Processor time of the server and its workers."""
    leader = psutil.Process(server.pid)
    return sum(sum(process.cpu_times()[:2]) for process in (leader, *leader.children(recursive=True)))
