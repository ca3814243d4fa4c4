"""Pack sizes that were measured on a device, remembered in ``$OPLSTM_HOME/pack-sizes.json``."""

import contextlib
import hashlib
import json
import math
import platform
from collections.abc import Hashable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from jobs.jobfile.schema import Job
from oplstm.durable import write_file
from oplstm.errors import RequestError, WorkError
from oplstm.training.device import Device
from oplstm.training.machine.pack_size import LARGEST, probe
from oplstm.training.run import RunConfig
from tracking.journal.file_lock import FileLock

VERSION = 1
LOCK_SECONDS = 5.0


class PackSizes:
    """The file. One that is broken or of another version counts as empty and is written anew.

    Args:
        path: It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, key: str, limit: int) -> int | None:
        """The size remembered for a key; None if there is none, or larger packs were of no use then and are now."""
        entry = self._read().get(key)
        if entry is None or (entry["size"] >= entry["limit"] and limit > entry["limit"]):
            return None
        return entry["size"]

    def remember(self, key: str, size: int, limit: int) -> None:
        """Add an entry. Where that cannot be written, the next one measures again."""
        try:
            lock = FileLock(self._path, patience=LOCK_SECONDS)
        except (RequestError, WorkError):
            return
        try:
            sizes = self._read() | {key: {"size": size, "limit": limit}}
            with contextlib.suppress(OSError):
                write_file(self._path, json.dumps({"version": VERSION, "sizes": sizes}, indent=1) + "\n")
        finally:
            lock.release()

    def _read(self) -> dict[str, dict[str, int]]:
        try:
            data = json.loads(self._path.read_text())
            sizes: dict[str, dict[str, int]] = data["sizes"] if data["version"] == VERSION else {}
            for entry in sizes.values():
                if not all(type(entry[name]) is int and entry[name] >= 1 for name in ("size", "limit")):
                    return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}
        return sizes


def size_key(run: RunConfig, device: torch.device, *, cpus: int, gpus: float) -> str:
    """What a pack size depends on: the device and the share of it, the signature, T, B and the versions."""
    shape = (run.signature, weight(run), version("oplstm"), torch.__version__)
    digest = hashlib.sha256(repr(shape).encode()).hexdigest()[:16]
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {min(gpus, 1.0):g} GPU, {digest}"
    return f"{_cpu_name()}, {cpus} threads, {digest}"


def _cpu_name() -> str:
    try:
        return Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].splitlines()[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def weight(run: RunConfig) -> tuple[int, int, int]:
    """How heavy a run is beside others of its signature: T x B, then each."""
    passes = run.passes(training=True)
    return passes * run.meta_batch_size, passes, run.meta_batch_size


def measured_size(path: Path, run: RunConfig, device: Device, limit: int, *, cpus: int, gpus: float) -> int:
    """The remembered size of packs of runs like ``run``, or else the measured one, which is remembered."""
    sizes, key = PackSizes(path), size_key(run, device.device, cpus=cpus, gpus=gpus)
    limit = min(limit, LARGEST)
    size = sizes.find(key, limit)
    if size is None:
        size = probe(run, device, limit, gpu_share=min(gpus, 1.0))
        sizes.remember(key, size, limit)
    return size


def pack_size(job: Job) -> int | None:
    """Runs in a pack; None where that is measured. The seeds of one configuration always make one pack."""
    if job.space is None:
        return job.seeds
    return None if job.resources.pack == "auto" else job.resources.pack


def planned_packs(job: Job, runs: Sequence[RunConfig], path: Path) -> tuple[int | None, tuple[int, ...] | None]:
    """How many packs the runs of a job make, and with ``pack: auto`` the sizes that are remembered for this machine.

    The first is None while a size is yet to be measured, the second without ``pack: auto``.
    """
    groups: dict[Hashable, list[RunConfig]] = {}
    for run in runs:
        groups.setdefault(run.signature, []).append(run)
    size = pack_size(job)
    if size is not None:
        return sum(math.ceil(len(group) / size) for group in groups.values()), None
    sizes, cpus, gpus = PackSizes(path), job.resources.cpus, job.resources.gpus
    found: list[int] = []
    packs = 0
    for group in groups.values():
        key = size_key(max(group, key=weight), choose_device(gpus), cpus=cpus, gpus=gpus)
        remembered = sizes.find(key, min(len(group), LARGEST))
        if remembered is not None:
            found.append(remembered)
            packs += math.ceil(len(group) / remembered)
    return packs if len(found) == len(groups) else None, tuple(sorted(set(found)))


def choose_device(gpus: float) -> torch.device:
    """CUDA if a GPU was asked for and CUDA is there; logical GPUs of a cluster without any compute on the CPU."""
    return torch.device("cuda" if gpus > 0 and torch.cuda.is_available() else "cpu")
