"""Where a GPU's time goes: the kernels that take most of it, and how much of the time it is busy."""

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from oplstm.training.pack import Pack
from tests.benchmark import images, sine
from tests.benchmark.gpu_check.session import Session
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting

ON_GPU = ("kernel", "gpu_memcpy", "gpu_memset")
"""Categories of the profiler's events that keep a GPU busy."""
TOP = 10
UPDATES, SECONDS = 20, 2.0
"""That are profiled: so many, or as many as take so long, but two at least."""
NAME = 90
"""Letters of a kernel's name."""


class Kernel(NamedTuple):
    """All calls of one kernel, on a CPU of one operation."""

    name: str
    calls: int
    seconds: float


@dataclass(frozen=True)
class Profile:
    """What was seen of some updates.

    Attributes:
        wall: Seconds that they took, while they were watched.
        kernels: What they were made of.
        busy: Seconds in which at least one kernel ran; None where there is no GPU.
    """

    wall: float
    kernels: Sequence[Kernel]
    busy: float | None


def run(session: Session) -> None:
    """A table of shares and two of kernels."""
    if session.on_cuda:
        # after a CUDA graph the profiler may not be set up a second time: once, before the first, for the process
        os.environ |= {"TEARDOWN_CUPTI": "0", "DISABLE_CUPTI_LAZY_REINIT": "1"}
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]):
            torch.ones(1, device=session.device).sum().item()
    conv4 = {"op_lstm": images.CONV4_LEARNERS["op_lstm"]}
    batch = images.META_BATCH_SIZE if session.on_cuda else images.CPU_META_BATCH_SIZE
    bench = session.bench(SECONDS)
    with images.on_noise(bench, "miniimagenet", session.images) as on_noise:
        _profiled(session, "64 LSTMs on 5-shot sine", setting=sine.LSTM, runs=64, bench=bench)
        for setting in images.settings("miniimagenet", conv4, batch):
            _profiled(session, "OP-LSTM on Conv-4 at miniImageNet's sizes", setting=setting, runs=1, bench=on_noise)


def _profiled(session: Session, name: str, *, setting: Setting, runs: int, bench: Bench) -> None:
    with session.case(name):
        bench = replace(bench, seconds=min(bench.seconds, session.share(8)))
        pack, _ = bench.warmed_up(lambda: session.sized(setting).pack(runs, bench.place))
        update = bench.burst(pack.step, bench.seconds).per_call
        updates = max(2, min(UPDATES, int(bench.seconds / update)))
        seen = watched(pack, updates, bench)
        total = sum(kernel.seconds for kernel in seen.kernels)
        shares = {
            "case": name,
            "ms_per_update": 1e3 * update,
            "ms_watched": 1e3 * seen.wall / updates,
            "kernels": sum(kernel.calls for kernel in seen.kernels) / updates,
            "busy": None if seen.busy is None else seen.busy / seen.wall,
            "note": None if session.on_cuda else "n/a: kernels are operations on a CPU here, and no GPU is busy",
        }
        session.row(
            "Time of an update, alone and while the profiler watches, and how long the GPU is busy in it", shares
        )
        for kernel in sorted(seen.kernels, key=lambda kernel: -kernel.seconds)[:TOP]:
            row = {
                "kernel": kernel.name[:NAME],
                "calls": kernel.calls / updates,
                "ms": 1e3 * kernel.seconds / updates,
                "share": kernel.seconds / total,
            }
            session.row(f"The {TOP} kernels that take most time of an update: {name}", row)


def watched(pack: Pack, updates: int, bench: Bench) -> Profile:
    """Some updates, watched by PyTorch's profiler.

    Raises:
        RuntimeError: It saw no kernel on a GPU.
    """
    bench.now()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.on_cuda else [])]
    with profile(activities=activities) as watching:
        began = time.perf_counter()
        for _ in range(updates):
            pack.step()
        bench.now()
        wall = time.perf_counter() - began
    if not bench.on_cuda:
        averages = watching.key_averages()
        return Profile(wall, [Kernel(one.key, one.count, 1e-6 * one.self_cpu_time_total) for one in averages], None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        watching.export_chrome_trace(str(file))
        events = on_gpu(json.loads(file.read_text(errors="replace"))["traceEvents"])
    if not events:
        raise RuntimeError("the profiler saw no kernel")
    return Profile(wall, kernels(events), busy(events))


def on_gpu(trace: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The events of a trace that keep a GPU busy."""
    return [event for event in trace if event.get("ph") == "X" and event.get("cat") in ON_GPU]


def kernels(events: Iterable[Mapping[str, Any]]) -> list[Kernel]:
    """The events by their names."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for event in events:
        seconds[event["name"]].append(1e-6 * event["dur"])
    return [Kernel(name, len(each), sum(each)) for name, each in seconds.items()]


def busy(events: Iterable[Mapping[str, Any]]) -> float:
    """Seconds in which at least one of the events went on."""
    total, until = 0.0, float("-inf")
    for start, end in sorted((event["ts"], event["ts"] + event["dur"]) for event in events):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return 1e-6 * total
