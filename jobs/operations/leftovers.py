"""What the folders ``requests/`` and ``ends/`` of a sweep that nobody runs hold: what waits there, what is in vain."""

import os
from collections.abc import Iterator
from pathlib import Path

from jobs.operations.files_check import checkpoint_problems
from jobs.store import requests
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import TrialState

END_MEND = "extend --budget trains it anew"


def spent_requests(folder: SweepFolder, state: SweepState) -> list[Path]:
    """Those that nobody takes up any more: they were answered, or the sweep has ended."""
    names = (name for name in requests.left(folder) if state.finished or name in state.live.answers)
    return [folder.requests / f"{name}.json" for name in names]


def request_problems(folder: SweepFolder, state: SweepState) -> Iterator[str]:
    """What is wrong with what users have asked for, one line each; what a resume takes up is not."""
    spent = spent_requests(folder, state)
    for path in spent:
        yield f"{path} was left behind, and nobody takes it up any more; oplstm gc frees it"
    names = list(requests.left(folder))
    for name in names:
        if folder.requests / f"{name}.json" not in spent:
            try:
                requests.read(folder, name)
            except ValueError as error:
                yield f"{error}; resume declines and removes it"
    for path in _entries(folder.requests):
        if path.stem not in names:
            yield f"{path} is no request, and nothing reads it: remove it"


def spent_ends(folder: SweepFolder, state: SweepState) -> list[Path]:
    """States of trials that have ended in another way, so that they never go on to a longer budget."""
    return [path for path in _entries(folder.ends) if path.is_dir() and _has_ended_otherwise(path.name, state)]


def ends(folder: SweepFolder, state: SweepState) -> list[Path]:
    """The states from which trials may go on."""
    kept = (path for path in _entries(folder.ends) if path.name in state.by_name and path.is_dir())
    return [end for path in kept for end in sorted(path.glob("update-*"))]


def end_problems(folder: SweepFolder, state: SweepState) -> Iterator[str]:
    """What is wrong with the states in which trials have ended, one line each; one that has none is as it may be."""
    for path in spent_ends(folder, state):
        yield f"{path} is of a trial that goes on no more; oplstm gc frees it"
    for path in _entries(folder.ends):
        if path.name not in state.by_name or not path.is_dir():
            yield f"{path} is of no trial of {folder.name}, and nothing reads it: remove it"
    for end in ends(folder, state):
        if not _has_ended_otherwise(end.parent.name, state):
            yield from (f"{problem}; {END_MEND}" for problem in checkpoint_problems(end, state))


def _has_ended_otherwise(name: str, state: SweepState) -> bool:
    trial = state.by_name.get(name)
    return trial is not None and trial.state.ended and trial.state is not TrialState.COMPLETE


def _entries(folder: Path) -> list[Path]:
    """What a folder that need not be there holds, but for what is being written or was given up (``gc`` knows it)."""
    try:
        return [folder / name for name in sorted(os.listdir(folder)) if not name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
