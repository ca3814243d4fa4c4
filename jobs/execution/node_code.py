"""What oplstm a machine has. Sent to each node of a cluster as it stands here, so it needs nothing but Python there."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import subprocess
from pathlib import Path

PACKAGES = ("oplstm", "search_spaces", "tracking", "jobs")
BESIDE = ("torch", "numpy")
"""Whose versions the numbers depend on."""


def code_here() -> tuple[dict[str, str], dict[str, str]]:
    """Versions (``commit`` is empty where git knows none), and a digest of each source file by its path."""
    versions, files = {}, {}
    for name in ("oplstm", *BESIDE):
        versions[name] = "not installed"
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name).partition("+")[0]  # +cpu, +cu126: builds of one version
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        for place in (found.submodule_search_locations or ()) if found else ():
            for path in Path(place).rglob("*.py"):
                name = f"{package}/{path.relative_to(place).as_posix()}"
                files[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    versions["commit"] = _commit(importlib.util.find_spec("jobs"))
    return versions, files


def _commit(jobs: importlib.machinery.ModuleSpec | None) -> str:
    """Of the repository that tracks the package; an installed one may lie in somebody else's."""
    if jobs is None or jobs.origin is None:
        return ""
    folder, file = Path(jobs.origin).parent, Path(jobs.origin).name
    said = ""
    for arguments in (("ls-files", "--error-unmatch", file), ("rev-parse", "--short", "HEAD")):
        command = ["git", "-C", str(folder), *arguments]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            return ""
    return said
