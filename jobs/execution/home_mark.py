"""What tells the home of a sweep from all others, exact copies of it among them."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jobs.store.home import SweepFolder
from oplstm.durable import draft_beside, write_file


@dataclass(frozen=True)
class Mark:
    """A file in a sweep's folder, which was made just now.

    Attributes:
        path: Of the file.
        word: That it holds.
    """

    path: Path
    word: str

    def is_seen(self) -> bool:
        """Whether this machine sees that folder: at this path, and not another or a copy of it."""
        try:
            return self.path.read_bytes() == self.word.encode()
        except OSError:
            return False


@contextlib.contextmanager
def marked(folder: SweepFolder) -> Iterator[Mark]:
    """A mark in a sweep's folder, in here; one that a killed process left is garbage as its other drafts are.

    Where it cannot be written, say on a full disk, nobody sees it; those who write something else there say why.
    """
    mark = Mark(draft_beside(folder.path / "seen-by-nodes"), secrets.token_hex(16))
    with contextlib.suppress(OSError):
        write_file(mark.path, mark.word)
    try:
        yield mark
    finally:
        with contextlib.suppress(OSError):
            mark.path.unlink(missing_ok=True)
