"""Optuna's study in a file, for its dashboard and its users."""

import json
import weakref
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FrozenTrial, TrialState


class StudyFile(BaseJournalBackend):
    """Writes what Optuna's own ``JournalFileBackend`` reads, without its lock and its fsync.

    The coordinator is the only writer, and the file is made anew from the sweep's journal; so nothing waits for the
    disk, and a kill leaves no lock behind.

    Args:
        path: The file; what was there is gone.
    """

    def __init__(self, path: Path) -> None:
        self._lines: list[str] = []
        self._file = path.open("w", encoding="ascii")
        weakref.finalize(self, self._file.close)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from that number on."""
        return [json.loads(line) for line in self._lines[log_number_from:]]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep the entries and write them."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self._lines += lines
        self._file.writelines(f"{line}\n" for line in lines)
        self._file.flush()


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
