"""Where the time of a sweep's packs goes: the published LSTM on sine, validated every 2,500 tasks as the paper does."""

import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from jobs.execution.pack_worker import train_pack
from jobs.jobfile.sections import Resources
from oplstm.training.device import Device
from oplstm.training.pack import Pack
from tests.benchmark.comparison import sampling_seconds
from tests.benchmark.measuring import Bench
from tests.benchmark.orchestration.clocked import Clocked, timed
from tests.benchmark.orchestration.tracking_cost import job_of
from tests.benchmark.sine import LSTM
from tests.jobs.formula_training import new_sweep
from tracking.server.client import connect
from tracking.server.embedded import Server, ensure_server

PACKS = (1, 16)
BUDGET = {"tasks": 10_000, "validate_every": 2_500, "validation_tasks": 1_000, "test_tasks": 0}
"""A seventh of the published tasks; its shares are those of the whole but for the test, which is left out of them."""


def sections(bench: Bench) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table, a row a size of packs."""
    with tempfile.TemporaryDirectory() as folder:
        server = ensure_server(Path(folder))
        connect(server.uri)  # MLflow takes seconds to import, once a process
        try:
            sweeps = Path(folder) / "sweeps"
            rows = [shares(runs, place=sweeps / f"shares-{runs}", server=server, bench=bench) for runs in PACKS]
        finally:
            server.stop()
    return [("Shares of the time of the published LSTM on sine, without its test; an MLflow server that is up", rows)]


def shares(runs: int, *, place: Path, server: Server, bench: Bench) -> dict[str, Any]:
    """Train one pack, in this process, with the coordinator of a sweep, and say where its time went."""
    bench.progress(f"shares of the time of {runs} runs")
    folder = new_sweep(place, job_of("sweep", runs).model_copy(update={"budget": BUDGET}))
    coordinator = Clocked(folder, server.uri)
    validating: list[float] = []
    with mock.patch.object(Pack, "validation_scores", timed(Pack.validation_scores, validating)):
        began = time.perf_counter()
        train_pack(coordinator.next_pack(), coordinator, folder, resources=Resources())
        total = time.perf_counter() - began
    spent = coordinator.spent()
    coordinator.close(flush_seconds=0)
    updates = BUDGET["tasks"] / LSTM.meta_batch_size
    recording = spent.pop("on_points") - spent["deciding"] + spent.pop("on_ends")
    outbox = spent.pop("threads")
    return {
        "runs": runs,
        "seconds": total,
        "sampling": updates * sampling_seconds(LSTM, LSTM.pack(runs, Device()), bench) / total,
        "validation": sum(validating) / total,
        "tracking": recording / total,
        "scheduling": sum(spent.values()) / total,
        "outbox": outbox / total,
    }
