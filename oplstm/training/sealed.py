"""Folders of tensors with a manifest in which every file has a digest, so that damage is seen before it is believed.

The manifest is JSON. Its ``files`` are the SHA-256 of the others by name; its ``sha256`` is that of all its own bytes,
taken while zeros stood in its place. Folders of version 1 have no digests: of them, damage is seen where it makes a
file unreadable.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from oplstm.durable import new_folder
from oplstm.errors import WorkError

VERSION: Final = 2
WITHOUT_DIGESTS: Final = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_ZEROS: Final = "0" * 64


class Damaged(WorkError):
    """A file is not as it was written.

    Args:
        path: The file.
        problem: What is wrong with it, as the rest of a sentence.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} is damaged: {problem}")


@dataclass(frozen=True)
class Sealed:
    """A folder whose manifest was found to be sound.

    Attributes:
        manifest: Its path.
        data: What it says.
        digests: Of the other files, by name; None where it is of version 1.
    """

    manifest: Path
    data: dict[str, Any]
    digests: Mapping[str, str] | None

    def tensors(self, name: str) -> dict[str, Tensor]:
        """Those of a file of the folder.

        Raises:
            Damaged: The file is not the one that was written, or is missing.
        """
        path = self.manifest.with_name(name)
        with _readable(path):
            if self.digests is not None and self.digests.get(name) != _digest(path):
                raise Damaged(path, f"its SHA-256 is not the one in {self.manifest.name}")
        try:
            with _readable(path):
                return load_file(path)
        except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # of version 1
            raise Damaged(path, f"it holds no tensors: {error}") from error


def write_sealed(
    folder: Path, manifest: str, *, data: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Write a folder, which appears whole.

    Args:
        folder: Where, in place of what was there.
        manifest: Name of the file for ``data``.
        data: Plain data for JSON; ``version``, ``sha256`` and ``files`` are added.
        tensors: Of each other file, by its name.

    Raises:
        OSError, SafetensorError: The disk is full or not writable.
    """
    digests = {}
    with new_folder(folder) as draft:
        for name, named in tensors.items():
            save_file({key: value.detach().cpu().contiguous() for key, value in named.items()}, draft / name)
            digests[name] = _digest(draft / name)
        text = json.dumps({"version": VERSION, "sha256": _ZEROS, "files": digests, **data}, indent=1)
        own = hashlib.sha256(text.encode()).hexdigest()
        (draft / manifest).write_bytes(text.replace(_ZEROS, own, 1).encode())


def read_sealed(manifest: Path) -> Sealed:
    """What a manifest says.

    Raises:
        Damaged: It is not the one that was written, or is missing.
        WorkError: It is of a later version.
    """
    with _readable(manifest):
        content = manifest.read_bytes()
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Damaged(manifest, "it is not JSON") from error
    if not isinstance(data, dict):
        raise Damaged(manifest, "it is not a JSON object")
    version, own = data.get("version"), data.get("sha256")
    if own is not None or version == VERSION:  # of a later version too: one that is not as written is no later one
        _check_own(manifest, content, own)
    if not isinstance(version, int) or version < WITHOUT_DIGESTS:
        raise Damaged(manifest, "it has no format version")
    if version > VERSION:
        raise WorkError(f"{manifest} has format version {version}, this oplstm reads {WITHOUT_DIGESTS} to {VERSION}")
    return Sealed(manifest, data, data.get("files", {}) if version == VERSION else None)


def _check_own(manifest: Path, content: bytes, own: Any) -> None:
    """See that a manifest is as it was written: ``own`` is the digest in it."""
    if isinstance(own, str) and _DIGEST.fullmatch(own):
        with_zeros = content.replace(own.encode(), _ZEROS.encode(), 1)
        if hashlib.sha256(with_zeros).hexdigest() == own:
            return
    raise Damaged(manifest, "its SHA-256 is not the one in it")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """What keeps a file from being read is damage, but for permissions, which a person mends."""
    try:
        yield
    except PermissionError:
        raise
    except FileNotFoundError as error:
        raise Damaged(path, "it is missing") from error
    except OSError as error:
        raise Damaged(path, f"it cannot be read ({error.strerror or error})") from error
