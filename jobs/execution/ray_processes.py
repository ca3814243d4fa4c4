"""The processes of Ray: whether those that a sweep cannot do without live, and ending what is left of a cluster.

Ray ends a driver whose head service (GCS) is gone, after a minute of silence and with a line of its own. So that is
looked for here, and the sweep ends sooner and in our words.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

import psutil

from oplstm.errors import WorkError

PATIENCE_SECONDS: Final = 15.0
"""With the head of a cluster elsewhere, which the network may hide for a moment. Ray's own is a minute."""
OWN_PATIENCE_SECONDS: Final = 2.0
"""With one that this process started: the kernel answers for it as long as it does not close its door."""
TCP_SECONDS: Final = 3.0
KILL_SECONDS: Final = 5.0
DISCONNECTING: Final = "ray-disconnects"
"""The name of the thread that does."""
VITAL: Final = {"gcs_server": "the head service of Ray (gcs_server)", "raylet": "Ray's service of this node (raylet)"}


class RayLost(WorkError):
    """Ray has lost a part without which the rest waits for ever."""


class OwnProcesses:
    """The processes that are started in this one from now on until ``find``: those of a cluster that comes up."""

    def __init__(self) -> None:
        self._others = set(psutil.Process().children())
        self._found: set[psutil.Process] = set()
        self._vital: dict[psutil.Process, str] = {}

    def check(self) -> None:
        """Return if none of them without which a sweep cannot go on has died.

        Raises:
            RayLost: One has.
        """
        self._vital |= {child: name for child in self._new() if (name := _name(child)) in VITAL}
        for process, name in self._vital.items():
            if not _lives(process):
                raise RayLost(f"{VITAL[name]}, process {process.pid}, has died")

    def _new(self) -> set[psutil.Process]:
        return set(psutil.Process().children()) - self._others

    def find(self) -> None:
        """Remember those that have come since this object was made."""
        self._found = self._new()

    def kill(self) -> None:
        """End them and all that they have started, in the midst of their work: what they have written outlives that."""
        family = set(self._found)
        for process in self._found:
            with contextlib.suppress(psutil.Error):
                family.update(process.children(recursive=True))
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(family, timeout=KILL_SECONDS)


class VitalProcesses:
    """Those parts of a cluster without which a sweep on it cannot go on.

    Args:
        address: Of its head service, host:port.
        mend: What to do where one does not live.
        clock: Seconds.

    Attributes:
        head_is_own: Whether this process started the head.
    """

    def __init__(self, address: str, mend: str, clock: Callable[[], float] = time.monotonic) -> None:
        host, _, port = address.rpartition(":")
        self._address = (host.strip("[]"), int(port))
        self._here = {child: name for child in psutil.Process().children() if (name := _name(child)) in VITAL}
        self.head_is_own = "gcs_server" in self._here.values()
        self._patience = OWN_PATIENCE_SECONDS if self.head_is_own else PATIENCE_SECONDS
        self._mend, self._clock = mend, clock
        self._last_answer = clock()

    def check(self) -> None:
        """Return if all live, as far as can be told.

        Those that this process started are looked at, and the head service is called: one that was told to end may
        live on for minutes and answer nobody. (So it is where a batch system signals all processes of a job.)

        Raises:
            RayLost: One does not.
        """
        for process, name in self._here.items():
            if not _lives(process):
                raise RayLost(f"{VITAL[name]}, process {process.pid}, has died; {self._mend}")
        if not self._answers():
            host, port = self._address
            silent = f"at {host}:{port} has not answered for {self._patience:.0f} s"
            raise RayLost(f"{VITAL['gcs_server']} {silent}; {self._mend}")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(self._address, timeout=TCP_SECONDS):
            self._last_answer = self._clock()
        return self._clock() - self._last_answer < self._patience


def disconnect(shutdown: Callable[[], None], seconds: float) -> None:
    """Leave a cluster. One whose head is gone lets nobody go for a minute, and then ends this process: see `is_held`.

    Args:
        shutdown: Ray's.
        seconds: Are waited for it.
    """
    thread = threading.Thread(target=shutdown, name=DISCONNECTING, daemon=True)
    thread.start()
    thread.join(seconds)


def is_held() -> bool:
    """Whether this process still waits for a cluster that it has left; then it had best end without goodbye."""
    return any(thread.name == DISCONNECTING for thread in threading.enumerate())


def _name(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return os.path.basename(process.name())
    return ""


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
