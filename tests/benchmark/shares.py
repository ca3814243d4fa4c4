"""Where the time of a sweep's packs goes: the published LSTM on sine, validated every 2,500 tasks as the paper does."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from jobs.execution.pack_worker import PackListener
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.reports import Point, RunEnd
from oplstm.training.run import RunConfig
from tests.benchmark.comparison import sampling_seconds
from tests.benchmark.measuring import Bench
from tests.benchmark.sine import LSTM
from tests.benchmark.tracking_cost import TimedCoordinator, job_of
from tests.benchmark.trial_growth import new_sweep
from tracking.server.client import connect
from tracking.server.embedded import Server, ensure_server

PACKS = (1, 16)
BUDGET = {"tasks": 10_000, "validate_every": 2_500, "validation_tasks": 1_000, "test_tasks": 2_000}
"""A seventh of the published tasks; its shares are those of the whole but for the test, which is left out of them."""


class TimedPack(Pack):
    """A pack that knows how long it validated and tested."""

    validating = testing = 0.0

    def validation_scores(self, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """As a pack does."""
        began = time.perf_counter()
        scores = super().validation_scores(rows)
        self.validating += time.perf_counter() - began
        return scores

    def test_scores(self, rows: Sequence[int] | None = None) -> dict[str, Tensor]:
        """As a pack does."""
        began = time.perf_counter()
        scores = super().test_scores(rows)
        self.testing += time.perf_counter() - began
        return scores


class TimedListener(PackListener):
    """A listener that knows how long training waited for the coordinator."""

    points = ends = 0.0

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """As a listener does."""
        began = time.perf_counter()
        prune = super().on_points(points)
        self.points += time.perf_counter() - began
        return prune

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """As a listener does."""
        began = time.perf_counter()
        super().on_ends(ends)
        self.ends += time.perf_counter() - began


def sections(bench: Bench) -> list[tuple[str, list[dict[str, Any]]]]:
    """One table, a row a size of packs."""
    with tempfile.TemporaryDirectory() as folder:
        server = ensure_server(Path(folder))
        connect(server.uri)  # MLflow takes seconds to import, once a process
        try:
            rows = [shares(runs, Path(folder) / "sweeps" / f"shares-{runs}", server, bench) for runs in PACKS]
        finally:
            server.stop()
    return [("Shares of the time of the published LSTM on sine, without its test; an MLflow server that is up", rows)]


def shares(runs: int, place: Path, server: Server, bench: Bench) -> dict[str, Any]:
    """Train one pack, in this process, with the coordinator of a sweep, and say where its time went."""
    bench.progress(f"shares of the time of {runs} runs")
    job = job_of("sweep", runs).model_copy(update={"budget": BUDGET})
    folder = new_sweep(place, job)
    coordinator = TimedCoordinator(folder, server.uri)
    began = time.perf_counter()
    assignment: Any = coordinator.next_pack()
    started: Any = coordinator.started(assignment["pack"], {"oplstm.device": "cpu"})
    asking = time.perf_counter() - began
    pack = TimedPack([RunConfig.from_dict(run) for run in started["runs"]], started["names"], Device())
    listener = TimedListener(coordinator, assignment["pack"], folder)
    trainer = Trainer(pack, listener, folder.pack(assignment["pack"]), folder.trials)
    began = time.perf_counter()
    trainer.train()
    total = asking + time.perf_counter() - began - pack.testing
    spent = coordinator.spent()
    coordinator.close(flush_seconds=0)
    drawn = LSTM.pack(runs, Device())
    updates = BUDGET["tasks"] / LSTM.meta_batch_size
    return {
        "runs": runs,
        "seconds": total,
        "sampling": updates * sampling_seconds(LSTM, drawn, bench) / total,
        "validation": pack.validating / total,
        "tracking": (spent["inside"] - spent["deciding"] + listener.ends) / total,
        "scheduling": (asking + spent["deciding"]) / total,
        "outbox": spent["threads"] / total,
    }
