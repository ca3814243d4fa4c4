"""``oplstm doctor``: what MLflow holds of a sweep against its journal, and mending what can be mended with MLflow."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jobs.operations.files_check import model_problems, with_models
from jobs.operations.sweep_check import Check
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.servers import KnownServers
from jobs.store.state import SweepState
from jobs.store.trial import Trial
from jobs.sweep.tracked import key
from oplstm.durable import new_folder
from oplstm.errors import RequestError
from tracking.outbox.comparison import Difference, Fault, differences, empty_running
from tracking.outbox.cursor import Cursor, cursor_path
from tracking.outbox.outbox import idle_outbox
from tracking.server.client import connect, one_line
from tracking.server.reachability import check_reachable

if TYPE_CHECKING:
    from mlflow import MlflowClient

REACH_SECONDS: Final = 5.0
_MEND: Final = {
    Fault.TWIN: "oplstm doctor {name} --repair deletes it",
    Fault.MISSING: "oplstm doctor {name} --repair ships it again",
    Fault.STATUS: "oplstm doctor {name} --repair ships it again",
    Fault.LOST: "oplstm doctor {name} --repair ships them again",
    Fault.SECOND: "delete in MLflow the one that you do not want",
    Fault.DOUBLED: "MLflow deletes no points; oplstm doctor {name} --adopt makes runs of its own for all of it",
    Fault.AHEAD: "this is an older copy of the sweep; oplstm doctor {name} --adopt makes runs of its own for it",
}


def tracked_problems(found: Sequence[Difference], name: str) -> list[str]:
    """The differences as lines with their mends."""
    return [f"{one.line}: {_MEND[one.fault].format(name=name)}" for one in found]


def tracked_differences(folder: SweepFolder, header: Header, address: str) -> list[Difference]:
    """What MLflow holds of a sweep that nobody runs, and does not hold, other than its journal says.

    Raises:
        RequestError: The server gives no answer.
    """
    if not folder.journal.exists():
        return []
    try:
        client = connect(address)
        found = differences(client, folder.journal, experiment=header.experiment, key=header.id)
        return [*found, *_of_report(client, folder, header)]
    except Exception as error:  # of MLflow's client, whatever its class
        raise RequestError(f"what MLflow holds of {folder.name} is not known: {one_line(error)}") from error


def _of_report(client: "MlflowClient", folder: SweepFolder, header: Header) -> Iterator[Difference]:
    """Whether the report is on the sweep's own run, once it was shipped and unless MLflow has refused it."""
    from jobs.operations.reporting.tracked import report_told  # imports what draws

    name, cursor = key(header), Cursor.load(cursor_path(folder.journal))
    run_id, refused = cursor.runs.get(name), {one.key for one in idle_outbox(folder.journal).refused()}
    if run_id is None or name in refused or cursor.deferred or report_told(folder) is None:
        return
    there = {Path(one.path).name for one in client.list_artifacts(run_id, folder.report.name)}
    if folder.report.is_dir() and (lost := sorted({path.name for path in folder.report.iterdir()} - there)):
        line = f"run {run_id} of {name} lacks {', '.join(lost)} of the report in MLflow"
        yield Difference(name, Fault.LOST, line, run_id)


def delete_twins(address: str, found: Sequence[Difference]) -> list[str]:
    """Delete the empty runs among the differences; returns what was done, one line each."""
    done, client = [], connect(address)
    for one in found:
        if one.fault is Fault.TWIN and one.run_id is not None:
            try:
                client.delete_run(one.run_id)
            except Exception as error:
                done.append(f"the empty run {one.run_id} of {one.key} could not be deleted: {one_line(error)}")
            else:
                done.append(f"deleted the empty run {one.run_id} of {one.key}")
    return done


def damaged_models(folder: SweepFolder, state: SweepState) -> list[Trial]:
    """The trials whose files are not as they were written."""
    return [trial for trial in with_models(state) if any(model_problems(folder.trial(trial.name), trial))]


