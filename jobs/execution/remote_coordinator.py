"""The coordinator, as packs in other processes call it."""

from collections.abc import Callable, Sequence
from typing import Any

from jobs.sweep.messages import Assignment, NamedRun, Outgrown, StartedPack
from oplstm.training.reports import Point, RunEnd

CALLS = (
    "sized", "started", "joins", "expired", "on_points", "on_ends", "settle", "tried", "give_up", "wait_before",
    "out_of_memory", "next_half",
)  # fmt: skip
"""What a pack may ask for."""


class RemoteCoordinator:
    """The coordinator's methods (see ``CoordinatorCalls``), as calls that wait for the answer.

    Args:
        call: Takes the name of a method and its arguments to the coordinator, and returns its answer.
    """

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def sized(self, name: str, capacity: int) -> None:
        """How many runs the pack can hold."""
        self._call("sized", name, capacity)

    def started(self, name: str, device: dict[str, str]) -> StartedPack | None:
        """The pack's training begins."""
        started: StartedPack | None = self._call("started", name, device)
        return started

    def joins(self, name: str, update: int, room: int) -> Sequence[NamedRun]:
        """Who comes into the pack."""
        joined: Sequence[NamedRun] = self._call("joins", name, update, room)
        return joined

    def expired(self, name: str, update: int, trials: Sequence[str]) -> None:
        """Whose hours are over."""
        self._call("expired", name, update, trials)

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Points, answered with the runs to prune."""
        prune: Sequence[str] = self._call("on_points", points)
        return prune

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Ends."""
        self._call("on_ends", ends)

    def settle(self) -> None:
        """All that was written is on the disk."""
        self._call("settle")

    def tried(self, name: str, error: str) -> None:
        """A try has raised an error."""
        self._call("tried", name, error)

    def wait_before(self, pack: str) -> float:
        """Seconds before this try."""
        seconds: float = self._call("wait_before", pack)
        return seconds

    def out_of_memory(self, name: str) -> Outgrown | None:
        """The pack is halved, or has failed."""
        outgrown: Outgrown | None = self._call("out_of_memory", name)
        return outgrown

    def next_half(self, name: str) -> Assignment | None:
        """The next pack of this one's process."""
        following: Assignment | None = self._call("next_half", name)
        return following

    def give_up(self, reason: str) -> None:
        """The work cannot go on."""
        self._call("give_up", reason)


def reason_of(error: BaseException) -> str:
    """What went wrong where it did, as one line without Ray's traceback; the error's type where it says nothing."""
    cause = getattr(error, "cause", None) or error
    return next(reversed(str(cause).strip().splitlines()), type(cause).__name__)
