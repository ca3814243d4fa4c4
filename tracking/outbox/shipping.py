"""Turns journal records into MLflow calls, such that shipping a record twice is the same as shipping it once."""

import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracking.journal.cursor import Cursor
from tracking.outbox.batches import batches, log_batch
from tracking.outbox.entities import Entity, Record, complaint, entities
from tracking.outbox.keyed_runs import KeyedRuns
from tracking.server.client import error_code, is_final, is_missing, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient


class RunVanished(Exception):
    """A run that was shipped is no longer on the server, which has therefore lost its data, or is another one."""


class Closed(Exception):
    """The outbox is being closed: what is left is for the next one."""


class Shipper:
    """Ships to one server.

    Args:
        client: Of the server.
        folder: Where the journal lies; artifact paths are relative to it.
        cursor: Its runs and doubtful keys are kept up to date.
        save: Called after each change of these.
        refuse: Called with what the server will never take, and why.
        closing: Once it is set no further call is made.
    """

    def __init__(
        self,
        client: "MlflowClient",
        *,
        folder: Path,
        cursor: Cursor,
        save: Callable[[], None],
        refuse: Callable[[Mapping[str, Any], str], None],
        closing: threading.Event,
    ) -> None:
        self._client = client
        self._folder = folder
        self._runs = KeyedRuns(client, cursor, save)
        self._refuse = refuse
        self._closing = closing

    def ship(self, records: Sequence[Record]) -> list[Record]:
        """Ship everything but uploads, and return the uploads, each once.

        Raises:
            RunVanished: The server must be shipped everything from the beginning.
            Closed: Shipping was called off.
            Exception: A temporary failure: ship the same records again later.
        """
        waiting: dict[str, list[Entity]] = {}
        uploads: dict[tuple[str, ...], Record] = {}
        for record in records:
            self._check_open()
            if reason := complaint(record):
                self._refuse(record, reason)
                continue
            key, op = record["key"], record["op"]
            if op == "create_run":
                self._ensure(record)
            elif op in ("end_run", "reopen_run"):
                self._log(key, waiting.pop(key, []))
                self._set_status(key, record)
            elif op == "artifact":
                uploads[key, op, record["path"], record["folder"]] = record
            elif op == "learning_curve":
                uploads[key, op] = record
            waiting.setdefault(key, []).extend(entities(record))
        for key, items in waiting.items():
            self._log(key, items)
        return list(uploads.values())

    def look_for_twins(self) -> None:
        """See `KeyedRuns.look_for_twins`."""
        self._runs.look_for_twins()

    def upload(self, record: Record) -> None:
        """Upload an artifact or a learning curve.

        Raises:
            Closed: Shipping was called off.
            Exception: A temporary failure: upload it again later.
        """
        self._check_open()
        run_id = self._runs.find(record["key"])
        if run_id is None:
            self._refuse(record, "its run was never created")
            return
        try:
            if record["op"] == "learning_curve":
                self._upload_curve(run_id, record)
                return
            path, folder = self._folder / record["path"], record["folder"] or None
            if path.is_dir():
                self._client.log_artifacts(run_id, str(path), folder)
            elif path.exists():
                self._client.log_artifact(run_id, str(path), folder)
            else:
                self._refuse(record, f"there is no file {path}")
        except Exception as error:
            if not is_final(error) and not is_missing(error):
                raise
            self._refuse(record, one_line(error))

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise Closed

    def _ensure(self, record: Record) -> None:
        try:
            self._runs.ensure(record)
        except Exception as error:
            if not is_final(error):
                raise
            self._refuse(record, one_line(error))

    def _upload_curve(self, run_id: str, record: Record) -> None:
        from tracking.results.figures import learning_curve  # takes a second to import

        try:
            png = learning_curve(record["points"], record["metric"], record["title"])
        except Exception as error:
            self._refuse(record, f"cannot be drawn: {type(error).__name__} {one_line(error)}")
            return
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "learning_curve.png"
            picture.write_bytes(png)
            self._client.log_artifact(run_id, str(picture))

    def _set_status(self, key: str, record: Record) -> None:
        run_id = self._runs.find(key)
        if run_id is None:
            self._refuse(record, "its run was never created")
            return
        try:
            if record["op"] == "reopen_run":
                self._client.update_run(run_id, status="RUNNING")
            else:
                self._client.set_terminated(run_id, record["status"], round(record["end_time"] * 1000))
        except Exception as error:
            if is_missing(error):
                raise RunVanished(key) from error
            if not is_final(error):
                raise
            self._refuse(record, one_line(error))

    def _log(self, key: str, items: Sequence[Entity]) -> None:
        if not items:
            return
        run_id = self._runs.find(key)
        if run_id is None:
            self._refuse({"key": key, "count": len(items)}, "its run was never created")
            return
        for batch in batches(items):
            self._send(key, run_id, batch)

    def _send(self, key: str, run_id: str, items: Sequence[Entity]) -> None:
        """One log_batch call; what the server refuses for good is halved until the culprit is alone."""
        self._check_open()
        try:
            log_batch(self._client.tracking_uri, run_id, items)
        except Exception as error:
            if is_missing(error):
                raise RunVanished(key) from error
            if not is_final(error):
                raise
            if len(items) == 1:
                item = items[0]
                entity = {"key": key, item.kind: item.name, "value": item.value, "step": item.step}
                self._refuse(entity, one_line(error))
            elif self._is_deleted(run_id):
                self._refuse({"key": key, "count": len(items)}, f"{error_code(error)}: run {run_id} was deleted")
            else:
                middle = len(items) // 2
                self._send(key, run_id, items[:middle])
                self._send(key, run_id, items[middle:])

    def _is_deleted(self, run_id: str) -> bool:
        return bool(self._client.get_run(run_id).info.lifecycle_stage == "deleted")
