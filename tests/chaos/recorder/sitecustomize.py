"""What the harness needs inside of the processes: a record of what is synced, and sweeps with the same ids.

Python imports a module of this name when it starts; it does nothing unless $OPLSTM_CHAOS_DISK names a folder. There it
writes `synced.jsonl`: of each file that was synced the size that is safe, of each folder the names that are. A file
that is replaced is kept by a second name in `kept/`, for the old one comes back when the new name is lost.

The tasks on which a promotion picks hang on the id of its sweep, which is otherwise another each time.
"""

import json
import os
import shutil
import stat
import sys
import uuid
from pathlib import Path
from typing import Any


def record(disk: Path, root: str) -> None:
    """Record what is synced below ``root`` into ``disk``."""
    log = os.open(disk / "synced.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    fsync, replace, rename, unlink, rmdir = os.fsync, os.replace, os.rename, os.unlink, os.rmdir

    def is_inside(path: str) -> bool:
        return path.startswith(root + os.sep) or path == root

    def write(**what: Any) -> None:
        os.write(log, json.dumps(what).encode() + b"\n")

    def synced(fd: Any) -> None:
        number = fd if isinstance(fd, int) else fd.fileno()
        inside = is_inside(os.readlink(f"/proc/self/fd/{number}"))
        before = state_of(number) if inside else {}  # what is written meanwhile may not be synced
        fsync(fd)
        if inside:
            write(**before)

    def moving(move: Any) -> Any:
        def moved(source: Any, target: Any, **where: Any) -> None:
            if is_inside(os.path.abspath(target)) and os.path.isfile(target) and not where:
                found = os.stat(target)
                if not (disk / "kept" / str(found.st_ino)).exists():
                    os.link(target, disk / "kept" / str(found.st_ino))
            move(source, target, **where)

        return moved

    def removing(remove: Any) -> Any:
        def removed(path: Any, *, dir_fd: int | None = None) -> None:
            folder = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
            inside = is_inside(os.path.join(folder, os.fsdecode(path)))
            number = os.lstat(path, dir_fd=dir_fd).st_ino if inside else 0
            remove(path, dir_fd=dir_fd)
            if inside:  # a new file may get its number
                write(gone=number)

        return removed

    os.fsync, os.replace, os.rename = synced, moving(replace), moving(rename)
    os.unlink, os.rmdir = removing(unlink), removing(rmdir)
    os.remove = os.unlink


def state_of(fd: int) -> dict[str, Any]:
    """What a sync of this descriptor makes safe."""
    found = os.fstat(fd)
    if stat.S_ISDIR(found.st_mode):
        return {"folder": found.st_ino, "names": names_in(fd)}
    return {"file": found.st_ino, "size": found.st_size}


def names_in(folder: Any) -> dict[str, int]:
    """The names in a folder and the inodes that they stand for."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


def number_sweeps(sweeps: Path) -> None:
    """Give new sweeps ids that are the same in every home: by how many there are."""
    random_id = uuid.uuid4

    def uuid4() -> uuid.UUID:
        if sys._getframe(1).f_globals.get("__name__") != "jobs.operations.start":
            return random_id()
        count = sum(not path.name.startswith(".") for path in sweeps.glob("*")) if sweeps.is_dir() else 0
        return uuid.uuid5(uuid.NAMESPACE_OID, f"chaos/{count}")

    uuid.uuid4 = uuid4


if "OPLSTM_CHAOS_DISK" in os.environ:
    shutil.rmtree  # noqa: B018  # it looks at import time which functions it can use
    record(Path(os.environ["OPLSTM_CHAOS_DISK"]), os.environ["OPLSTM_CHAOS_ROOT"])
    number_sweeps(Path(os.environ["OPLSTM_CHAOS_ROOT"], "sweeps"))
