"""Damage to files, and folders that were altered as if oplstm had written them so."""

import json
from pathlib import Path

from safetensors.torch import load_file

from oplstm.training.sealed import write_sealed


def flip(path: Path, byte: int, bit: int) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def truncate(path: Path, length: int) -> None:
    """Only its beginning is left."""
    path.write_bytes(path.read_bytes()[:length])


def reseal(folder: Path, manifest: str = "run.json") -> None:
    """Make the digests of a folder those of its files as they are now."""
    data = json.loads((folder / manifest).read_text())
    tensors = {path.name: load_file(path) for path in folder.glob("*.safetensors")}
    kept = {key: value for key, value in data.items() if key not in ("version", "sha256", "files")}
    write_sealed(folder, manifest, data=kept, tensors=tensors)
