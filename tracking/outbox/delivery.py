"""How far one journal has come on its way to one server: what waits, what was shipped, what was refused."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from tracking.journal.tail import JournalTail
from tracking.outbox.cursor import Cursor, Upload, cursor_path
from tracking.outbox.keyed_runs import KeyedRuns, deleted_keys
from tracking.outbox.patience import asked_delay, is_busy
from tracking.outbox.refusals import Refusal, RefusedFile
from tracking.outbox.shipping import Closed, RunVanished, Shipper
from tracking.outbox.silence import Silence, SilenceFile
from tracking.server.client import connect, is_missing, one_line

_DEFER_SECONDS: Final = 20.0
_HURRIED_DEFER_SECONDS: Final = 2.0
_TWIN_SECONDS: Final = 5.0


class Delivery:
    """Reads the journal and ships it, batch by batch; one thread ships, any may ask.

    Args:
        journal: The journal; it may not exist yet.
        tracking_uri: Of the server, or a function that returns it and may fail while the server starts.
        closing: Once it is set no further call is made.

    Attributes:
        cursor_path: Where the place is kept.
        waiters: How many callers wait for the end.
        last_error: Why the last attempt failed; None when it did not.
    """

    def __init__(self, journal: Path, tracking_uri: str | Callable[[], str], closing: threading.Event) -> None:
        self._journal = journal
        self._uri = tracking_uri
        self._closing = closing
        self.cursor_path = cursor_path(journal)
        self._refused = RefusedFile(journal.with_name(journal.name + ".refused"))
        self._silence = SilenceFile(journal.with_name(journal.name + ".silent"))
        self._mutex = threading.Lock()  # guards the cursor and the tail
        self._load()
        self._connection: tuple[Shipper, KeyedRuns] | None = None
        self._address: str | None = None
        self._retry_uploads_at = 0.0
        self._look_for_twins_at = 0.0
        self.waiters = 0
        self.last_error: str | None = None

    def begin(self) -> None:
        """Look again where shipping stands, now that no other process ships this journal."""
        with self._mutex:
            self._load()
            offset = self._cursor.offset
            if self._journal.exists() and (self._journal.stat().st_size < offset or not self._tail.begins_line(offset)):
                self._anew()  # the cursor is of a journal that was here before this one
        if self._cursor.offset == 0:
            self._refused.clear()

    def pending(self) -> int:
        """Number of track records in the journal that MLflow does not have yet."""
        with self._mutex:
            return self._tail.count() - self._cursor.records + len(self._cursor.deferred)

    def refused(self) -> list[Refusal]:
        """What MLflow does not show though it was shipped."""
        in_bin = "the run was deleted in MLflow, alone or with its experiment"
        return [*self._refused.read(), *(Refusal(key, "run", in_bin) for key in self._cursor.deleted)]

    def run_id(self, key: str) -> str | None:
        """The MLflow run of `key`; None while it has none."""
        return self._cursor.runs.get(key)

    @property
    def is_connected(self) -> bool:
        """Whether the server answered the last call."""
        return self._connection is not None

    def fail(self, reason: str) -> None:
        """An attempt failed: the next asks for the server's address again."""
        self.last_error = reason
        self._connection = None
        self.note_silence()

    def note_silence(self) -> None:
        """Keep on disk how the last attempt ended, for those who look from outside."""
        self._silence.note(self.last_error)

    def silence(self) -> Silence | None:
        """Since when the server takes nothing; None while it does."""
        return self._silence.read()

    def asked_delay(self, error: Exception) -> float:
        """Seconds that the server wants to be left alone, if an attempt failed for that."""
        return asked_delay(self._address) if is_busy(error) and self._address is not None else 0.0

    def retry_uploads(self) -> None:
        """Try failed uploads again at once."""
        self._retry_uploads_at = 0.0

    def ship_some(self) -> bool:
        """Ship one batch; returns whether the next should follow at once.

        A few records can wait for others: a call takes as much time for one point as for hundreds.

        Raises:
            Closed: Shipping was called off.
            Exception: A temporary failure: do it again later.
        """
        self._refused.discard()  # of an attempt that failed
        deferred: list[Upload] = []
        if self._cursor.deferred and time.monotonic() >= self._retry_uploads_at:
            deferred = self._cursor.deferred
        try:
            shipper, runs = connection = self._connection or self._connect()
            if self._cursor.doubtful and time.monotonic() >= self._look_for_twins_at:
                with _vanished_named():
                    runs.look_for_twins()
                self._look_for_twins_at = time.monotonic() + _TWIN_SECONDS
            self._connection = connection  # who waits until all is shipped waits for the first look too
            records, end, count = self._tail.read(self._cursor.offset)
            if end == self._cursor.offset and not deferred:
                if not self._cursor.deferred:
                    self.last_error = None
                return False
            failed = self._upload(shipper, [*deferred, *shipper.ship(records)])
        except RunVanished:
            self._rewind()
            return True
        self._refused.save()
        with self._mutex:
            self._cursor.deferred = [*([] if deferred else self._cursor.deferred), *failed]
            self._cursor.offset = end
            self._cursor.records += count
        self._save()
        if not failed:
            self.last_error = None
        return self.waiters > 0 or not self._tail.is_through(end)

    def _upload(self, shipper: Shipper, uploads: Sequence[Upload]) -> list[Upload]:
        """Upload, and return what failed: an artifact store that is down must not hold up the points."""
        for index, record in enumerate(uploads):
            try:
                shipper.upload(record)
            except Closed:
                return list(uploads[index:])
            except Exception as error:
                self.last_error = one_line(error)
                self._retry_uploads_at = time.monotonic() + (_HURRIED_DEFER_SECONDS if self.waiters else _DEFER_SECONDS)
                return [*uploads[index + 1 :], record]
        return []

    def _connect(self) -> tuple[Shipper, KeyedRuns]:
        client = connect(self._uri if isinstance(self._uri, str) else self._uri())
        self._address = client.tracking_uri
        with _vanished_named():
            deleted = deleted_keys(client, self._cursor.runs)
        if deleted != self._cursor.deleted:
            self._cursor.deleted = deleted
            self._save()
        runs = KeyedRuns(client, self._cursor, self._save)
        folder = self._journal.parent
        return Shipper(client, runs, folder=folder, refuse=self._refused.add, closing=self._closing), runs

    def _rewind(self) -> None:
        """Ship everything again, to a server that has lost it or never had it."""
        self._connection = None
        with self._mutex:
            doubtful = self._cursor.doubtful
            self._anew()
            self._cursor.doubtful = doubtful  # a creation that was given up may be carried out still
        self._save()
        self._refused.clear()

    def _load(self) -> None:
        self._cursor = Cursor.load(self.cursor_path)
        self._tail = JournalTail(self._journal, self._cursor.offset, self._cursor.records)

    def _anew(self) -> None:
        self._cursor = Cursor()
        self._tail = JournalTail(self._journal, 0, 0)

    def _save(self) -> None:
        self._cursor.save(self.cursor_path)


@contextlib.contextmanager
def _vanished_named() -> Iterator[None]:
    """What MLflow says of a run that it does not know, as what it means here."""
    try:
        yield
    except Exception as error:
        if is_missing(error):
            raise RunVanished from error
        raise
