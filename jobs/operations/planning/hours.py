"""How long the training of a job takes, estimated from a few updates: its runs one by one, and in packs."""

import math
import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from oplstm.training.device import Device
from oplstm.training.machine.cost import parameters_of, update_cost
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from oplstm.training.update.captured import UNRECORDED_CALLS

RUNS_TIMED, PACKS_TIMED = 6, 3
UPDATES: Final = 3
ALONE_SECONDS, ALL_SECONDS = 8.0, 20.0
"""Of measuring: the runs alone, and all of it; what has begun is finished."""
MOST_PARAMETERS = 50_000_000
"""Of a pack that is timed: with its gradient and Adam, some GB."""


@dataclass(frozen=True)
class PlannedPack:
    """A pack as a plan shows it.

    Attributes:
        runs: R at its start.
        hours: Of one core, estimated; None where an update of such packs takes too long to be timed.
    """

    runs: int
    hours: float | None


@dataclass(frozen=True)
class Hours:
    """Estimated hours of one core: of training alone, to the end of every run.

    Attributes:
        one_by_one: Of all runs alone.
        packs: Of each pack.
    """

    one_by_one: float
    packs: tuple[PlannedPack, ...]


def estimate_hours(runs: Sequence[RunConfig], packs: Sequence[Sequence[RunConfig]], data: Path) -> Hours:
    """Time some updates of some runs and of some packs, on one thread of this machine's CPU.

    A few runs of different predicted cost are timed alone; of any other, an update takes its predicted cost times what
    the timed ones next to it have taken for theirs. Of some packs an update is timed at their start and at stages of
    their shrinking: how much less it takes than its runs alone, and between the stages on a line in log R.

    Args:
        runs: All runs of the job.
        packs: The packs that they make.
        data: The folder of imported datasets.
    """
    began, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = Alone(runs, data, until=began + ALONE_SECONDS)
        shared = [pack for pack in packs if len(pack) > 1]
        sharing = Sharing(shared, alone, data, until=began + ALL_SECONDS)
    finally:
        torch.set_num_threads(threads)
    planned = tuple(PlannedPack(len(pack), _pack_hours(pack, alone, sharing)) for pack in packs)
    return Hours(sum(alone.seconds(run) * _updates(run) for run in runs) / 3600, planned)


class Alone:
    """Seconds of an update of a run alone.

    Args:
        runs: Those that are asked for.
        data: The folder of imported datasets.
        until: The clock's time at which no other is timed, but for the first.
    """

    def __init__(self, runs: Sequence[RunConfig], data: Path, *, until: float) -> None:
        distinct = {(run.signature, update_cost(run)): run for run in reversed(runs)}
        ordered = sorted(distinct.values(), key=update_cost)
        count = min(RUNS_TIMED, len(ordered))
        chosen = [ordered[place * (len(ordered) - 1) // max(1, count - 1)] for place in reversed(range(count))]
        self._ratios: dict[Hashable, dict[float, float]] = {}
        for run in chosen:
            if self._ratios and time.perf_counter() > until:
                break
            ratio = _seconds([run], data) / update_cost(run)
            for key in (run.signature, None):
                self._ratios.setdefault(key, {})[update_cost(run)] = ratio

    def seconds(self, run: RunConfig) -> float:
        """Of an update."""
        ratios = self._ratios.get(run.signature) or self._ratios[None]
        predicted, known = update_cost(run), sorted(ratios)
        return predicted * float(np.interp(predicted, known, [ratios[each] for each in known]))


class Sharing:
    """How much of the time of its runs alone an update of a pack takes.

    Args:
        packs: Those that are asked for.
        alone: What an update of each run takes.
        data: The folder of imported datasets.
        until: The clock's time at which everything should have been timed.
    """

    def __init__(self, packs: Sequence[Sequence[RunConfig]], alone: Alone, data: Path, *, until: float) -> None:
        self._known: dict[Hashable, dict[int, float]] = {}
        chosen = sorted(packs, key=len, reverse=True)[:PACKS_TIMED]
        for part in _stages(chosen):
            seconds = sum(map(alone.seconds, part))
            small = sum(map(parameters_of, part)) <= MOST_PARAMETERS
            if small and time.perf_counter() + (1 + UNRECORDED_CALLS + UPDATES) * seconds < until:
                factor = _seconds(part, data) / seconds
                for key in (part[0].signature, None):
                    self._known.setdefault(key, {})[len(part)] = factor

    def factor(self, signature: Hashable, runs: int) -> float | None:
        """Of a pack of so many runs; None where none was timed."""
        known = self._known.get(signature) or self._known.get(None)
        if known is None:
            return None
        sizes = sorted({1, *known})
        factors = [known.get(size, 1.0) for size in sizes]
        return float(np.interp(math.log(runs), [math.log(size) for size in sizes], factors))


def _stages(packs: Sequence[Sequence[RunConfig]]) -> Iterator[list[RunConfig]]:
    """What is left of each pack when half of its runs have ended, a quarter, ...; all packs whole first."""
    ordered = [sorted(pack, key=_updates, reverse=True) for pack in packs]
    halvings = 0
    while parts := [pack[: len(pack) >> halvings] for pack in ordered if len(pack) >> halvings > 1]:
        yield from parts
        halvings += 1


def _pack_hours(pack: Sequence[RunConfig], alone: Alone, sharing: Sharing) -> float | None:
    """Of a pack that loses its runs as their updates end."""
    ordered = sorted(pack, key=_updates, reverse=True)
    ends = [*map(_updates, ordered), 0]
    hours = together = 0.0
    for place, run in enumerate(ordered):  # the pack of the runs up to this one
        together += alone.seconds(run)
        updates = ends[place] - ends[place + 1]
        factor = sharing.factor(run.signature, place + 1) if place else 1.0
        if factor is None:
            return None
        hours += updates * together * factor / 3600
    return hours


def _updates(run: RunConfig) -> int:
    return run.budget.update_count(run.meta_batch_size)


def _seconds(runs: Sequence[RunConfig], data: Path) -> float:
    """Processor time of an update of a pack."""
    pack = Pack(runs, [f"plan-{row}" for row in range(len(runs))], Device(data=data))
    began = time.process_time()
    pack.step()
    first = time.process_time() - began
    if first > ALONE_SECONDS / (1 + UNRECORDED_CALLS + UPDATES):
        return first
    for _ in range(UNRECORDED_CALLS):  # the one that is recorded among them
        pack.step()
    began = time.process_time()
    for _ in range(UPDATES):
        pack.step()
    return (time.process_time() - began) / UPDATES
