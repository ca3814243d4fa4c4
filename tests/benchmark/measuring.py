"""Time and memory of what trains: processor time on a CPU, the clock on the wall and the card's memory on a GPU."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

import psutil
import torch

from oplstm.training.device import Device
from oplstm.training.machine.memory import PeakMemory, give_back_freed
from oplstm.training.update.captured import EAGER_CALLS

ROUNDS = 7
WARM_UPS, WARM_UP_SECONDS = 3, 1.0
"""On a CPU; a GPU makes as many steps as it takes to capture one and to replay it."""
MIB = 1 << 20


class Steps(Protocol):
    """A contender: something that trains."""

    def step(self) -> object:
        """One meta-update."""
        ...


StepsT = TypeVar("StepsT", bound=Steps)


class Burst(NamedTuple):
    """A call that was repeated.

    Attributes:
        calls: How often.
        seconds: How long that took in all.
    """

    calls: int
    seconds: float

    @property
    def per_call(self) -> float:
        """Seconds that one took."""
        return self.seconds / self.calls


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and how long to measure.

    Attributes:
        place: Device, precision and data.
        seconds: For every contender.
        limit_mib: Memory that no contender may take more of; None for what is free.
        progress: Told what is measured next.
    """

    place: Device = field(default_factory=Device)
    seconds: float = 3.0
    limit_mib: float | None = None
    progress: Callable[[str], object] = print

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.place.device.type == "cuda"

    def now(self) -> float:
        """Seconds on the clock that counts here, all work so far being done."""
        if not self.on_cuda:
            return time.process_time()
        torch.cuda.synchronize(self.place.device)
        return time.perf_counter()

    def burst(self, call: Callable[[], object], seconds: float = 0.0) -> Burst:
        """``call`` repeated for ``seconds``, at least once; a GPU is only waited for after every tenth."""
        at_once = 10 if self.on_cuda and seconds else 1
        calls, began, now = 0, self.now(), 0.0
        while calls == 0 or now - began < seconds:
            for _ in range(at_once):
                call()
            calls += at_once
            now = self.now()
        return Burst(calls, now - began)

    def take_turns(self, contenders: Mapping[str, Steps]) -> dict[str, list[float]]:
        """Seconds a step of each contender, burst by burst.

        They take turns, so that whatever else the machine does hits all of them alike. One that has had its time
        sits out the rounds that are left, of which there are at most ``ROUNDS``.
        """
        taken: dict[str, list[float]] = {name: [] for name in contenders}
        spent = dict.fromkeys(contenders, 0.0)
        for _ in range(ROUNDS):
            for name, contender in contenders.items():
                if not taken[name] or spent[name] < self.seconds:
                    burst = self.burst(contender.step, self.seconds / ROUNDS)
                    taken[name].append(burst.per_call)
                    spent[name] += burst.seconds
        return taken

    def warmed_up(self, make: Callable[[], StepsT]) -> tuple[StepsT, float | None]:
        """A contender after a few steps, and the most MiB that it has added at any time; None where nobody tells."""
        memory = PeakMemory(self.place.device)
        contender = make()
        began = self.now()
        for _ in range(EAGER_CALLS + 2 if self.on_cuda else WARM_UPS):
            contender.step()
            if not self.on_cuda and self.now() - began > WARM_UP_SECONDS:
                break
        added = memory.added()
        return contender, None if added is None else added / MIB

    def free_mib(self) -> float:
        """MiB that a contender may take."""
        give_back_freed(self.place.device)
        if self.on_cuda:
            unused = torch.cuda.memory_reserved(self.place.device) - torch.cuda.memory_allocated(self.place.device)
            free = (torch.cuda.mem_get_info(self.place.device)[0] + unused) / MIB
        else:
            free = psutil.virtual_memory().available / MIB
        return free if self.limit_mib is None else min(free, self.limit_mib)
