"""OP-LSTM on Conv-4 at miniImageNet's sizes, one run: by precision, captured as a CUDA graph and launched eagerly."""

from dataclasses import replace
from typing import Any

import torch

from oplstm.nets.precision import Precision
from tests.benchmark import images
from tests.benchmark.comparison import validation_seconds
from tests.benchmark.gpu_check.session import Session
from tests.benchmark.measuring import MIB, Bench
from tests.benchmark.settings import Setting

TABLE = "OP-LSTM on Conv-4 at miniImageNet's sizes, one run, and the hours of 80,000 updates with their validations"
UPDATES, VALIDATE_EVERY = 80_000, 2500
PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")
SECONDS = 6.0
"""For a figure at most."""
MEASURING = 0.4
"""Of a case's time, spent on updates that are timed."""
FIRST_TASKS = 16
"""Of a meta-validation, to find out how many take long enough to be timed."""


def run(session: Session) -> None:
    """One table, a row a precision and way to launch."""
    learner = {"op_lstm": images.CONV4_LEARNERS["op_lstm"]}
    batch = images.META_BATCH_SIZE if session.on_cuda else images.CPU_META_BATCH_SIZE
    [setting] = images.settings("miniimagenet", learner, batch)
    with images.on_noise(session.bench(SECONDS), "miniimagenet", session.images) as bench:
        for done, precision in enumerate(PRECISIONS):
            own = replace(session.sized(setting), precision=precision)
            share = session.share(len(PRECISIONS) - done)
            with session.case(precision):
                _precision(session, own, replace(bench, seconds=min(bench.seconds, MEASURING * share / 3)))


def _precision(session: Session, setting: Setting, bench: Bench) -> None:
    label = {"precision": setting.precision, "meta_batch_size": setting.meta_batch_size}
    if not session.on_cuda and setting.precision == "tf32":
        session.row(TABLE, {**label, "note": "n/a: a CPU has no tf32"})
        return
    if bench.seconds == 0:
        session.row(TABLE, {**label, "note": "left out: no time"})
        return
    validation = validation_seconds(setting, 1, first=FIRST_TASKS, bench=bench)
    for updates in ("captured", "eager"):
        if updates == "captured" and not session.on_cuda:
            session.row(TABLE, {**label, "updates": updates, "note": "n/a: only a GPU replays CUDA graphs"})
            continue
        with session.case(f"{setting.precision}, {updates}"):
            place = replace(bench.place, capture=updates == "captured")
            found = _update(setting, replace(bench, place=place))
            hours = projected_hours(1e-3 * found["ms_per_update"], validation)
            session.row(TABLE, {**label, "updates": updates, **found, "validation_seconds": validation, "hours": hours})


def _update(setting: Setting, bench: Bench) -> dict[str, Any]:
    """What an update takes, and the most memory that is in use in it."""
    pack, added = bench.warmed_up(lambda: setting.pack(1, bench.place))
    update = bench.burst(pack.step, bench.seconds).per_call
    most = torch.cuda.max_memory_allocated(bench.place.device) / MIB if bench.on_cuda else added
    return {"ms_per_update": 1e3 * update, "tasks_per_second": setting.meta_batch_size / update, "peak_mib": most}


def projected_hours(update: float, validation: float) -> float:
    """Hours of a whole run, from the seconds of an update and of a meta-validation.

    It is validated before the first update too, and tested once, which takes as long.
    """
    return (UPDATES * update + (UPDATES // VALIDATE_EVERY + 2) * validation) / 3600
