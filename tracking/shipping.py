"""Turns journal records into MLflow calls, such that shipping a record twice is the same as shipping it once."""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tracking.client import error_code, is_final, is_missing, one_line
from tracking.cursor import Cursor
from tracking.records import KEY_TAG, PARENT_TAG
from tracking.views import prepare_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import RunInfo

Record = dict[str, Any]

_MAX_METRICS: Final = 1000  # a log_batch call
_MAX_TEXTS: Final = 100  # params, or tags, a log_batch call
_TWIN_SECONDS: Final = 120.0  # a server slower than this is taken to have dropped the call


class RunVanished(Exception):
    """A run that was shipped is no longer on the server, which has therefore lost its data, or is another one."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One entity of a log_batch call."""

    kind: Literal["metric", "param", "tag"]
    name: str
    value: float | str
    step: int = 0
    timestamp: int = 0  # milliseconds


class Shipper:
    """Ships to one server.

    Args:
        client: Of the server.
        folder: Where the journal lies; artifact paths are relative to it.
        cursor: Its runs and doubtful keys are kept up to date.
        save: Called after each change of these.
        refuse: Called with what the server will never take, and why.
    """

    def __init__(
        self,
        client: "MlflowClient",
        *,
        folder: Path,
        cursor: Cursor,
        save: Callable[[], None],
        refuse: Callable[[Mapping[str, Any], str], None],
    ) -> None:
        self._client = client
        self._folder = folder
        self._runs = cursor.runs
        self._doubtful = cursor.doubtful
        self._save = save
        self._refuse = refuse
        self._experiments: dict[str, str] = {}

    def ship(self, records: Sequence[Record]) -> list[Record]:
        """Ship everything but uploads, and return the uploads, each once.

        Raises:
            RunVanished: The server must be shipped everything from the beginning.
            Exception: A temporary failure: ship the same records again later.
        """
        waiting: dict[str, list[_Item]] = {}
        uploads: dict[tuple[str, ...], Record] = {}
        for record in records:
            if complaint := _complaint(record):
                self._refuse(record, complaint)
                continue
            key, op = record["key"], record["op"]
            if op == "create_run":
                self._create(record)
            elif op in ("end_run", "reopen_run"):
                self._log(key, waiting.pop(key, []))
                self._set_status(key, record)
            elif op == "artifact":
                uploads[key, op, record["path"], record["folder"]] = record
            elif op == "learning_curve":
                uploads[key, op] = record
            waiting.setdefault(key, []).extend(_items(record))
        for key, items in waiting.items():
            self._log(key, items)
        return list(uploads.values())

    def upload(self, record: Record) -> None:
        """Upload an artifact or a learning curve.

        Raises:
            Exception: A temporary failure: upload it again later.
        """
        run_id = self._runs.get(record["key"])
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

    def _upload_curve(self, run_id: str, record: Record) -> None:
        from tracking.figures import learning_curve  # takes a second to import

        try:
            png = learning_curve(record["points"], record["metric"], record["title"])
        except Exception as error:
            self._refuse(record, f"cannot be drawn: {type(error).__name__} {one_line(error)}")
            return
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "learning_curve.png"
            picture.write_bytes(png)
            self._client.log_artifact(run_id, str(picture))

    def look_for_twins(self) -> None:
        """Remove the empty run that a slow server made when it carried out a creation that we had repeated."""
        for key in list(self._doubtful):
            if run_id := self._runs.get(key):
                self._drop_twins(run_id, key)
            if self._doubtful[key] < time.time():
                del self._doubtful[key]
                self._save()

    def _create(self, record: Record) -> None:
        key = record["key"]
        if key in self._runs:
            return
        try:
            if (experiment := record["experiment"]) not in self._experiments:
                self._experiments[experiment] = prepare_experiment(self._client, experiment)
            experiment_id = self._experiments[experiment]
            run_id = self._find(experiment_id, key) or self._create_new(experiment_id, record)
        except Exception as error:
            if not is_final(error):
                raise
            self._refuse(record, one_line(error))
            return
        self._runs[key] = run_id
        self._save()

    def _create_new(self, experiment_id: str, record: Record) -> str:
        tags = {KEY_TAG: record["key"]}
        if parent_key := record.get("parent_key"):
            tags[PARENT_TAG] = parent_key
            if parent := self._runs.get(parent_key):
                tags["mlflow.parentRunId"] = parent
        start = round(record["start_time"] * 1000)
        try:
            run_id = self._client.create_run(experiment_id, start, tags, record["name"]).info.run_id
            if not run_id:
                raise ConnectionError("the server's answer to the creation of a run names no run")
        except Exception as error:
            if not is_final(error):
                self._doubtful[record["key"]] = time.time() + _TWIN_SECONDS
                self._save()
            raise
        return str(run_id)

    def _find(self, experiment_id: str, key: str) -> str | None:
        """The run that has this key, if there is one: an active one before a deleted one."""
        runs = sorted(self._search(experiment_id, key), key=lambda run: (run.lifecycle_stage != "active", run.run_id))
        return str(runs[0].run_id) if runs else None

    def _search(self, experiment_id: str, key: str) -> "list[RunInfo]":
        from mlflow.entities import ViewType

        wanted = f"tags.`{KEY_TAG}` = '{key}'"
        found = self._client.search_runs([experiment_id], wanted, run_view_type=ViewType.ALL, max_results=10)
        return [run.info for run in found]

    def _set_status(self, key: str, record: Record) -> None:
        run_id = self._runs.get(key)
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

    def _drop_twins(self, run_id: str, key: str) -> None:
        for twin in self._search(self._client.get_run(run_id).info.experiment_id, key):
            if twin.run_id != run_id and twin.lifecycle_stage == "active":
                self._client.delete_run(twin.run_id)

    def _log(self, key: str, items: Sequence[_Item]) -> None:
        if not items:
            return
        run_id = self._runs.get(key)
        if run_id is None:
            self._refuse({"key": key, "count": len(items)}, "its run was never created")
            return
        metrics = [item for item in items if item.kind == "metric"]
        params = [item for item in items if item.kind == "param"]
        tags = list({item.name: item for item in items if item.kind == "tag"}.values())
        for group, size in ((params, _MAX_TEXTS), (tags, _MAX_TEXTS), (metrics, _MAX_METRICS)):
            for start in range(0, len(group), size):
                self._send(key, run_id, group[start : start + size])

    def _send(self, key: str, run_id: str, items: Sequence[_Item]) -> None:
        """One log_batch call; what the server refuses for good is halved until the culprit is alone."""
        from mlflow.entities import Metric, Param, RunTag

        try:
            self._client.log_batch(
                run_id,
                metrics=[Metric(i.name, float(i.value), i.timestamp, i.step) for i in items if i.kind == "metric"],
                params=[Param(i.name, str(i.value)) for i in items if i.kind == "param"],
                tags=[RunTag(i.name, str(i.value)) for i in items if i.kind == "tag"],
            )
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


