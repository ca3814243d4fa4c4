"""What a pack trains on: choosing the device, saying what it is, measuring how many runs it can hold."""

import hashlib
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from jobs.jobfile.sections import Resources
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.messages import Outgrown
from oplstm.errors import RequestError
from oplstm.training.device import Device
from oplstm.training.machine.cost import parameters_of
from oplstm.training.machine.pack_size import LARGEST, probe
from oplstm.training.run import RunConfig


def choose_device(gpus: float) -> torch.device:
    """CUDA if a GPU was asked for and CUDA is there; logical GPUs of a cluster without any compute on the CPU."""
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")


def require_local_gpu(gpus: float) -> None:
    """See that this machine has the GPU that a job asks for.

    Raises:
        RequestError: It has none.
    """
    if gpus > torch.cuda.device_count():
        raise RequestError(
            f"resources.gpus: {gpus:g} asked for, this machine has {torch.cuda.device_count()}; use --set gpus=0"
        )


def slots_here(resources: Resources) -> int:
    """How many packs this machine trains at once: what its cores can hold, and one on a GPU."""
    if resources.gpus:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // resources.cpus)


def device_tags(device: torch.device, gpu_ids: str = "") -> dict[str, str]:
    """What a pack trains on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "oplstm.device": f"{device.type}: {name}",
        "oplstm.threads": str(torch.get_num_threads()),
        "oplstm.gpu_ids": gpu_ids or "none",
        "oplstm.host": platform.node(),
    }


def size_key(like: Sequence[RunConfig], device: torch.device, resources: Resources, *, in_a_hurry: bool = False) -> str:
    """What a pack size depends on: the device and the share of it, the signature, T, B and P, and the versions.

    Args:
        like: Runs that stand for those of the pack.
        device: Where they train.
        resources: What the pack gets.
        in_a_hurry: Of a measurement that there was no time for: the same for all runs of the signature.
    """
    of = [] if in_a_hurry else like
    shapes = [(run.passes(training=True), run.meta_batch_size, parameters_of(run)) for run in of]
    all_of_it = (like[0].signature, shapes, version("oplstm"), torch.__version__)
    digest = hashlib.sha256(repr(all_of_it).encode()).hexdigest()[:16]
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {min(resources.gpus, 1.0):g} GPU, {digest}"
    return f"{_cpu_name()}, {resources.cpus} threads, {digest}"


def _cpu_name() -> str:
    try:
        return Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].splitlines()[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def remember_outgrown(path: Path, outgrown: Outgrown, *, device: torch.device, resources: Resources) -> None:
    """A pack ran out of memory: whoever would measure packs like it is told that they hold fewer runs."""
    question = outgrown.question
    key, limit = size_key(question.like, device, resources), max(question.limit, outgrown.runs + 1)
    PackSizes(path).remember(key, outgrown.runs, min(limit, LARGEST))


def measured_size(path: Path, like: Sequence[RunConfig], device: Device, *, limit: int, resources: Resources) -> int:
    """The remembered size of packs of runs like these, or else the measured one, which is remembered.

    Args:
        path: Where sizes are remembered.
        like: Some that stand for those that may share the pack, the heaviest first.
        device: Where to measure.
        limit: There is no use for more runs.
        resources: What a pack gets.
    """
    sizes, limit = PackSizes(path), min(limit, LARGEST)
    if (found := remembered_size(sizes, like, device.device, limit=limit, resources=resources)) is not None:
        return found
    size = probe(like, device, limit, gpu_share=min(resources.gpus, 1.0))
    updates = None if size.sure else _updates(like, limit)
    key = size_key(like, device.device, resources, in_a_hurry=not size.sure)
    sizes.remember(key, size.runs, limit, updates=updates)
    return size.runs


def remembered_size(
    sizes: PackSizes, like: Sequence[RunConfig], device: torch.device, *, limit: int, resources: Resources
) -> int | None:
    """The size that is remembered of packs of runs like these, or else of their signature where no more is to train.

    Args:
        sizes: What is remembered.
        like: Some that stand for those that may share the pack, the heaviest first.
        device: Where they train.
        limit: There is no use for more runs.
        resources: What a pack gets.
    """
    updates = _updates(like, limit)
    keys = [size_key(like, device, resources, in_a_hurry=hurry) for hurry in (False, True)]
    found = (sizes.find(key, limit, updates=updates) for key in keys)
    return next((size for size in found if size is not None), None)


def _updates(like: Sequence[RunConfig], runs: int) -> int:
    """Meta-updates of so many runs like these together."""
    return runs * sum(run.budget.update_count(run.meta_batch_size) for run in like) // len(like)
