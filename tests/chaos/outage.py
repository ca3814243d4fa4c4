"""The MLflow server as a process that can be hurt, and comes back."""

import contextlib
import os
import signal
import threading

from tests.chaos.injuries import Kind
from tests.chaos.processes import SIGNALS
from tracking.server.embedded import Server


class HurtServer:
    """A real server of its own process group.

    Args:
        server: It; whoever started it ends it.

    Attributes:
        uri: Where it is found, whenever it runs.
        is_out: Whether it was hurt and did not come back.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self.uri, self.is_out = self._server.uri, False
        self._reviving: threading.Thread | None = None

    @property
    def is_up(self) -> bool:
        """Whether it was not hurt, or has come back."""
        return not self.is_out and (self._reviving is None or not self._reviving.is_alive())

    def hurt(self, kind: Kind) -> None:
        """Send its group a signal; it must be up."""
        self.is_out = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.pid, SIGNALS[kind])

    def revive(self) -> None:
        """Let it come back; returns at once."""
        if self.is_out:
            self.is_out = False
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGCONT)
            self._reviving = threading.Thread(target=self._server.revive, name="revive")
            self._reviving.start()

    def wait(self) -> None:
        """Return when it answers, if it is not out."""
        if self._reviving is not None:
            self._reviving.join()
            self._reviving = None
