"""The processes of a running verb, by what they do, and signals to them."""

import contextlib
import os
import signal
import time
from typing import Final

import psutil

from tests.chaos.injuries import Kind, Victim

SIGNALS: Final = {
    Kind.KILL: signal.SIGKILL,
    Kind.TERM: signal.SIGTERM,
    Kind.INT: signal.SIGINT,
    Kind.STOP: signal.SIGSTOP,
    Kind.POWER: signal.SIGKILL,
}
_TITLES: Final = {
    Victim.COORDINATOR: "ray::Coordinator",
    Victim.WORKER: "ray::ResourceTrainable",
    Victim.RAYLET: "raylet",
    Victim.GCS: "gcs_server",
}
_OF_A_FINAL_RUN: Final = "jobs.execution.pack_process"


class Processes:
    """Those of one verb: whoever is in its session, the orphans too.

    Args:
        pid: Of the verb, which leads its session.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def all(self) -> list[psutil.Process]:
        """Those that live."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getsid(process.pid) == self.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def of(self, victim: Victim) -> list[psutil.Process]:
        """Those of a kind, oldest first."""
        if victim is Victim.DRIVER:
            return [process for process in self.all() if process.pid == self.pid]
        found = [process for process in self.all() if process.pid != self.pid]
        if victim is not Victim.MACHINE:
            found = [process for process in found if _is(process, victim)]
        return sorted(found, key=lambda process: process.pid)

    def end(self) -> None:
        """SIGKILL to all of them, and to those that they start meanwhile; returns when there are none."""
        deadline = time.monotonic() + 300
        while left := self.all():
            assert time.monotonic() < deadline, f"{left} cannot be killed"
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            time.sleep(0.05)


def _is(process: psutil.Process, victim: Victim) -> bool:
    with contextlib.suppress(psutil.Error):
        command = process.cmdline()
        title = os.path.basename(command[0]) if command and "::" not in command[0] else "".join(command[:1])
        if title.startswith(_TITLES[victim]):
            return True
        return victim is Victim.WORKER and _OF_A_FINAL_RUN in command
    return False
