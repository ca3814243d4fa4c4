"""What tracking costs the thread that trains: points at a given rate, with an MLflow server that is up, slow or down.

A point here is what MLflow calls one: a value of one metric at one step.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import psutil

from jobs.jobfile.schema import Job, load_job, single_configuration
from jobs.store.home import SweepFolder
from jobs.sweep.coordinator import Coordinator
from oplstm.training.device import Device
from oplstm.training.reports import Point
from tests.benchmark.sine import LSTM
from tests.benchmark.trial_growth import new_sweep
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
THREADS = ("outbox", "journal-sync")
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


class TimedCoordinator(Coordinator):
    """A coordinator that knows how it spends its time."""

    def __init__(self, folder: SweepFolder, tracking_uri: str | Callable[[], str]) -> None:
        self.deciding = self.inside = 0.0
        super().__init__(folder, tracking_uri)

    def on_points(self, points: Sequence[Point]) -> list[str]:
        """As a coordinator does."""
        began = time.perf_counter()
        answer = super().on_points(points)
        self.inside += time.perf_counter() - began
        return answer

    def _decide(self, trial: Any, value: float, milestone: int) -> bool:
        began = time.perf_counter()
        answer = super()._decide(trial, value, milestone)
        self.deciding += time.perf_counter() - began
        return answer

    def spent(self) -> dict[str, float]:
        """Seconds in ``on_points``, of them in decisions, and processor seconds of the threads that ship and sync."""
        clocks = [time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.name in THREADS and t.ident]
        return {"inside": self.inside, "deciding": self.deciding, "threads": sum(map(time.clock_gettime, clocks))}


class Calls(Protocol):
    """A coordinator, here or in an actor."""

    def __call__(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method and wait for what it returns."""
        ...


def sections(progress: Callable[[str], object]) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table: every case with every state of the server."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        server = ensure_server(Path(folder))
        connect(server.uri)  # MLflow takes seconds to import, once a process
        try:
            states: Sequence[ServerState] = ("up", "slow", "down")
            for mode, runs in CASES:
                for state in states:
                    progress(f"tracking, {mode}, {runs} runs, server {state}")
                    place = Path(folder) / "sweeps" / f"{mode}-{runs}-{state}"
                    rows.append(asdict(cost(mode, runs, state, server, place)))
        finally:
            server.stop()
    return [(f"Tracking at {RATE:,.0f} points a second beside the published LSTM on sine", rows)]


def cost(mode: str, runs: int, state: ServerState, server: Server, place: Path) -> Cost:
    """One case, in the new folder ``place``."""
    folder = new_sweep(place, job_of(mode, runs), "train" if mode == "train" else "sweep")
    with address(state, server) as uri, coordinator(mode, folder, uri) as calls:
        names = calls("next_pack")["names"]
        calls("started", "pack-0000", {"oplstm.device": "cpu"})
        while (seen := calls("progress"))["waiting_records"] and not seen["tracking_error"]:
            time.sleep(0.1)  # its process imports MLflow and creates the runs
        before, server_before = calls("spent"), _cpu_seconds(server)
        seconds, waited, worked, looked, sent = train(calls, names, looks=mode == "train")
        after, server_after = calls("spent"), _cpu_seconds(server)
        spent = {name: after[name] - before[name] for name in after}
        calls("close", flush_seconds=0.0 if state == "down" else ARRIVAL_SECONDS)
    return Cost(
        mode=mode,
        runs=runs,
        server=state,
        points_per_second=sent / seconds,
        waiting=(waited + looked) / seconds,
        working=worked / seconds,
        tracking=(spent["inside"] - spent["deciding"]) / seconds,
        progress=looked / seconds,
        deciding=spent["deciding"] / seconds,
        round_trip=(waited - spent["inside"]) / seconds,
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
        command = [sys.executable, "-m", "tests.benchmark.slow_proxy", port, str(DELAY_SECONDS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as proxy:
            try:
                yield f"http://127.0.0.1:{int(proxy.stdout.readline())}"  # type: ignore[union-attr]
            finally:
                proxy.terminate()


@contextlib.contextmanager
def coordinator(mode: str, folder: SweepFolder, uri: str) -> Iterator[Calls]:
    """The coordinator in this process, or in an actor of a local Ray."""
    if mode == "train":
        here = TimedCoordinator(folder, uri)
        yield lambda method, *arguments, **named: getattr(here, method)(*arguments, **named)
        return
    import ray

    from jobs.execution import cluster

    connected = cluster.connect(None)
    try:
        actor: Any = ray.remote(TimedCoordinator).options(num_cpus=0).remote(folder, uri)
        yield lambda method, *arguments, **named: ray.get(getattr(actor, method).remote(*arguments, **named))
    finally:
        if connected:
            cluster.disconnect()


def train(calls: Calls, names: Sequence[str], *, looks: bool) -> tuple[float, float, float, float, int]:
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
            calls("on_points", points)
            now = time.perf_counter()
            waited, worked = waited + now - called, worked + time.thread_time() - used
        if looks and now - shown > TICK_SECONDS:
            used = time.thread_time()
            calls("progress")
            shown = time.perf_counter()
            looked, worked, now = looked + shown - now, worked + time.thread_time() - used, shown
    return now - began, waited, worked, looked, bunch * len(names) * len(METRICS)


def metrics(index: int) -> dict[str, float]:
    """Values with as many digits as real ones have."""
    return {name: 1.0 / (index + place + 1.7) for place, name in enumerate(METRICS)}


def arrived(uri: str, sweep: str) -> int:
    """Rows of the metrics on the server, of all runs of a sweep but its own."""
    client = connect(uri)
    experiment = client.get_experiment_by_name("benchmark")
    if experiment is None:
        return 0
    runs = client.search_runs([experiment.experiment_id], f"tags.`oplstm.sweep` = '{sweep}'", max_results=1000)
    trials = [run for run in runs if run.data.tags["oplstm.kind"].endswith("-trial")]
    histories = [client.get_metric_history(run.info.run_id, name) for run in trials for name in METRICS]
    return sum(map(len, histories))


def _cpu_seconds(server: Server) -> float:
    """Processor time of the server and its workers."""
    leader = psutil.Process(server.pid)
    return sum(sum(process.cpu_times()[:2]) for process in (leader, *leader.children(recursive=True)))
