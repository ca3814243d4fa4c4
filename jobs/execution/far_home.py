"""A home that the machine which trains does not see: what a pack reads comes from it, and what it writes goes there.

All of it goes through calls of the coordinator (``HomeEnd``), which is on a machine that sees the home. What is
written lies here, in a temporary folder, only until it is sent.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from jobs.execution.carried import PIECE_BYTES, FarStart, Piece, Try
from jobs.execution.remote_coordinator import RemoteCoordinator
from jobs.execution.scratch import FAR, scratch_folder
from jobs.store.home import SweepFolder
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.messages import Assignment, NamedRun, StartedPack

MOST_CHARACTERS: Final = 100_000
"""Of a log, at once."""


class FarFolder(SweepFolder):
    """A sweep's folder that is elsewhere.

    Args:
        path: Where its files are put here.
        data: Imported datasets, as every node has them.
        call: Takes the name of a method and its arguments to the coordinator, and returns its answer.
    """

    def __init__(self, path: Path, data: Path, call: Callable[..., Any]) -> None:
        super().__init__(path)
        self._data, self._call, self._own, self._told = data, call, Try("", 0), 0
        path.mkdir(parents=True)
        self.pack_sizes.write_bytes(call("pack_sizes"))
        self._sizes = PackSizes(self.pack_sizes).entries()

    @property
    def data(self) -> Path:
        """Imported datasets of this machine."""
        return self._data

    def begin(self, start: FarStart) -> None:
        """From now on all is for this try of a pack; what it reads is brought here."""
        self._own = start.own
        shutil.rmtree(self.path / "packs", ignore_errors=True)
        if start.checkpoint is not None:
            self._fetch(start.checkpoint)
        self.fetch_starts(start.started.runs)

    def fetch_starts(self, runs: Sequence[NamedRun]) -> None:
        """Bring here the weights with which some of these begin."""
        for one in runs:
            if one.is_warm:
                self._fetch(self.start(one.name).relative_to(self.path).as_posix())

    def _fetch(self, place: str) -> None:
        for name, size in self._call("files_at", self._own, place).items():
            (self.path / place).mkdir(parents=True, exist_ok=True)
            with (self.path / place / name).open("wb") as file:
                for offset in range(0, size, PIECE_BYTES):
                    file.write(self._call("piece_at", self._own, Piece(place, name, offset)))

    def kept(self, folder: Path) -> None:
        """Send a folder that was written, then let go of it here: nobody reads it again."""
        place = folder.relative_to(self.path).as_posix()
        for path in sorted(folder.iterdir()):
            with path.open("rb") as file:
                for offset in range(0, path.stat().st_size, PIECE_BYTES):
                    self._call("bring", self._own, Piece(place, path.name, offset), file.read(PIECE_BYTES))
        self._call("keep", self._own, place)
        shutil.rmtree(folder)
        self.send_log()

    def let_go(self, pack: str) -> None:
        """Remove the checkpoints of a pack, there and here."""
        super().let_go(pack)
        self._call("let_go", pack)
        self.send_log()

    def asked_to_stop(self) -> bool:
        """Whether the sweep is asked to stop, which only the coordinator sees."""
        asked: bool = self._call("asked_to_stop")
        return asked

    def send_log(self) -> None:
        """Send what was said since it was last sent."""
        with contextlib.suppress(FileNotFoundError):
            text = self.pack_log.read_text()
            if len(text) > self._told:
                self._call("log", text[self._told :][-MOST_CHARACTERS:])
                self._told = len(text)

    def send_sizes(self) -> None:
        """Send what was measured here about packs."""
        found = PackSizes(self.pack_sizes).entries()
        if new := {key: size for key, size in found.items() if size != self._sizes.get(key)}:
            self._call("remember_sizes", new)
            self._sizes = found


class FarCoordinator(RemoteCoordinator):
    """The coordinator, whose answers come with the files that they speak of.

    Args:
        call: As of ``RemoteCoordinator``.
        folder: Where the files are put.
    """

    def __init__(self, call: Callable[..., Any], folder: FarFolder) -> None:
        super().__init__(call)
        self._folder = folder

    def sized(self, name: str, capacity: int) -> None:
        """How many runs the pack can hold; the home remembers it."""
        self._folder.send_sizes()
        super().sized(name, capacity)

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """The pack's training begins, with files that the home has got ready for it."""
        start: FarStart | None = self._call("start_far", name, device)
        if start is None:
            return None
        self._folder.begin(start)
        return replace(start.started, origin=None, parts=(), extended=False)

    def joins(self, name: str, update: int, room: int) -> Sequence[NamedRun]:
        """Who comes into the pack."""
        joined = super().joins(name, update, room)
        self._folder.fetch_starts(joined)
        return joined

    def next_half(self, name: str) -> Assignment | None:
        """The next pack of this one's process; the home remembers why there are halves."""
        self._folder.send_sizes()
        return super().next_half(name)


@contextlib.contextmanager
def far_home(call: Callable[..., Any], home: SweepFolder) -> Iterator[tuple[FarCoordinator, FarFolder]]:
    """What ``train_in_turns`` gets of a sweep whose folder is not visible here.

    Args:
        call: Takes the name of a method and its arguments to the coordinator, and returns its answer.
        home: The folder, where it is.
    """
    with scratch_folder(FAR) as scratch:
        folder = FarFolder(Path(scratch) / "sweeps" / home.name, home.data, call)
        yield FarCoordinator(call, folder), folder