def fetch_models(folder: SweepFolder, state: SweepState, *, address: str, runs: Mapping[str, str]) -> list[str]:
    """Put back the files of trials that are damaged here and whole in MLflow; returns what was done, one line each.

    Args:
        folder: Of the sweep.
        state: Of the sweep.
        address: Of its server.
        runs: MLflow's run of each trial that has one, by the trial's name.
    """
    done = []
    for trial in damaged_models(folder, state):
        if trial.name not in runs:
            continue
        with tempfile.TemporaryDirectory() as drawer:
            try:
                copy = Path(connect(address).download_artifacts(runs[trial.name], "model", drawer))
                problem = next(model_problems(copy, trial), None)
                if problem is None:
                    _put_back(copy, folder.trial(trial.name))
            except Exception as error:
                problem = one_line(error)
        where = f"run {runs[trial.name]} in MLflow"
        done.append(
            f"{folder.trial(trial.name)}: put back from {where}"
            if problem is None
            else f"{folder.trial(trial.name)}: left as it is, for {where} has no better: {problem}"
        )
    return done


def _put_back(copy: Path, place: Path) -> None:
    with new_folder(place) as draft:
        for path in copy.iterdir():
            shutil.copyfile(path, draft / path.name)


def require_latest(folder: SweepFolder, header: Header, *, state: SweepState, address: str) -> None:
    """See that MLflow knows no more of a sweep that goes on than its journal: what is trained again would be doubled.

    Nothing is said of a server that gives no answer, or of one that comes with oplstm and is still starting.

    Raises:
        RequestError: It does.
    """
    from mlflow.exceptions import MlflowException  # imports MLflow, which takes seconds

    if header.tracking_uri is None or not folder.journal.exists():
        return
    going_on = [trial for pack in state.unfinished_packs().values() for trial in pack.unended()]
    among = {key(header), *(key(header, trial.name) for trial in going_on)}
    try:
        client = connect(address)
        found = differences(client, folder.journal, experiment=header.experiment, key=header.id, among=among)
    except (MlflowException, OSError):  # those of requests are such
        return
    ahead = [one for one in found if one.fault is Fault.AHEAD]
    if ahead:
        raise RequestError(f"{folder.name} cannot go on: {tracked_problems(ahead, folder.name)[0]}")


class NamedServers:
    """The servers that this user has named, each asked once whether it answers."""

    def __init__(self) -> None:
        self._found: dict[str, MlflowClient | RequestError] = {}

    def check(self, uri: str | None, *, sweeps: int) -> Check:
        """Whether a server to which so many sweeps track answers; the embedded one does when it is needed."""
        told = f"of {sweeps} sweep{'s' if sweeps > 1 else ''} here"
        if uri is None:
            return Check("MLflow", ok=True, found=f"the server that comes with oplstm, {told}")
        if uri not in KnownServers():
            return Check("MLflow", ok=True, found=f"{uri}, {told}; it was never named here, and is not asked")
        try:
            self._client(uri)
        except RequestError as error:
            return Check("MLflow", ok=False, found=f"{error}; it is that {told}")
        return Check("MLflow", ok=True, found=f"{uri}, {told}")

    def twins(self, folder: SweepFolder, header: Header) -> list[str]:
        """The empty runs beside those of a sweep that nobody runs, one line each; none of a server that has no name.

        Raises:
            RequestError: The server gives no answer.
        """
        uri = header.tracking_uri
        if uri is None or uri not in KnownServers():
            return []
        client = self._client(uri)
        try:
            found = empty_running(client, folder.journal, experiment=header.experiment, key=header.id)
        except Exception as error:
            raise RequestError(f"tracking server {uri}: {one_line(error)}") from error
        return tracked_problems(found, folder.name)

    def _client(self, uri: str) -> "MlflowClient":
        if uri not in self._found:
            try:
                check_reachable(uri, REACH_SECONDS)
                self._found[uri] = connect(uri)
            except RequestError as error:
                self._found[uri] = error
        client = self._found[uri]
        if isinstance(client, RequestError):
            raise client
        return client
