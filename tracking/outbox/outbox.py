"""The outbox: a background thread that ships a journal's track records to MLflow, whatever happens to either.

It reads the journal file, never its writer, so that nothing it does or suffers can hold up training. Its place
is kept in `<journal>.shipped`; what the server refuses for good goes to `<journal>.refused`, with the reason, and since
when the server takes nothing to `<journal>.silent`.
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from tracking.journal.file_lock import FileLock
from tracking.outbox.delivery import Delivery
from tracking.outbox.patience import Patience
from tracking.outbox.refusals import Refusal
from tracking.outbox.shipping import Closed
from tracking.outbox.silence import Silence
from tracking.server.client import one_line

_SHORTEST_REST: Final = 1.0
_LONGEST_REST: Final = 5.0
_REST_A_WORK: Final = 200.0  # seconds of rest a processor second: training may wait for this thread's work
_FLUSH_REST: Final = 0.05
_CLOSING_SECONDS: Final = 3.0


def idle_outbox(journal: Path) -> "Outbox":
    """That of a journal, to be asked and not to ship: of no server."""
    return Outbox(journal, "http://127.0.0.1:1")


class Outbox:
    """Ships one journal to one server.

    Args:
        journal_path: The journal; it may not exist yet.
        tracking_uri: Of the server, or a function that returns it and may fail while the server starts.
    """

    def __init__(self, journal_path: Path, tracking_uri: str | Callable[[], str]) -> None:
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._delivery = Delivery(journal_path, tracking_uri, self._closing)
        self._lock: FileLock | None = None
        self._thread: threading.Thread | None = None

    @property
    def last_error(self) -> str | None:
        """Why the last attempt to ship failed, in one line; None when it did not."""
        return self._delivery.last_error

    def start(self) -> None:
        """Begin to ship.

        Raises:
            RequestError: Another process ships this journal.
        """
        # An outbox that was closed in the middle of a call may take as long as that call to let go.
        self._lock = FileLock(self._delivery.cursor_path, patience=_CLOSING_SECONDS)
        self._delivery.begin()
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def pending(self) -> int:
        """Number of track records in the journal that MLflow does not have yet."""
        return self._delivery.pending()

    def refused(self) -> list[Refusal]:
        """What MLflow does not show though it was shipped: refused for good, or of a run that a user deleted.

        Needs no server and no `start`. What was deleted is known as of the last time that a server was connected to.
        """
        return self._delivery.refused()

    def flush(self, timeout: float) -> int:
        """Wait until everything is shipped, at most `timeout` seconds; returns what is still waiting."""
        deadline = time.monotonic() + timeout
        self._delivery.waiters += 1
        self._delivery.retry_uploads()
        self._wake.set()
        try:
            while (waiting := self.pending()) or not self._delivery.is_connected:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.05)
            return waiting
        finally:
            self._delivery.waiters -= 1

    def silence(self) -> Silence | None:
        """Since when the server takes nothing, as far as is known here; needs no server and no `start`."""
        return self._delivery.silence()

    def run_id(self, key: str) -> str | None:
        """The MLflow run of `key`; None while it has none."""
        return self._delivery.run_id(key)

    def close(self) -> None:
        """Stop, in the middle if need be: what is not shipped stays in the journal for the next outbox."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=_CLOSING_SECONDS)

    def __enter__(self) -> "Outbox":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            self._ship_until_closed()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _ship_until_closed(self) -> None:
        patience, began = Patience(), time.thread_time()
        while True:
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                busy = self._delivery.ship_some()
            except Closed:
                return
            except Exception as error:  # whatever it is, the journal still has the records: try again
                asked = self._delivery.asked_delay(error)
                self._delivery.fail(one_line(error))
                self._rest(patience.next_delay(hurried=self._delivery.waiters > 0), asked=asked)
                continue
            patience.reset()
            self._delivery.note_silence()
            if not busy:
                rest = min(max(_SHORTEST_REST, _REST_A_WORK * (time.thread_time() - began)), _LONGEST_REST)
                self._rest(_FLUSH_REST if self._delivery.waiters else rest)
                began = time.thread_time()

    def _rest(self, seconds: float, *, asked: float = 0.0) -> None:
        """Wait, unless somebody is in a hurry; for what the server has ``asked``, however great the hurry."""
        if asked:
            self._closing.wait(asked)
        else:
            self._wake.wait(seconds)
