"""Sweeps and the final runs that were made of them, which know each other by id and may have been renamed since."""

from collections.abc import Iterator
from dataclasses import replace

from jobs.operations.running import is_running
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.promoted import Promoted
from jobs.store.states import SweepKind
from oplstm.errors import RequestError


def headers(home: Home) -> Iterator[tuple[SweepFolder, Header]]:
    """Every sweep whose header can be read, oldest first."""
    for folder in home.all_sweeps():
        try:
            yield folder, Header.read(folder)
        except (RequestError, OSError):  # another sweep's damage is not this one's
            continue


def finals_of(home: Home, header: Header) -> list[tuple[SweepFolder, Header]]:
    """The final runs of a sweep, oldest first."""
    return [(folder, one) for folder, one in headers(home) if one.of == header.id and one.kind is SweepKind.FINAL]


def sweep_of(home: Home, header: Header) -> SweepFolder | None:
    """The sweep of a final run; None where it is in this home no more, or this is no final run."""
    found = (folder for folder, one in headers(home) if one.id == header.of)
    return None if header.of is None else next(found, None)


def require_idle_finals(home: Home, header: Header) -> None:
    """See that no final run of a sweep runs: whoever promotes comes back to the sweep when that is through.

    Raises:
        RequestError: One does.
    """
    for folder, _ in finals_of(home, header):
        if is_running(folder):
            raise RequestError(
                f"{folder.name}, the final run of {header.name}, is running; oplstm stop {folder.name} stops it"
            )


def as_named_now(home: Home, header: Header, made: Promoted | None) -> Promoted | None:
    """A promotion with the name that its final run has by now.

    Args:
        home: Where both are.
        header: Of the sweep.
        made: Its promotion, if there is one.
    """
    if made is None or made.final is None or home.sweep_folder(made.final).header.is_file():
        return made
    found = (one.name for _, one in finals_of(home, header) if made.final in one.earlier_names)
    return replace(made, final=next(found, made.final))
