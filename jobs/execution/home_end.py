"""The coordinator as it is for packs that do not see the home: it brings them files and takes in what they wrote.

Each file is what it would be if the pack had written it itself, and appears in the same order: a folder by one rename,
when all of it has come and its digests are right.
"""

import contextlib
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from jobs.execution.carried import PIECE_BYTES, FarStart, Piece, Refused, Try
from jobs.execution.pack_worker import take_over, warnings_to
from jobs.store.home import SweepFolder, check_plain
from jobs.store.pack_sizes import PackSizes
from jobs.store.trial import names_of
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import StartedPack
from oplstm.durable import new_folder
from oplstm.errors import WorkError
from oplstm.training.checkpoint import KEPT, checkpoints, keep_newest, runs_of_checkpoint
from oplstm.training.sealed import Damaged, read_sealed

_UPDATE: Final = re.compile(r"update-[0-9]{1,12}")
_FILE: Final = re.compile(r"[a-z]{1,40}\.(json|safetensors)")


class HomeEnd(Coordinator):
    """A coordinator that packs may call from nodes which do not see its home (``FarCoordinator``, ``FarFolder``)."""

    def __init__(
        self, folder: SweepFolder, tracking_uri: str | Callable[[], str], *, replicates_only: bool = False
    ) -> None:
        super().__init__(folder, tracking_uri, replicates_only=replicates_only)
        self._tries: Counter[str] = Counter()
        self._coming: dict[str, _Coming] = {}
        self._far: set[str] = set()

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """As of any coordinator; what an earlier try of the pack still sends is refused from now on."""
        self._refuse_others(name)
        return super().started(name, device)

    def pack_failed(self, pack: str, reason: str) -> None:
        """As of any coordinator; what its tries still send is refused."""
        self._refuse_others(pack)
        super().pack_failed(pack, reason)

    def _refuse_others(self, pack: str) -> None:
        self._tries[pack] += 1
        if (left := self._coming.pop(pack, None)) is not None:
            left.drop()

    def start_far(self, name: str, device: dict[str, str]) -> FarStart | None:
        """``started``, and all that the process of the pack would do in the home before it trains."""
        started = self.started(name, device)
        if started is None:
            return None
        if (host := device.get("oplstm.host", "a node")) not in self._far:
            self._far.add(host)
            self._failures.say(f"{host} does not see {self.folder.home}: what its packs write is sent through Ray")
        with warnings_to(self.folder.pack_log):
            take_over(started, self.folder, name)
            runs_of_checkpoint(self.folder.pack(name), {one.name: one.run for one in started.runs})
        newest = next(iter(checkpoints(self.folder.pack(name))), None)
        place = None if newest is None else newest.relative_to(self.folder.path).as_posix()
        return FarStart(started, Try(name, self._tries[name]), place)

    def files_at(self, own: Try, place: str) -> dict[str, int]:
        """Names and sizes of the files at a place; none if there is nothing."""
        path = self._path(own, place, reads=True)
        found = [file for file in path.iterdir() if _FILE.fullmatch(file.name)] if path.is_dir() else []
        for file in found:
            check_plain(file)
        return {file.name: file.stat().st_size for file in found}

    def piece_at(self, own: Try, piece: Piece) -> bytes:
        """A piece of a file that is there."""
        if piece.file not in self.files_at(own, piece.place):
            raise Refused(f"{piece.place} has no {piece.file!r}")
        with (self.folder.path / piece.place / piece.file).open("rb") as file:
            file.seek(piece.offset)
            return file.read(PIECE_BYTES)

    def bring(self, own: Try, piece: Piece, data: bytes) -> None:
        """Take in a piece of a file; the first of a place begins what ``keep`` completes.

        Raises:
            Refused: Another try of the pack has begun, or it is for no place of this pack, or not what comes next.
            WorkError: The disk is full or not writable.
        """
        path, coming = self._path(own, piece.place), self._coming.pop(own.pack, None)
        if not _FILE.fullmatch(piece.file):
            raise Refused(f"{piece.file!r} is no name of a file")
        with _writable(path):
            if coming is None:
                coming = _Coming(path)
            coming.take(path, piece, data)
        self._coming[own.pack] = coming

    def keep(self, own: Try, place: str) -> None:
        """What was brought to a place is complete: it appears there, and older checkpoints beside it go.

        Raises: as ``bring`` does.
        """
        path, coming = self._path(own, place), self._coming.pop(own.pack, None)
        if coming is None:
            raise Refused(f"nothing was brought to {place}")
        with _writable(path):
            coming.complete(path)
            if path.parent != self.folder.trials:
                keep_newest(path.parent, KEPT if path.parent == self.folder.pack(own.pack) else 1)

    def let_go(self, pack: str) -> None:
        """The checkpoints of a pack of which nothing is left to train go."""
        if pack in self.state.packs and not self.state.packs[pack].unended():
            self.folder.let_go(pack)

    def asked_to_stop(self) -> bool:
        """Whether the sweep is asked to stop."""
        return self.folder.asked_to_stop()

    def log(self, lines: str) -> None:
        """Keep what was said while packs were trained."""
        with contextlib.suppress(OSError), self.folder.pack_log.open("a") as log:  # a full disk: reported elsewhere
            log.write(lines)

    def pack_sizes(self) -> bytes:
        """The file of all that was measured about packs; empty if there is none."""
        try:
            return self.folder.pack_sizes.read_bytes()
        except OSError:
            return b""

    def remember_sizes(self, sizes: Mapping[str, Mapping[str, int]]) -> None:
        """Add what was measured on a node."""
        for key, found in sizes.items():
            PackSizes(self.folder.pack_sizes).remember(key, found["size"], found["limit"], updates=found.get("updates"))

    def close(self, *, flush_seconds: float | None = None) -> int:
        """As of any coordinator; what was not completed goes."""
        for left in self._coming.values():
            left.drop()
        self._coming.clear()
        return super().close(flush_seconds=flush_seconds)

    def _path(self, own: Try, place: str, *, reads: bool = False) -> Path:
        """Where a place is that a try may write to, or read from."""
        pack = self.state.packs.get(own.pack)
        if pack is None or self._tries[own.pack] != own.number:
            raise Refused(f"another try of {own.pack} has begun since")
        trials = names_of(pack.trials)
        match place.split("/"):
            case ["packs", name, update] if name == pack.name and _UPDATE.fullmatch(update):
                pass
            case ["ends", name, update] if name in trials and _UPDATE.fullmatch(update):
                pass
            case ["trials", name] if name in trials:
                pass
            case ["starts", name] if name in trials and reads:
                pass
            case _:
                raise Refused(f"{place!r} is no place of {own.pack}")
        path = self.folder.path
        for part in place.split("/"):
            path /= part
            check_plain(path, folder=True)
        return path


