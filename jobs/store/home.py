"""Where everything lives: ``$OPLSTM_HOME``, one folder a sweep."""

import os
import shutil
import stat
import tempfile
from pathlib import Path

from jobs.store.names import SWEEP_NAME
from oplstm.durable import make_folder
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
    def pack_log(self) -> Path:
        """What those who train its packs have to say."""
        return self.path / "packs.log"

    @property
    def promotion(self) -> Path:
        """The report of its last promotion."""
        return self.path / "promotion.json"

    @property
    def report(self) -> Path:
        """The page that shows it, with the trial table and the job."""
        return self.path / "report"

    @property
    def stop_request(self) -> Path:
        """A file whose presence asks the sweep to stop."""
        return self.path / "stop"

    def asked_to_stop(self) -> bool:
        """Whether somebody asked the sweep to stop."""
        return self.stop_request.exists()

    @property
    def requests(self) -> Path:
        """What users ask of it while it runs (``jobs.store.requests``)."""
        return self.path / "requests"

    @property
    def trials(self) -> Path:
        """One folder a trial: best weights and scores."""
        return self.path / "trials"

    @property
    def ends(self) -> Path:
        """One folder a trial that has completed: the state from which it could go on."""
        return self.path / "ends"

    def start(self, trial: str) -> Path:
        """The weights with which a trial begins that does not begin with fresh ones."""
        return self.path / "starts" / trial

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
        """See that the folder holds folders and plain files alone, before anything in it is written or uploaded.

        Raises:
            RequestError: It holds a symbolic link, which may lead anywhere, or a pipe, which would be waited for.
        """
        check_plain(self.path, folder=True)
        for where, folders, files in os.walk(self.path):
            for name in folders:
                check_plain(Path(where, name), folder=True)
            for name in files:
                check_plain(Path(where, name))

    def check_record(self) -> None:
        """The same of what is read to know what the sweep is.

        Raises:
            RequestError: As for ``check_links``.
        """
        check_plain(self.path, folder=True)
        check_plain(self.header)
        check_plain(self.journal)

    def pack(self, name: str) -> Path:
        """The checkpoints of a pack."""
        return self.path / "packs" / name

    def kept(self, folder: Path) -> None:
        """A checkpoint, a model or the state of an ended run was written in the folder: here it is where it belongs."""

    def let_go(self, pack: str) -> None:
        """Remove the checkpoints of a pack."""
        shutil.rmtree(self.pack(pack), ignore_errors=True)

    def trial(self, name: str) -> Path:
        """Best weights and scores of a trial."""
        return self.trials / name

    def error(self, name: str) -> Path:
        """The traceback of a trial that failed."""
        return self.path / "failures" / name / "error.txt"


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
        check_plain(self.sweeps, folder=True)
        try:
            if make:
                make_folder(self.sweeps)
            there = next(folder for folder in (self.sweeps, *self.sweeps.parents) if folder.exists())
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"\0" * 4096)
        except OSError as error:
            mend = "set OPLSTM_HOME to a folder that you can write"
            raise RequestError(f"cannot write to {self.path}: {error.strerror or message(error)}; {mend}") from error
        free, needed = shutil.disk_usage(there).free, max(needed_bytes, MINIMUM_FREE_BYTES)
        if free < needed:
            raise RequestError(
                f"{self.path} has {free >> 20} MiB free and this needs about {needed >> 20} MiB; "
                "free some space or set OPLSTM_HOME to another disk"
            )

    def sweep_folder(self, name: str) -> SweepFolder:
        """The folder that a sweep of this name has or would have.

        Raises:
            RequestError: The name cannot be a folder's.
        """
        if not SWEEP_NAME.fullmatch(name):
            raise RequestError(
                f"name {name!r} must be letters, digits, '.', '_' or '-', start with a letter or digit "
                "and have at most 80 characters"
            )
        return SweepFolder(self.sweeps / name)

    def new_sweep(self, name: str) -> SweepFolder:
        """The folder for a sweep that does not exist yet.

        Raises:
            RequestError: The name is taken or cannot be a folder's.
        """
        folder = self.sweep_folder(name)
        if os.path.lexists(folder.path):
            raise RequestError(f"name {name!r} is taken ({folder.path}); use resume, or another --name")
        return folder

    def free_name(self, stem: str) -> str:
        """``stem``, or ``stem-2``, ``stem-3`` ... if it is taken."""
        name, count = stem, 1
        while os.path.lexists(self.sweeps / name):
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
        check_plain(self.sweeps, folder=True)
        folder.check_record()
        return folder

    def all_sweeps(self) -> list[SweepFolder]:
        """Every sweep, oldest first, whatever state its files are in.

        Raises:
            RequestError: The folder of sweeps is a link.
        """
        check_plain(self.sweeps, folder=True)
        paths = (path.parent for path in self.sweeps.glob("*/sweep.json"))
        found = [SweepFolder(path) for path in paths if SWEEP_NAME.fullmatch(path.name)]
        return sorted(found, key=lambda folder: folder.header.lstat().st_mtime)


def check_plain(path: Path, *, folder: bool = False) -> None:
    """See that a path is a plain file, or a folder, if it is there: no symbolic link, pipe or device.

    Raises:
        RequestError: It is something else.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode):
        raise RequestError(f"{path} is a symbolic link, and none is followed among results: put there what it means")
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise RequestError(f"{path} is no {'folder' if folder else 'plain file'}: remove it")
