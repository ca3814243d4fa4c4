"""What source code is known by: a digest of its files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def source_digest(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 of the paths and the bytes of files, whose paths are relative to ``folder``."""
    digest = hashlib.sha256()
    for file in files:
        content = (folder / file).read_bytes()
        digest.update(f"{file.as_posix()}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()
