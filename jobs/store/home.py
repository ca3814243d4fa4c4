"""Where everything lives: ``$OPLSTM_HOME``, one folder a sweep."""

import os
import shutil
import tempfile
from pathlib import Path

from jobs.store.names import SWEEP_NAME
from oplstm.errors import RequestError, message

MINIMUM_FREE_BYTES = 64 << 20
PACK_SIZES = "pack-sizes.json"


class SweepFolder:
    """The files of one sweep, training or final run.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def header(self) -> Path:
        """What the sweep is: JSON, written once."""
        return self.path / "sweep.json"

    @property
    def journal(self) -> Path:
        """Everything that happened."""
        return self.path / "journal.jsonl"

    @property
    def study(self) -> Path:
        """Optuna's view of it, rebuilt from the journal."""
        return self.path / "study.log"

    @property
    def stop_request(self) -> Path:
        """A file whose presence asks the sweep to stop."""
        return self.path / "stop"

    @property
    def trials(self) -> Path:
        """One folder a trial: best weights and scores."""
        return self.path / "trials"

    @property
    def home(self) -> Path:
        """The home that the sweep is in."""
        return self.path.parent.parent

    @property
    def data(self) -> Path:
        """Imported datasets of the home."""
        return self.home / "data"

    @property
    def pack_sizes(self) -> Path:
        """What was measured about packs, of the home."""
        return self.home / PACK_SIZES

    def check_links(self) -> None:
        """See that no symbolic link leads out of the folder, before anything in it is written or uploaded.

        Raises:
            RequestError: One does.
        """
        inside = self.path.resolve()
        for where, folders, files in os.walk(self.path):
            for name in (*folders, *files):
                path = Path(where, name)
                if path.is_symlink() and not path.resolve().is_relative_to(inside):
                    raise RequestError(f"{path} is a symbolic link that leads out of the sweep's folder: remove it")

    def pack(self, name: str) -> Path:
        """The checkpoints of a pack."""
        return self.path / "packs" / name

    def trial(self, name: str) -> Path:
        """Best weights and scores of a trial."""
        return self.trials / name


class Home:
    """``$OPLSTM_HOME``.

    Args:
        path: The folder, by default what the environment says, else ``./oplstm-home``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = (path or Path(os.environ.get("OPLSTM_HOME") or "oplstm-home")).absolute()

    @property
    def sweeps(self) -> Path:
        """Parent of the sweeps' folders."""
        return self.path / "sweeps"

    @property
    def data(self) -> Path:
        """Imported datasets."""
        return self.path / "data"

    @property
    def pack_sizes(self) -> Path:
        """What was measured about packs."""
        return self.path / PACK_SIZES

    def check_writable(self, needed_bytes: int = 0, *, make: bool = True) -> None:
        """Make the folder, unless told not to, and see that it can hold ``needed_bytes``.

        Raises:
            RequestError: It cannot be written, or the disk is too full.
        """
        try:
            if make:
                self.sweeps.mkdir(parents=True, exist_ok=True)
            there = next(folder for folder in (self.sweeps, *self.sweeps.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"\0" * 4096)
        except OSError as error:
            why = error.strerror or message(error)
            raise RequestError(
                f"cannot write to {self.path}: {why}; set OPLSTM_HOME to a folder that you can write"
            ) from error
        free, needed = shutil.disk_usage(there).free, max(needed_bytes, MINIMUM_FREE_BYTES)
        if free < needed:
            raise RequestError(
                f"{self.path} has {free >> 20} MiB free and this needs about {needed >> 20} MiB; "
                "free some space or set OPLSTM_HOME to another disk"
            )

    def sweep_folder(self, name: str) -> SweepFolder:
        """The folder that a sweep of this name has or would have."""
        return SweepFolder(self.sweeps / name)

    def new_sweep(self, name: str) -> SweepFolder:
        """The folder for a sweep that does not exist yet.

        Raises:
            RequestError: The name is taken or cannot be a folder's.
        """
        if not SWEEP_NAME.fullmatch(name):
            raise RequestError(
                f"name {name!r} must be letters, digits, '.', '_' or '-', start with a letter or digit "
                "and have at most 80 characters"
            )
        folder = SweepFolder(self.sweeps / name)
        if folder.path.exists():
            raise RequestError(f"name {name!r} is taken ({folder.path}); use resume, or another --name")
        return folder

    def free_name(self, stem: str) -> str:
        """``stem``, or ``stem-2``, ``stem-3`` ... if it is taken."""
        name, count = stem, 1
        while (self.sweeps / name).exists():
            count += 1
            name = f"{stem}-{count}"
        return name

    def sweep(self, name: str) -> SweepFolder:
        """The folder of an existing sweep.

        Raises:
            RequestError: There is none of that name.
        """
        folder = SweepFolder(self.sweeps / name)
        if SWEEP_NAME.fullmatch(name) is None or not folder.header.is_file():
            known = ", ".join(s.name for s in self.all_sweeps()) or "none yet"
            raise RequestError(f"no sweep named {name!r} in {self.path} (there: {known})")
        for path in (folder.path, folder.header, folder.journal):
            if path.is_symlink():
                raise RequestError(f"{path} is a symbolic link: move the folder itself into {self.sweeps}")
        return folder

    def all_sweeps(self) -> list[SweepFolder]:
        """Every sweep, oldest first."""
        paths = (path.parent for path in self.sweeps.glob("*/sweep.json"))
        found = [SweepFolder(path) for path in paths if SWEEP_NAME.fullmatch(path.name) and not path.is_symlink()]
        return sorted(found, key=lambda folder: folder.header.stat().st_mtime)
