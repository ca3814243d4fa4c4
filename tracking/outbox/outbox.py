"""The outbox: a background thread that ships a journal's track records to MLflow, whatever happens to either.

It reads the journal file, never its writer, so that nothing it does or suffers can hold up training. Its place
is kept in `<journal>.shipped`; what the server refuses for good goes to `<journal>.refused`, with the reason.
"""

import json
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tracking.journal.cursor import Cursor
from tracking.journal.file_lock import FileLock
from tracking.journal.tail import JournalTail
from tracking.outbox.shipping import Closed, RunVanished, Shipper
from tracking.server.client import connect, is_missing, one_line

_SHORTEST_REST: Final = 1.0
_LONGEST_REST: Final = 5.0
_REST_A_WORK: Final = 200.0  # seconds of rest a processor second: training may wait for this thread's work
_FLUSH_REST: Final = 0.05
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 30.0
_MAX_FLUSH_DELAY: Final = 2.0
_DEFER_SECONDS: Final = 20.0
_TWIN_SECONDS: Final = 5.0
_CLOSING_SECONDS: Final = 3.0


class Outbox:
    """Ships one journal to one server.

    Args:
        journal_path: The journal; it may not exist yet.
        tracking_uri: Of the server, or a function that returns it and may fail while the server starts.
    """

    def __init__(self, journal_path: Path, tracking_uri: str | Callable[[], str]) -> None:
        self._journal = journal_path
        self._uri = tracking_uri
        self._cursor_path = journal_path.with_name(journal_path.name + ".shipped")
        self._refused_path = journal_path.with_name(journal_path.name + ".refused")
        self._cursor = Cursor.load(self._cursor_path)
        self._tail = JournalTail(journal_path, self._cursor.offset, self._cursor.records)
        self._mutex = threading.Lock()  # guards the cursor and the tail
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._flushing = 0
        self._shipper: Shipper | None = None
        self._retry_uploads_at = 0.0
        self._look_for_twins_at = 0.0
        self._lock: FileLock | None = None
        self._thread: threading.Thread | None = None
        self.last_error: str | None = None

    def start(self) -> None:
        """Begin to ship.

        Raises:
            RequestError: Another process ships this journal.
        """
        # An outbox that was closed in the middle of a call may take as long as that call to let go.
        self._lock = FileLock(self._cursor_path, patience=_CLOSING_SECONDS)
        with self._mutex:
            self._cursor = Cursor.load(self._cursor_path)
            if self._journal.exists() and self._journal.stat().st_size < self._cursor.offset:
                self._cursor = Cursor()  # of a journal that was here before this one
            self._tail = JournalTail(self._journal, self._cursor.offset, self._cursor.records)
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def pending(self) -> int:
        """Number of track records in the journal that MLflow does not have yet."""
        with self._mutex:
            return self._tail.count() - self._cursor.records + len(self._cursor.deferred)

    def flush(self, timeout: float) -> int:
        """Wait until everything is shipped, at most `timeout` seconds; returns what is still waiting."""
        deadline = time.monotonic() + timeout
        self._flushing += 1
        self._retry_uploads_at = 0.0
        self._wake.set()
        try:
            while ((waiting := self.pending()) or self._shipper is None) and time.monotonic() < deadline:
                time.sleep(0.05)
            return waiting
        finally:
            self._flushing -= 1

    def run_id(self, key: str) -> str | None:
        """The MLflow run of `key`; None while it has none."""
        return self._cursor.runs.get(key)

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
        delay, began = _FIRST_DELAY, time.thread_time()
        while True:
            self._wake.clear()
            if self._closing.is_set():
                return
            try:
                busy = self._ship_some()
            except Closed:
                return
            except Exception as error:  # whatever it is, the journal still has the records: try again
                self.last_error = one_line(error)
                self._shipper = None
                longest = _MAX_FLUSH_DELAY if self._flushing else _MAX_DELAY
                self._wake.wait(min(delay, longest) * random.uniform(0.8, 1.2))
                delay = min(delay * 2, _MAX_DELAY)
                continue
            delay = _FIRST_DELAY
            if not busy:
                rest = min(max(_SHORTEST_REST, _REST_A_WORK * (time.thread_time() - began)), _LONGEST_REST)
                self._wake.wait(_FLUSH_REST if self._flushing else rest)
                began = time.thread_time()

    def _ship_some(self) -> bool:
        """Ship one batch; returns whether the next should follow at once.

        A few records can wait for others: a call takes as much time for one point as for hundreds.
        """
        deferred: list[dict[str, Any]] = []
        if self._cursor.deferred and time.monotonic() >= self._retry_uploads_at:
            deferred = self._cursor.deferred
        try:
            self._shipper = self._shipper or self._connect()
            if self._cursor.doubtful and time.monotonic() >= self._look_for_twins_at:
                self._shipper.look_for_twins()
                self._look_for_twins_at = time.monotonic() + _TWIN_SECONDS
            records, end, count = self._tail.read(self._cursor.offset)
            if end == self._cursor.offset and not deferred:
                if not self._cursor.deferred:
                    self.last_error = None
                return False
            failed = self._upload(self._shipper, [*deferred, *self._shipper.ship(records)])
        except RunVanished:
            self._rewind()
            return True
        with self._mutex:
            self._cursor.deferred = [*([] if deferred else self._cursor.deferred), *failed]
            self._cursor.offset = end
            self._cursor.records += count
        self._cursor.save(self._cursor_path)
        if not failed:
            self.last_error = None
        return self._flushing > 0 or not self._tail.is_through(end)

    def _upload(self, shipper: Shipper, uploads: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Upload, and return what failed: an artifact store that is down must not hold up the points."""
        for index, record in enumerate(uploads):
            try:
                shipper.upload(record)
            except Closed:
                return uploads[index:]
            except Exception as error:
                self.last_error = one_line(error)
                self._retry_uploads_at = time.monotonic() + (_MAX_FLUSH_DELAY if self._flushing else _DEFER_SECONDS)
                return [*uploads[index + 1 :], record]
        return []

    def _connect(self) -> Shipper:
        client = connect(self._uri if isinstance(self._uri, str) else self._uri())
        if self._cursor.runs:
            try:
                client.get_run(next(reversed(self._cursor.runs.values())))
            except Exception as error:
                if is_missing(error):
                    raise RunVanished from error
                raise
        return Shipper(
            client,
            folder=self._journal.parent,
            cursor=self._cursor,
            save=lambda: self._cursor.save(self._cursor_path),
            refuse=self._refuse,
            closing=self._closing,
        )

    def _rewind(self) -> None:
        """Ship everything again, to a server that has lost it or never had it."""
        self._shipper = None
        with self._mutex:
            self._cursor = Cursor()
        self._cursor.save(self._cursor_path)

    def _refuse(self, what: Mapping[str, Any], reason: str) -> None:
        line = json.dumps({"time": time.time(), "reason": reason, "record": dict(what)}, default=str) + "\n"
        with self._refused_path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