class _Coming:
    """A folder of which not all files have come: a draft, which goes when anything is wrong with it.

    Args:
        path: What it becomes.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, contextlib.ExitStack()
        self._draft = self._stack.enter_context(new_folder(path))
        self._digests: dict[str, hashlib._Hash] = {}
        self._sizes: Counter[str] = Counter()

    def take(self, path: Path, piece: Piece, data: bytes) -> None:
        """Add a piece, which goes to the disk at once: no call takes as long as a large file would."""
        with self._sound(path):
            if piece.offset != (size := self._sizes[piece.file]):
                raise Refused(f"{piece.file} has come up to byte {size}, got a piece from byte {piece.offset}")
            with (self._draft / piece.file).open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._sizes[piece.file] += len(data)
            self._digests.setdefault(piece.file, hashlib.sha256()).update(data)

    def complete(self, path: Path) -> None:
        """Let it appear, if its manifest and every file are as they were written."""
        with self._sound(path):
            manifest = next((name for name in self._digests if name.endswith(".json")), "run.json")
            came = {name: digest.hexdigest() for name, digest in self._digests.items() if name != manifest}
            try:
                as_written = read_sealed(self._draft / manifest).digests == came
            except Damaged:
                as_written = False
            if not as_written:
                raise Refused(f"{path.name} did not come as it was written")
        self._stack.close()

    def drop(self) -> None:
        """Let the draft go."""
        self._stack.__exit__(Refused, Refused(), None)

    @contextlib.contextmanager
    def _sound(self, path: Path) -> Iterator[None]:
        try:
            if path != self._path:
                raise Refused(f"{self._path.name} is not complete, got {path.name}")
            yield
        except BaseException:
            self.drop()
            raise


@contextlib.contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        mend = "free some space or mend the permissions, then resume"
        raise WorkError(f"cannot write {path}: {error}; {mend}") from error
