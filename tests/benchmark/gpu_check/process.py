"""A part in a process of its own, which ends when its time is up, however it fares."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from tests.benchmark.tables import ROOT

SOFT = 0.88
"""Share of its time after which a part should be done by itself."""


def command_of(part: str, device: str, seconds: float) -> list[str]:
    """How to start a part that has so many seconds from now."""
    until = time.monotonic() + SOFT * seconds
    return [sys.executable, "-m", "tests.benchmark.gpu_check.part", part, device, repr(until)]


def messages(command: Sequence[str], seconds: float) -> Iterator[dict[str, Any]]:
    """What a part has to say, as soon as it says it.

    Args:
        command: That starts it.
        seconds: That it may take; then it is killed, which is an error like any other.
    """
    late = threading.Event()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:

        def end() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            for line in process.stdout or ():
                if line.endswith("\n"):  # the last one of a killed process may be a part of one
                    yield json.loads(line)
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
    if late.is_set():
        yield {"error": f"killed after its {seconds:.0f} s"}
    elif code:
        yield {"error": f"the process ended with exit code {code}"}


def _kill(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
