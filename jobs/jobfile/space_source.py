"""A user's own search space: where its code lies and what it is, so that a sweep's folder cannot bring code along."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic.dataclasses import dataclass

from oplstm.errors import RequestError
from search_spaces.own import is_own, sources_of


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
        check_outside_homes(space)
        sources = sources_of(space)
        if sources is None or not sources.module.is_file():
            raise RequestError(f"space {space!r}: no file of that module is found from {Path.cwd()}")
        module = sources.module.resolve()
        return cls(str(module), hashlib.sha256(module.read_bytes()).hexdigest())


def check_outside_homes(space: str) -> None:
    """See that nothing of a folder of results is run where a user's own space is imported.

    Raises:
        RequestError: Its module, or a package around it, lies in one.
    """
    sources = sources_of(space)
    check_files_outside_homes("space", space, () if sources is None else (*sources.packages, sources.module))


def check_files_outside_homes(kind: str, name: str, files: Iterable[Path]) -> None:
    """See that none of the files that are about to be run lies in a folder of results.

    Args:
        kind: What the code is called, such as ``space``.
        name: As its user names it.
        files: Links in their paths as they are.

    Raises:
        RequestError: One does.
    """
    for file in files:
        for path in (file, file.resolve()):
            if (home := home_around(path)) is not None:
                raise RequestError(
                    f"{kind} {name!r} is {path}, which lies in the results folder {home}: results are data, and no "
                    f"code of theirs is run; keep your {kind}s elsewhere"
                )


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


def check_working_directory() -> None:
    """See that modules are not looked for among results: Ray's workers look where the verb was called, before all else.

    Raises:
        RequestError: The working directory lies in a folder of results.
    """
    if (home := home_around(Path.cwd() / "module")) is not None:
        raise RequestError(
            f"{Path.cwd()} lies in the results folder {home}, and modules are looked for where oplstm is called: "
            f"call it from elsewhere, with OPLSTM_HOME={home}"
        )


def home_around(path: Path) -> Path | None:
    """The folder of results that ``path`` lies in, if it lies in one: a sweep's, or one that holds sweeps."""
    for folder in path.parents:
        is_sweep = (folder / "sweep.json").exists() and (folder / "journal.jsonl").exists()
        if is_sweep or next((folder / "sweeps").glob("*/sweep.json"), None) is not None:
            return folder
    return None
