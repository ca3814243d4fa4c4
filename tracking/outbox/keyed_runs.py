"""The MLflow run of every key: looked up or created, and never two for one key."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracking.outbox.cursor import Cursor
from tracking.outbox.records import CreateRun
from tracking.server.client import all_runs, is_final
from tracking.server.experiments import prepare_experiment

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG: Final = "oplstm.key"
_PARENT_TAG: Final = "oplstm.parent"
_TWIN_SECONDS: Final = 120.0  # a server slower than this is taken to have dropped the call


class KeyedRuns:
    """Runs on one server.

    Args:
        client: Of the server.
        cursor: Its runs and doubtful keys are kept up to date.
        save: Called after each change of these.
    """

    def __init__(self, client: "MlflowClient", cursor: Cursor, save: Callable[[], None]) -> None:
        self._client = client
        self._ids = cursor.runs
        self._doubtful = cursor.doubtful
        self._save = save
        self._experiments: dict[str, str] = {}
        self._experiment_id = ""

    def find(self, key: str) -> str | None:
        """The run of `key`, if it was ensured before."""
        return self._ids.get(key)

    def find_anywhere(self, key: str, experiment_id: str) -> str | None:
        """The run of `key`, if it is in the experiment, whoever made it."""
        if found := self._ids.get(key):
            return found
        return run_of(self._client, experiment_id, key)

    def experiment_id(self, run_id: str) -> str:
        """Where a run is; all runs of a journal are in one experiment."""
        if not self._experiment_id:
            self._experiment_id = str(self._client.get_run(run_id).info.experiment_id)
        return self._experiment_id

    def ensure(self, record: CreateRun) -> None:
        """Make the run of the record, unless a run has its key."""
        if record.key in self._ids:
            return
        if record.experiment not in self._experiments:
            self._experiments[record.experiment] = prepare_experiment(self._client, record.experiment)
        experiment_id = self._experiments[record.experiment]
        self._ids[record.key] = self._look_up(experiment_id, record.key) or self._create(experiment_id, record)
        self._save()

    def look_for_twins(self) -> None:
        """Remove the empty run that a slow server made when it carried out a creation that was given up and repeated.

        Who gave up may be a process that was killed, or had ended, while it waited for the answer.
        """
        for key in list(self._doubtful):
            if run_id := self._ids.get(key):
                self._drop_twins(run_id, key)
            if self._doubtful[key] < time.time():
                del self._doubtful[key]
                self._save()

    def _create(self, experiment_id: str, record: CreateRun) -> str:
        tags = {KEY_TAG: record.key}
        if record.parent_key is not None:
            tags[_PARENT_TAG] = record.parent_key
            if parent := self._ids.get(record.parent_key):
                tags["mlflow.parentRunId"] = parent
        start = round(record.start_time * 1000)
        before = record.key in self._doubtful
        self._doubt(record.key)  # should this process be killed now, the next knows that it has asked
        try:
            run_id = self._client.create_run(experiment_id, start, tags, record.name).info.run_id
            if not run_id:
                raise ConnectionError("the server's answer to the creation of a run names no run")
        except Exception as error:
            if is_final(error) and not before:
                del self._doubtful[record.key]
            else:
                self._doubt(record.key)
            raise
        if not before:
            del self._doubtful[record.key]
        return str(run_id)

    def _doubt(self, key: str) -> None:
        self._doubtful[key] = time.time() + _TWIN_SECONDS
        self._save()

    def _look_up(self, experiment_id: str, key: str) -> str | None:
        """The run that has this key, if there is one: active before deleted, and one that holds something first."""
        runs = sorted(
            self._search(experiment_id, key), key=lambda run: (not is_active(run), is_empty(run), run.info.run_id)
        )
        if sum(map(is_active, runs)) > 1:
            self._doubt(key)
        return str(runs[0].info.run_id) if runs else None

    def _search(self, experiment_id: str, key: str) -> "list[Run]":
        return _runs_of(self._client, experiment_id, key)

    def _drop_twins(self, run_id: str, key: str) -> None:
        for twin in self._search(self._client.get_run(run_id).info.experiment_id, key):
            if twin.info.run_id != run_id and is_active(twin) and is_empty(twin):
                self._client.delete_run(twin.info.run_id)


def run_of(client: "MlflowClient", experiment_id: str, key: str) -> str | None:
    """The active run of `key` in an experiment, whoever made it."""
    runs = sorted(filter(is_active, _runs_of(client, experiment_id, key)), key=is_empty)
    return str(runs[0].info.run_id) if runs else None


def _runs_of(client: "MlflowClient", experiment_id: str, key: str) -> "list[Run]":
    from mlflow.entities import ViewType

    wanted = f"tags.`{KEY_TAG}` = '{key}'"
    return list(client.search_runs([experiment_id], wanted, run_view_type=ViewType.ALL, max_results=10))


def is_active(run: "Run") -> bool:
    """Whether it has not been deleted."""
    return bool(run.info.lifecycle_stage == "active")


def is_empty(run: "Run") -> bool:
    """Whether it was created, and nothing came after."""
    return not run.data.metrics and not run.data.params


def deleted_keys(client: "MlflowClient", runs: dict[str, str]) -> list[str]:
    """Those of some runs, keys with their run ids, that a user has deleted, alone or with their experiment.

    All are taken to be in the experiment of the last.

    Raises:
        Exception: The server does not know the last run, or gave no answer.
    """
    if not runs:
        return []
    last = client.get_run(next(reversed(runs.values())))
    deleted = {run.info.run_id for run in all_runs(client, [last.info.experiment_id], deleted=True)}
    return [key for key, run_id in runs.items() if run_id in deleted]
