"""Optuna's study in a file, for its dashboard and its users."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend


class StudyFile(BaseJournalBackend):
    """Writes what Optuna's own ``JournalFileBackend`` reads, without its lock and its fsync.

    The coordinator is the only writer, and the file is made anew from the sweep's journal; so nothing waits for the
    disk, and a kill leaves no lock behind.

    Args:
        path: The file; what was there is gone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: list[str] = []
        path.write_text("")

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from that number on."""
        return [json.loads(line) for line in self._lines[log_number_from:]]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Keep the entries and write them."""
        lines = [json.dumps(log, separators=(",", ":")) for log in logs]
        self._lines += lines
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
