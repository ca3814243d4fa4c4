"""What went wrong with packs: kept for a person, told apart from accidents, and how long to wait before another try."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.trial import Trial
from jobs.sweep.tracked import key
from oplstm.durable import make_folder, write_file
from oplstm.errors import shortened
from oplstm.training.reports import RunEnd
from tracking.outbox.records import Artifact, Record

ALIKE_IN_A_ROW: Final = 3
"""So many packs given up one after the other for the same error are no accident."""
MOST_CHARACTERS: Final = 100_000
ALONE: Final = "failed: it does not fit into the memory, even alone"
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds before the second try of a pack, and at most; before each try in between twice as long as before the last."""


class Failures:
    """The errors of one sweep's packs.

    Args:
        folder: Of the sweep.
        tries: How often a pack is tried.

    Attributes:
        lines: What a person should know of them, one line each.
    """

    def __init__(self, folder: SweepFolder, tries: int) -> None:
        self._folder, self._most = folder, tries
        self.lines: list[str] = []
        self._errors: dict[str, str] = {}
        self._tries: Counter[str] = Counter()
        self._last, self._alike = "", 0

    def begin(self, pack: str) -> float:
        """A pack is tried, or tried again; returns the seconds to wait before."""
        self._tries[pack] += 1
        again = self._tries[pack] - 1
        if not again:
            return 0.0
        wait = min(FIRST_WAIT * float(1 << min(again - 1, 16)), LONGEST_WAIT)
        why = _last_line(self._errors.get(pack, "")) or "its process died"
        self.say(f"{pack} is tried again in {wait:g} s ({again + 1} of {self._most}): {why}")
        return wait

    def say(self, line: str) -> None:
        """Something that a person should know: shown, and kept in the log of the packs."""
        self.lines.append(line)
        with contextlib.suppress(OSError), self._folder.pack_log.open("a") as log:  # a full disk: reported elsewhere
            log.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n")

    def tried(self, pack: str, error: str) -> None:
        """A try to train a pack has raised an error, whose traceback this is."""
        self._errors[pack] = error[-MOST_CHARACTERS:]

    def kept(self, header: Header, pack: str, trials: Sequence[Trial]) -> list[Record]:
        """Write a pack's traceback for each of its trials; returns what uploads them."""
        if pack not in self._errors:
            return []
        found = {trial.name: self._folder.error(trial.name) for trial in trials}
        for path in found.values():
            make_folder(path.parent)
            write_file(path, self._errors[pack])
        places = {name: str(path.relative_to(self._folder.path)) for name, path in found.items()}
        return [Artifact(key(header, name), path=place, folder="") for name, place in places.items()]

    def forget(self, pack: str) -> None:
        """What a pack has met was met with: it is another pack now."""
        self._errors.pop(pack, None)

    def end(self, pack: str, trial: Trial, reason: str) -> RunEnd:
        """How a trial of a pack that is given up ends: with the last try's error, or ``reason`` if none is known."""
        error, how = self._errors.get(pack), reason if reason == ALONE else "failed on every try"
        note = reason if error is None else f"{how}: {_last_line(error)}"
        if reason == ALONE:
            self.say(f"{trial.name} {note}")
        return RunEnd(trial.name, "stopped", int(trial.points[-1]["update"]) if trial.points else 0, 0, note=note)

    def given_up(self, pack: str) -> str | None:
        """A pack is given up; returns why the sweep should be, if too many in a row had the same error."""
        error = _last_line(self._errors.pop(pack, ""))
        self._alike = self._alike + 1 if error and error == self._last else 1
        self._last = error
        if not error or self._alike < ALIKE_IN_A_ROW:
            return None
        return f"{self._alike} packs in a row failed alike: {error}; resume goes on with what is left"

    def succeeded(self) -> None:
        """A run came to its end: what failed before was no fault of them all."""
        self._last, self._alike = "", 0


def _last_line(error: str) -> str:
    return shortened(next((line.strip() for line in reversed(error.splitlines()) if line.strip()), ""))
