"""What a part of the check is given: a device, the end of its time, and where to tell what it finds."""

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
import torch

from oplstm.training.device import Device
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting

CPU_SECONDS = 0.05
"""For a contender on a CPU, where the check is only tried."""
CPU_LIMIT_MIB = 2048.0
CPU_IMAGES = 4
"""A class."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """One part at work.

    Attributes:
        device: What is measured; on a CPU everything is tiny, to try the check itself.
        until: When the part should be done, on the clock ``time.monotonic``.
        tell: Takes a message: ``machine``, a ``row`` of a ``table``, or an ``error``.
    """

    device: torch.device
    until: float
    tell: Callable[[Mapping[str, Any]], None]

    @property
    def on_cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def images(self) -> int:
        """Pictures a class of a made-up dataset."""
        return 60 if self.on_cuda else CPU_IMAGES

    def sized(self, setting: Setting) -> Setting:
        """The setting itself, on a CPU a tiny one."""
        return setting if self.on_cuda else setting.shrunk()

    def share(self, cases: int) -> float:
        """Seconds for the next of so many cases that are left to do."""
        return max(0.0, self.until - time.monotonic()) / cases

    def bench(self, seconds: float) -> Bench:
        """Measures each contender for ``seconds``."""
        return Bench(
            place=Device(device=self.device),
            seconds=seconds if self.on_cuda else CPU_SECONDS,
            limit_mib=None if self.on_cuda else CPU_LIMIT_MIB,
            progress=partial(click.echo, err=True),
        )

    def row(self, table: str, values: Mapping[str, Any]) -> None:
        """Add a row to the table of this title."""
        self.tell({"table": table, "row": {key: value for key, value in values.items() if value is not None}})

    def error(self, text: str) -> None:
        """Something went wrong, so the part has failed."""
        self.tell({"error": text})

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """Something that may fail without ending the part."""
        try:
            yield
        except Exception:
            self.error(f"{name}: {traceback.format_exc()}")
