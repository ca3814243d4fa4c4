"""Turns journal records into MLflow calls, such that shipping a record twice is the same as shipping it once."""

import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.journal.format import JsonObject
from tracking.outbox.batches import batches, log_batch
from tracking.outbox.cursor import Upload
from tracking.outbox.decoding import decode
from tracking.outbox.description import AUTHORS, described
from tracking.outbox.entities import Entity, entities
from tracking.outbox.keyed_runs import KeyedRuns
from tracking.outbox.links import NOTE, VIEW, shipped
from tracking.outbox.names import MAX_TAG, text
from tracking.outbox.records import Artifact, CreateRun, EndRun, LearningCurve, Record, ReopenRun, Untag
from tracking.outbox.refusals import Refusal
from tracking.outbox.uploads import upload
from tracking.results.views import share_sweep_view
from tracking.server.client import is_final, is_missing, one_line
from tracking.server.inside import CannotUpload

if TYPE_CHECKING:
    from mlflow import MlflowClient

_NO_RUN = "its run was never created"


class RunVanished(Exception):
    """A run that was shipped is no longer on the server, which has therefore lost its data, or is another one."""


class Closed(Exception):
    """The outbox is being closed: what is left is for the next one."""


class Shipper:
    """Ships to one server.

    Args:
        client: Of the server.
        runs: On it.
        folder: Where the journal lies; artifact paths are relative to it.
        refuse: Called with what the server will never take.
        closing: Once it is set no further call is made.
    """

    def __init__(
        self,
        client: "MlflowClient",
        runs: KeyedRuns,
        *,
        folder: Path,
        refuse: Callable[[Refusal], None],
        closing: threading.Event,
    ) -> None:
        self._client = client
        self._folder = folder
        self._runs = runs
        self._refuse = refuse
        self._closing = closing

    def ship(self, records: Sequence[JsonObject]) -> list[Upload]:
        """Ship everything but uploads, and return the uploads, each once.

        Raises:
            RunVanished: The server must be shipped everything from the beginning.
            Closed: Shipping was called off.
            Exception: A temporary failure: ship the same records again later.
        """
        waiting: dict[str, list[Entity]] = {}
        descriptions: dict[str, dict[str, str]] = {}
        uploads: dict[tuple[str, ...], Upload] = {}
        for data in records:
            self._check_open()
            try:
                record = decode(data)
            except ValueError as error:
                key, op = (str(data.get(name, ""))[:200] for name in ("key", "op"))
                self._refuse(Refusal(key, op, one_line(error)))
                continue
            match record:
                case CreateRun():
                    self._ensure(record)
                case EndRun() | ReopenRun():
                    self._log(record.key, waiting.pop(record.key, []))
                    self._set_status(record)
                case Untag():
                    self._log(record.key, waiting.pop(record.key, []))
                    self._untag(record)
                case Artifact():
                    uploads[record.key, record.op, record.path, record.folder] = record
                case LearningCurve():
                    uploads[record.key, record.op] = record
            for item in entities(record):
                if item.kind == "tag" and item.name in AUTHORS:
                    descriptions.setdefault(record.key, {})[item.name] = str(item.value)
                else:
                    waiting.setdefault(record.key, []).append(item)
        for key, told in descriptions.items():
            waiting.setdefault(key, []).extend(self._merged(key, told))
        for key, items in waiting.items():
            self._log(key, items)
        return list(uploads.values())

    def _merged(self, key: str, told: Mapping[str, str]) -> list[Entity]:
        """The tags that make the description of a run, in which a person may have written too."""
        news, run_id = [Entity("tag", name, value) for name, value in told.items()], self._runs.find(key)
        if run_id is None:
            return news
        linked = {item.name: str(item.value) for item in self._described(run_id, news)}
        self._check_open()
        try:
            tags = self._client.get_run(run_id).data.tags
        except Exception as error:
            if is_missing(error):
                raise RunVanished(key) from error
            raise
        return [Entity("tag", name, value) for name, value in described(tags, linked).items()]

    def upload(self, record: Upload) -> None:
        """Upload an artifact or a learning curve.

        Raises:
            Closed: Shipping was called off.
            Exception: A temporary failure: upload it again later.
        """
        self._check_open()
        run_id = self._runs.find(record.key)
        if run_id is None:
            self._refuse_record(record, _NO_RUN)
            return
        try:
            upload(self._client, run_id, record, folder=self._folder)
        except Exception as error:
            if not (isinstance(error, CannotUpload) or is_final(error) or is_missing(error)):
                raise
            self._refuse_record(record, one_line(error))

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise Closed

    def _refuse_record(self, record: Record, reason: str) -> None:
        self._refuse(Refusal(record.key, record.op, reason))

    def _ensure(self, record: CreateRun) -> None:
        try:
            self._runs.ensure(record)
        except Exception as error:
            if not is_final(error):
                raise
            self._refuse_record(record, one_line(error))

    def _set_status(self, record: EndRun | ReopenRun) -> None:
        run_id = self._runs.find(record.key)
        if run_id is None:
            self._refuse_record(record, _NO_RUN)
            return
        try:
            if isinstance(record, EndRun):
                self._client.set_terminated(run_id, record.status, round(record.end_time * 1000))
            else:
                self._client.update_run(run_id, status="RUNNING")
        except Exception as error:
            if is_missing(error):
                raise RunVanished(record.key) from error
            if not is_final(error):
                raise
            self._refuse_record(record, one_line(error))

    def _untag(self, record: Untag) -> None:
        run_id = self._runs.find(record.key)
        if run_id is None:
            self._refuse_record(record, _NO_RUN)
            return
        for name in record.names:
            try:
                self._client.delete_tag(run_id, name)
            except Exception as error:
                if is_final(error):
                    self._refuse_record(record, one_line(error))
                elif not is_missing(error):  # of the tag: that the run is gone is seen by what else it is told
                    raise

    def _log(self, key: str, items: Sequence[Entity]) -> None:
        if not items:
            return
        run_id = self._runs.find(key)
        if run_id is None:
            self._refuse(Refusal(key, "values", _NO_RUN, count=len(items)))
            return
        for batch in batches(self._described(run_id, items)):
            self._send(key, run_id, batch)
        if views := [str(item.value) for item in items if item.name == VIEW]:
            self._save_view(run_id, views[-1])

    def _described(self, run_id: str, items: Sequence[Entity]) -> list[Entity]:
        """With the links of descriptions as they are on this server."""
        found = list(items)
        for place, item in enumerate(found):
            if item.name == NOTE and "](" in str(item.value):
                experiment_id = self._experiment_id(run_id)
                find = functools.partial(self._runs.find_anywhere, experiment_id=experiment_id)
                note = text(shipped(str(item.value), experiment_id, find), MAX_TAG)
                found[place] = item._replace(value=note)
        return found

    def _save_view(self, run_id: str, view: str) -> None:
        """Write the view of a sweep, with the parameters that its trials have by now."""
        try:
            sweep, metric, ascending = map(str, json.loads(view))
        except (ValueError, TypeError):
            return  # altered by hand
        share_sweep_view(
            self._client,
            self._client.tracking_uri,
            self._experiment_id(run_id),
            sweep_key=sweep,
            metric=metric,
            ascending=ascending == "True",
        )

    def _experiment_id(self, run_id: str) -> str:
        try:
            return self._runs.experiment_id(run_id)
        except Exception as error:
            if is_missing(error):
                raise RunVanished(run_id) from error
            raise

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
            if self._is_deleted(run_id):
                self._refuse(Refusal(key, "values", f"run {run_id} was deleted in MLflow", count=len(items)))
            elif len(items) == 1:
                item = items[0]
                self._refuse(Refusal(key, item.kind, f"{item.kind} {item.name}: {one_line(error)}"))
            else:
                middle = len(items) // 2
                self._send(key, run_id, items[:middle])
                self._send(key, run_id, items[middle:])

    def _is_deleted(self, run_id: str) -> bool:
        return bool(self._client.get_run(run_id).info.lifecycle_stage == "deleted")
