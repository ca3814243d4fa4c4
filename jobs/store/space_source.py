"""A user's own search space: where its code lies and what it is, so that a sweep's folder cannot bring code along."""

import hashlib
from pathlib import Path

from pydantic.dataclasses import dataclass

from oplstm.errors import RequestError
from search_spaces.own import is_own, source_of


@dataclass(frozen=True)
class SpaceSource:
    """The module of a user's own space when its sweep was made.

    Attributes:
        path: Absolute, outside of every home.
        sha256: Of the file.
    """

    path: str
    sha256: str

    @classmethod
    def of(cls, space: str | None) -> "SpaceSource | None":
        """That of a space, of which nothing is run; None for one that ships.

        Raises:
            RequestError: It has no file, or the file lies among results.
        """
        if space is None or not is_own(space):
            return None
        path = source_of(space)
        if path is None or not path.is_file():
            raise RequestError(f"space {space!r}: no file of that module is found from {Path.cwd()}")
        if (home := home_around(path)) is not None:
            raise RequestError(
                f"space {space!r} is {path}, which lies in the results folder {home}: results are data, and no code of "
                "theirs is run; keep your spaces elsewhere"
            )
        return cls(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


def check_source(space: str | None, recorded: SpaceSource | None, *, name: str) -> None:
    """See that a space is the one with which its sweep was made, before any of it runs.

    Raises:
        RequestError: It is another, or the sweep did not record it.
    """
    found = SpaceSource.of(space)
    if found is None or found == recorded:
        return
    if recorded is None:
        problem = f"{name} does not say which file its space {space!r} was; here it is {found.path}"
    elif found.path != recorded.path:
        problem = f"{name} was made with {recorded.path}, and here its space {space!r} is {found.path}"
    else:
        problem = f"{found.path} was changed since {name} was made with it"
    raise RequestError(f"{problem}; if that is what you want: oplstm resume {name} --trust")


def home_around(path: Path) -> Path | None:
    """The folder of results that ``path`` lies in, if it lies in one: a sweep's, or one that holds sweeps."""
    for folder in path.parents:
        if (folder / "sweep.json").exists() or next((folder / "sweeps").glob("*/sweep.json"), None) is not None:
            return folder
    return None
