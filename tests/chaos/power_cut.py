"""Power cuts: a disk that forgets what nobody synced, as POSIX allows it to.

Safe is what `recorder/sitecustomize.py` saw synced: of a file so many bytes, of a folder its names. All else may be
lost, each for itself: a file's end may be missing, or torn, or zeros; a new or renamed entry may be as it was before.
What was removed stays removed, the worse of the two cases. Bytes that were written over in place are not looked after:
the product does so nowhere but in the header of an old journal.
"""

import json
import os
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.recorder.sitecustomize import names_in

LOST: Final = 0.7
"""How probable it is of each thing that is not synced that it is lost whole."""


@dataclass
class Losses:
    """What a power cut took."""

    entries: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bytes: int = 0

    def __str__(self) -> str:
        lost, cut = ", ".join(self.entries) or "no entry", ", ".join(self.files) or "no file"
        return f"lost: {lost}; cut: {cut}, by {self.bytes} bytes"


class Disk:
    """What is safe of a folder.

    Args:
        root: The folder; it exists and counts as safe.
        record: Where it is written down; on the same file system.
    """

    def __init__(self, root: Path, record: Path) -> None:
        self.root, self._record = root, record
        (record / "kept").mkdir(parents=True)
        self.all_is_safe()

    @property
    def environment(self) -> Mapping[str, str]:
        """Of processes that are to be recorded; their PYTHONPATH must have the recorder's folder too."""
        return {"OPLSTM_CHAOS_DISK": str(self._record), "OPLSTM_CHAOS_ROOT": str(self.root)}

    @property
    def _log(self) -> Path:
        return self._record / "synced.jsonl"

    def all_is_safe(self) -> None:
        """Begin anew with everything that is there now."""
        lines: list[dict[str, object]] = []
        for where, _, files in os.walk(self.root):
            lines.append({"folder": os.stat(where).st_ino, "names": names_in(where)})
            lines += (
                {"file": found.st_ino, "size": found.st_size}
                for found in (os.lstat(Path(where, name)) for name in files)
            )
        self._log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        shutil.rmtree(self._record / "kept")
        (self._record / "kept").mkdir()

    def cut(self, seed: int) -> Losses:
        """Take from the folder what is not safe. No process may run that has it in use."""
        sizes: dict[int, int] = {}
        names: dict[int, dict[str, int]] = {}
        for line in self._log.read_text().splitlines():
            entry = json.loads(line)
            if "folder" in entry:
                names[entry["folder"]] = entry["names"]
            elif "file" in entry:
                sizes[entry["file"]] = entry["size"]
            else:
                sizes.pop(entry["gone"], None)
                names.pop(entry["gone"], None)
        losses = Losses()
        _Cut(sizes, names, self._record / "kept", random.Random(seed), losses).folder(self.root)
        self.all_is_safe()
        return losses


@dataclass
class _Cut:
    sizes: Mapping[int, int]
    names: Mapping[int, Mapping[str, int]]
    kept: Path
    dice: random.Random
    losses: Losses

    def folder(self, path: Path) -> None:
        safe = self.names.get(path.stat().st_ino, {})
        found = names_in(path)
        for name, inode in sorted(found.items()):
            entry = path / name
            if safe.get(name) != inode and self.dice.random() < LOST:
                self._forget(entry, inode, safe)
            elif entry.is_dir():
                self.folder(entry)
            else:
                self._file(entry, inode)

    def _forget(self, entry: Path, inode: int, safe: Mapping[str, int]) -> None:
        """A name that is not safe: what it was before, if it was, is back."""
        self.losses.entries.append(entry.name)
        earlier = next((name for name, known in safe.items() if known == inode), None)
        if earlier is not None and not os.path.lexists(entry.with_name(earlier)):
            entry.rename(entry.with_name(earlier))
        elif entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
        replaced = self.kept / str(safe.get(entry.name))
        if replaced.exists():
            os.link(replaced, entry)

    def _file(self, path: Path, inode: int) -> None:
        size, safe = path.stat().st_size, self.sizes.get(inode, 0)
        if size <= safe:
            return
        torn = self.dice.randint(safe, size)
        end = safe if self.dice.random() < LOST else torn
        zeros = self.dice.random() < 0.3
        if end == size:
            return
        self.losses.files.append(path.name)
        self.losses.bytes += size - end
        os.truncate(path, end)
        if zeros:  # the file system had made room for what never came
            os.truncate(path, size)