_NUMBER = (int, float)
_FIELDS: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    "create_run": {"name": str, "experiment": str, "tags": dict, "params": dict, "start_time": _NUMBER},
    "points": {"step": int, "metrics": dict, "timestamp": _NUMBER},
    "tags": {"tags": dict},
    "artifact": {"path": str, "folder": str},
    "learning_curve": {"points": list, "metric": str, "title": str},
    "end_run": {"status": str, "end_time": _NUMBER},
    "reopen_run": {},
}


def _complaint(record: Record) -> str:
    """What is wrong with a record that another version may have written; "" when nothing is."""
    op = record.get("op")
    if op not in _FIELDS:
        return f"unknown operation {op!r}"
    if not isinstance(record.get("key"), str):
        return "it has no key"
    wrong = [name for name, wanted in _FIELDS[op].items() if not isinstance(record.get(name), wanted)]
    return f"bad or missing fields: {', '.join(wrong)}" if wrong else ""


def _items(record: Record) -> list[_Item]:
    items = [_Item("param", name, value) for name, value in record.get("params", {}).items()]
    items += [_Item("tag", name, value) for name, value in record.get("tags", {}).items()]
    if record["op"] == "points":
        timestamp = round(record["timestamp"] * 1000)
        # The journal holds nan and inf as text; MLflow would store inf as 1.8e308, which ruins every chart.
        items += [
            _Item("metric", name, float("nan") if isinstance(value, str) else value, record["step"], timestamp)
            for name, value in record["metrics"].items()
        ]
    return items
