"""``oplstm export``: a sweep's trials and points as tables, and its study for Optuna and its dashboard."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from jobs.operations.exported_study import write_journal, write_sqlite
from jobs.operations.exported_tables import Tables, write_csv, write_parquet
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from oplstm.durable import draft_beside, new_folder, sync
from oplstm.errors import RequestError, WorkError, shown

STUDY: Final = "optuna.log"
_OF_TABLES: Final[Mapping[str, Callable[..., None]]] = {".csv": write_csv, ".parquet": write_parquet}
_OF_STUDIES: Final[Mapping[str, Callable[..., None]]] = {
    ".log": write_journal, ".db": write_sqlite, ".sqlite": write_sqlite, ".sqlite3": write_sqlite,
}  # fmt: skip
FILES: Final = (*(f"{table}{suffix}" for table in ("trials", "points") for suffix in _OF_TABLES), STUDY)
"""Of an exported folder."""


def default_name(sweep: str) -> str:
    """Of the folder that a sweep is exported to."""
    return f"{sweep}-export"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The folder, or the file.
        files: Names of those in the folder; none for a file.
        trials: How many, replicates included.
        points: How many validation points.
    """

    path: str
    files: tuple[str, ...]
    trials: int
    points: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def export(folder: SweepFolder, path: Path, *, points: bool = False, overwrite: bool = False) -> Exported:
    """Write what is known of a sweep to a folder, or one table or study to a file, in one step.

    Args:
        folder: Of the sweep, which may be running: then what its journal says now.
        path: A folder; or a file with the suffix of a table (.csv, .parquet) or of a study of Optuna's (.log for a
            journal, .db for SQLite).
        points: Whether a file with one table has the points and not the trials.
        overwrite: Whether to take the place of an earlier export.

    Raises:
        RequestError: There is something at ``path`` that is not to be replaced, or nothing can be written there.
        WorkError: The journal, or the study, is damaged.
    """
    is_file = path.suffix in {**_OF_TABLES, **_OF_STUDIES}
    if path.suffix and not is_file and path.name != default_name(folder.name):
        known = ", ".join([*_OF_TABLES, *_OF_STUDIES])
        raise RequestError(f"{path}: a file is written as {known}, got {shown(path.suffix)}; or name a folder")
    if points and path.suffix not in _OF_TABLES:
        raise RequestError(f"--points is for one table, as .csv or .parquet; {path} has points anyway")
    _check(path, is_file=is_file, overwrite=overwrite)
    header = Header.read(folder)
    tables = Tables.of(folder, header)
    made = Exported(str(path), () if is_file else FILES, len(tables.trials), len(tables.points))
    try:
        if is_file:
            _write(path, folder, header=header, tables=tables, points=points)
        else:
            with new_folder(path, replace=overwrite) as draft:
                for suffix, write in _OF_TABLES.items():
                    write(tables.trials, draft / f"trials{suffix}")
                    write(tables.points, draft / f"points{suffix}")
                write_journal(folder, header, draft / STUDY)
    except OSError as error:
        raise WorkError(f"cannot write {path}: {error.strerror or error}") from error
    return made


def _write(path: Path, folder: SweepFolder, *, header: Header, tables: Tables, points: bool) -> None:
    draft = draft_beside(path)
    try:
        if path.suffix in _OF_TABLES:
            _OF_TABLES[path.suffix](tables.points if points else tables.trials, draft)
        else:
            _OF_STUDIES[path.suffix](folder, header, draft)
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def _check(path: Path, *, is_file: bool, overwrite: bool) -> None:
    """See that something can be written there.

    Raises:
        RequestError: It cannot, or should not.
    """
    if not path.parent.is_dir():
        raise RequestError(f"{path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RequestError(f"{path}: its folder cannot be written")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise RequestError(f"{path} exists; name another place with --to, or say --overwrite")
    if path.is_symlink() or path.is_dir() == is_file:
        raise RequestError(f"{path} is no {'file' if is_file else 'folder'}: name another place with --to")
    if path.is_dir() and (other := next((one.name for one in path.iterdir() if one.name not in FILES), None)):
        raise RequestError(f"{path} holds {shown(other)}, which is of no export: name another place with --to")
