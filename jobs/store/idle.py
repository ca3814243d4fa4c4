"""How much of the time the slots of a sweep had no pack, from when its events were written."""

from dataclasses import dataclass, field
from pathlib import Path

from jobs.store.events import (
    Ended,
    Event,
    Joined,
    Packed,
    Rerun,
    Resumed,
    Sized,
    Split,
    Started,
    Validated,
    read_events,
)


@dataclass
class _Session:
    """The sweep from its start, or a resume, to its stop, a kill or its end.

    Attributes:
        began: When each pack began; its process died if it began again.
        told: When something was last told of it.
        periods: In which packs were trained.
    """

    began: dict[str, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)
    periods: list[tuple[float, float]] = field(default_factory=list)

    def start(self, pack: str, time: float) -> None:
        self._end(pack)
        self.began[pack] = self.told[pack] = time

    def tell(self, pack: str, time: float) -> None:
        if pack in self.told:
            self.told[pack] = time

    def _end(self, pack: str) -> None:
        if pack in self.began:
            self.periods.append((self.began.pop(pack), self.told.pop(pack)))

    def close(self) -> None:
        for pack in list(self.began):
            self._end(pack)

    @property
    def seconds(self) -> float:
        """From the first beginning of a pack to the last that was told of one."""
        return max(end for _, end in self.periods) - min(begin for begin, _ in self.periods) if self.periods else 0.0

    @property
    def at_once(self) -> int:
        """The most packs at any time."""
        return max((sum(begin <= at < end for begin, end in self.periods) for at, _ in self.periods), default=0)


def idle_share(journal: Path, slots: int | None = None) -> float | None:
    """The share of the time of its slots in which a sweep had no pack in them.

    A pack is trained from when a process has begun it to the last point or end of one of its runs. What comes before
    the first pack begins (Ray's start, the first measurement of a pack size) and the time between a stop and a resume
    count for nothing; measuring and starting between two packs counts as idle.

    Args:
        journal: Of the sweep.
        slots: How many packs could be trained at once; None for the most that ever were.

    Returns:
        The share; None where no pack has been trained for any time.

    Raises:
        RequestError: The file is no journal, or of another version.
        WorkError: It is damaged.
    """
    sessions, packs = [_Session()], dict[str, str]()
    for read in read_events(journal):
        _take_in(read.event, read.time, sessions=sessions, packs=packs)
    for session in sessions:
        session.close()
    slots = slots or max(session.at_once for session in sessions)
    available = slots * sum(session.seconds for session in sessions)
    busy = sum(end - begin for session in sessions for begin, end in session.periods)
    return 1 - busy / available if available else None


def _take_in(event: Event, time: float, *, sessions: list[_Session], packs: dict[str, str]) -> None:
    match event:
        case Packed() | Sized() | Joined():
            packs.update(dict.fromkeys(event.trials, event.pack))
        case Split() | Rerun():
            packs.update(dict.fromkeys(event.trials, event.into))
        case Started():
            sessions[-1].start(event.pack, time)
        case Validated() | Ended():
            sessions[-1].tell(packs.get(event.trial, ""), time)
        case Resumed():
            sessions.append(_Session())
        case _:
            pass
