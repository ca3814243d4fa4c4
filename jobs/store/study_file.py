"""Optuna's study in a file, for its dashboard and its users."""

import json
import weakref
import zlib
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.study import Study, load_study
from optuna.trial import FrozenTrial, TrialState

from oplstm.durable import draft_beside

_MEMBER: Final = b'"crc32"'
_LENGTH: Final = len(b',"crc32":"00000000"}\n')


class StudyFile(BaseJournalBackend):
    """Writes what Optuna's own ``JournalFileBackend`` reads, without its lock and its fsync.

    A line has one member more, which Optuna passes over: its checksum, begun at that of the line before.

    The coordinator is the only writer, and the file is made anew from the sweep's journal; so nothing waits for the
    disk, and a kill leaves no lock behind.

    Args:
        path: The file; what was there is gone.
    """

    def __init__(self, path: Path) -> None:
        self._logs: list[dict[str, Any]] = []
        self._passed = 0
        self._checksum = 0
        self._file = path.open("wb")
        weakref.finalize(self, self._file.close)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from that number on; a storage has taken in those before it, and never asks for them again."""
        del self._logs[: log_number_from - self._passed]
        self._passed = log_number_from
        return list(self._logs)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write the entries, and keep them until they are read."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self._logs += logs
        for line in lines:
            text = line.encode("ascii")[:-1]
            self._checksum = zlib.crc32(text, self._checksum)
            self._file.write(text + _stating(self._checksum))
        self._file.flush()


def rename_study(path: Path, name: str) -> None:
    """Give the one study of a file another name; a file that is missing or damaged is left as it is.

    Raises:
        OSError: It cannot be written.
    """
    if not path.exists() or damage_in(path) is not None:
        return
    logs = [json.loads(line) for line in path.read_bytes().splitlines()]
    draft = draft_beside(path)
    try:
        StudyFile(draft).append_logs(
            [
                {key: name if key == "study_name" else value for key, value in log.items() if key != "crc32"}
                for log in logs
            ]
        )
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _stating(checksum: int) -> bytes:
    return b',"crc32":"%08x"}\n' % checksum


def damage_in(path: Path) -> str | None:
    """What is wrong with a study's file, as one line: a line of it was changed, is missing or was cut off.

    A file that an older version wrote has no checksums: of it, every line must be one of Optuna's.

    Raises:
        OSError: It cannot be read.
    """
    checksum, is_old = 0, False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            text = line[:-_LENGTH]
            checksum = zlib.crc32(text, checksum)
            is_old = is_old or (number == 1 and _MEMBER not in line)
            if is_old and (_MEMBER in line or not _is_one_of_optunas(line)):
                return f"{path}, line {number}: it is none of Optuna's"
            if not is_old and line != text + _stating(checksum):
                return (
                    f"{path}, line {number}: its checksum is not {checksum:08x}: it, or a line before it, was changed"
                )
    return None


def _is_one_of_optunas(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and type(json.loads(line)["op_code"]) is int
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


class StudyReader(BaseJournalBackend):
    """Reads a study's file. Optuna's own makes a file where there is none, and a lock.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from that number on, without one that is just being written."""
        *lines, _ = self._path.read_bytes().split(b"\n")
        return [json.loads(line) for line in lines[log_number_from:]]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Refused."""
        raise OSError(f"{self._path} is only read")


def stored_study(path: Path, name: str) -> Study:
    """The study in a file, which it cannot change.

    Args:
        path: The file.
        name: Of the study: its sweep's.

    Raises:
        Exception: Whatever Optuna finds impossible in it.
    """
    return load_study(study_name=name, storage=JournalStorage(StudyReader(path)))


class StudyStorage(JournalStorage):
    """Optuna's, but that it knows which trials are enqueued; at every ask Optuna's looks through all there are."""

    def __init__(self, file: StudyFile) -> None:
        super().__init__(file)
        self._enqueued: list[int] = []

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """See Optuna."""
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial is not None and template_trial.state == TrialState.WAITING:
            self._enqueued.append(trial_id)
        return trial_id

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """See Optuna."""
        if trial_id in self._enqueued:
            self._enqueued.remove(trial_id)
        return super().set_trial_state_values(trial_id, state, values)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """See Optuna."""
        if states == (TrialState.WAITING,) and not self._enqueued:
            return []
        return super().get_all_trials(study_id, deepcopy, states)
