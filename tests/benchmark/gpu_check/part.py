"""One part of the check in a process of its own: ``python -m tests.benchmark.gpu_check.part NAME DEVICE UNTIL``.

What it finds goes to its standard output, a JSON object a line; whatever else is printed, to the standard error.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from oplstm.training.machine.allocator import keep_freed_memory
from tests.benchmark.gpu_check import conv4, cuda_tests, profiling, speed
from tests.benchmark.gpu_check.session import Session
from tests.benchmark.tables import machine


@dataclass(frozen=True)
class Part:
    """A part of the check.

    Attributes:
        title: For a person.
        weight: Its share of the time, in seconds of the whole check's 350.
        run: What it does.
    """

    title: str
    weight: float
    run: Callable[[Session], None]


PARTS = {
    "tests": Part("CUDA tests", 95, cuda_tests.run),
    "speed": Part("One run and 64 packed, against the one-task program and one run at a time", 110, speed.run),
    "conv4": Part("Conv-4 OP-LSTM at miniImageNet's size", 90, conv4.run),
    "profile": Part("Profile", 55, profiling.run),
}


def main(name: str, device: torch.device, until: float) -> None:
    """Do a part's work."""
    found = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=found, flush=True)

    session = Session(device=device, until=until, tell=tell)
    with session.case(PARTS[name].title):
        warnings.filterwarnings("error", message="no CUDA graph")  # what is called captured shall be captured
        keep_freed_memory()
        if session.on_cuda:
            torch.cuda.init()
        else:
            torch.set_num_threads(1)
        tell({"machine": machine(device)})
        PARTS[name].run(session)


if __name__ == "__main__":
    main(sys.argv[1], torch.device(sys.argv[2]), float(sys.argv[3]))
