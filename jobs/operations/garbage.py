"""``oplstm gc``: what lies in a home and is needed by nothing any more."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from jobs.operations.archive import size_of
from jobs.operations.leftovers import spent_ends, spent_requests
from jobs.operations.running import held, is_running
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import PackState
from oplstm.episodes.datasets.staging import clear_leftovers, leftovers
from oplstm.errors import RequestError, WorkError

QUIET_SECONDS: Final = 3600.0
"""For so long nobody has written to what a process, perhaps of another machine, has left behind."""
_DRAFT: Final = re.compile(r"\..+\.([0-9]{1,7})(\.lock)?")
"""What ``oplstm.durable.draft_beside`` names, with the number of its process."""
_GOES_ON: Final = (TrialState.COMPLETE, TrialState.FAILED, TrialState.DIVERGED)
"""Ends after which a run can be trained on, by ``extend`` or ``rerun-failed``, from its last checkpoint."""
_IMPORTS: Final = "interrupted imports"


@dataclass(frozen=True)
class Thing:
    """A file or folder that is needed by nothing.

    Attributes:
        kind: What it is, in the plural.
        path: Where.
        bytes: On the disk.
        sweep: Name of the sweep in whose folder it is; None for one of the home.
    """

    kind: str
    path: Path
    bytes: int
    sweep: str | None = None


@dataclass(frozen=True)
class Garbage:
    """What a home holds that is needed by nothing.

    Attributes:
        home: The home.
        things: Found, sweep by sweep.
        left: Sweeps that were not looked at, and why, a line each.
    """

    home: Home
    things: tuple[Thing, ...]
    left: tuple[str, ...]

    @classmethod
    def of(cls, home: Home, name: str | None = None) -> "Garbage":
        """That of a home, or of one sweep.

        Raises:
            RequestError: There is no such sweep, it runs, or its header is damaged.
            WorkError: Its journal is damaged.
        """
        if name is not None:
            folder = home.sweep(name)
            if is_running(folder):
                raise RequestError(f"{name} is running; oplstm stop {name} stops it")
            return cls(home, tuple(_of_sweep(folder)), ())
        things, left = [], []
        for folder in home.all_sweeps():
            try:
                if is_running(folder):
                    left.append(f"{folder.name} is running")
                else:
                    things += list(_of_sweep(folder))
            except (RequestError, WorkError, OSError) as error:
                left.append(f"{folder.name}: {' '.join(str(error).split())}")
        return cls(home, (*things, *_of_home(home)), tuple(left))

    def kinds(self) -> dict[str, tuple[int, int]]:
        """How many of each kind there are, and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for thing in self.things:
            count, size = found.get(thing.kind, (0, 0))
            found[thing.kind] = count + 1, size + thing.bytes
        return found

    def free(self) -> list[Thing]:
        """Remove what is still needed by nothing, and return it; a sweep that has begun to run is left alone.

        Raises:
            WorkError: Something cannot be removed.
        """
        freed, paths = list[Thing](), {thing.path for thing in self.things}
        for name in dict.fromkeys(thing.sweep for thing in self.things):
            folder = None if name is None else self.home.sweep_folder(name)
            with contextlib.suppress(RequestError), contextlib.nullcontext() if folder is None else held(folder):
                now = list(_of_home(self.home) if folder is None else _of_sweep(folder))
                freed += [_removed(thing) for thing in now if thing.path in paths]
        return freed

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        things = [{**asdict(thing), "path": str(thing.path)} for thing in self.things]
        total = sum(thing.bytes for thing in self.things)
        return {"home": str(self.home.path), "bytes": total, "found": things, "left": list(self.left)}


def _of_sweep(folder: SweepFolder) -> Iterator[Thing]:
    """What the folder of a sweep that nobody runs holds in vain."""
    folder.check_links()
    name, state = folder.name, SweepState.of(folder, Header.read(folder))
    if folder.stop_request.exists():
        yield Thing("stop requests", folder.stop_request, size_of(folder.stop_request), name)
    for path in spent_requests(folder, state):
        yield Thing("requests that nobody takes up any more", path, size_of(path), name)
    spent = spent_ends(folder, state)
    for path in spent:
        yield Thing("states of trials that go on no more", path, size_of(path), name)
    given_up = {folder.pack(pack.name) for pack in state.packs.values() if not _goes_on(pack)}
    for path in sorted(path for path in given_up if path.is_dir()):
        yield Thing("checkpoints of packs that nothing goes on with", path, size_of(path), name)
    given_up.update(spent)
    kept = [folder.pack(pack) for pack in state.packs] + [folder.ends / trial for trial in state.by_name]
    for path in sorted(damaged for one in kept if one not in given_up for damaged in one.glob("damaged-update-*")):
        yield Thing("damaged checkpoints", path, size_of(path), name)
    for path in _drafts(folder.path):
        if given_up.isdisjoint(path.parents):
            yield Thing("interrupted writes", path, size_of(path), name)


def _goes_on(pack: PackState) -> bool:
    """Whether a run of a pack, or of one that was made of it and has its checkpoints, can be trained on."""
    ours = any(not trial.state.ended or trial.state in _GOES_ON for trial in pack.trials)
    return ours or any(map(_goes_on, pack.parts))


def _of_home(home: Home) -> Iterator[Thing]:
    """The same of the home, but for what is in its sweeps."""
    for folder in (home.path, home.sweeps, home.path / "mlflow"):
        for path in _drafts(folder, deep=False):
            yield Thing("interrupted writes", path, size_of(path))
    for path in sorted(home.sweeps.glob(".*.deleted")):
        if path.is_dir() and not path.is_symlink():
            yield Thing("deleted sweeps", path, size_of(path))
    for path in leftovers(home.data):
        yield Thing(_IMPORTS, path, size_of(path))


def _drafts(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    """What processes that live no more were writing."""
    for where, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path, found = Path(where, name), _DRAFT.fullmatch(name)
            if found is not None and not psutil.pid_exists(int(found[1])) and _is_quiet(path):
                yield path
        folders[:] = [name for name in folders if deep and _DRAFT.fullmatch(name) is None]


def _is_quiet(path: Path) -> bool:
    try:
        inside = [Path(where, name) for where, _, files in os.walk(path) for name in files]
        last = max(one.lstat().st_mtime for one in (path, *inside))
    except OSError:  # somebody is at it
        return False
    return time.time() - last > QUIET_SECONDS


def _removed(thing: Thing) -> Thing:
    try:
        if thing.kind == _IMPORTS:
            clear_leftovers(thing.path)
        elif thing.path.is_dir() and not thing.path.is_symlink():
            shutil.rmtree(thing.path)
        else:
            thing.path.unlink(missing_ok=True)
    except OSError as error:
        raise WorkError(f"cannot remove {thing.path}: {error.strerror or error}") from error
    return thing
