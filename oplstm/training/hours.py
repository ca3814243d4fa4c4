"""The wall-clock budget of the runs of a pack: whose hours are over at which of the pack's updates.

Who leaves a pack shapes the rounding of those who stay. So a clock decides once: what it decides is told before it
takes effect, and whoever trains the pack again from an older checkpoint repeats it, whatever the clock says then.
"""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expiries:
    """What earlier processes of a pack have decided.

    Attributes:
        at: Names of the runs whose hours were over, by the pack's update.
        until: The pack's last update of which anything was told: up to there a clock has no more to say.
    """

    at: Mapping[int, Sequence[str]] = field(default_factory=dict)
    until: int = 0


class Hours:
    """How long the runs of a pack have trained, over all its processes.

    Args:
        limit: Hours of a run; None for no limit.
        known: What was decided before.
        elapsed: Seconds that earlier processes have trained.
        began: Those when each run came in, by its name.
    """

    def __init__(self, limit: float | None, *, known: Expiries, elapsed: float, began: Mapping[str, float]) -> None:
        self._limit, self._elapsed, self._began = limit, elapsed, dict(began)
        self._expired, self._until = dict(known.at), known.until
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the pack's first update, without the time between a process's end and the next one's beginning."""
        return self._elapsed + time.monotonic() - self._since

    def began(self, names: Iterable[str]) -> dict[str, float]:
        """When these runs came in, in seconds."""
        return {name: self._began[name] for name in names}

    def begin(self, names: Iterable[str]) -> None:
        """These runs come in."""
        self._began |= dict.fromkeys(names, self.seconds)

    def newly_over(self, update: int, names: Iterable[str]) -> list[str]:
        """Those of ``names`` whose hours are over by the clock at an update about which nothing was decided."""
        if self._limit is None or update <= self._until:
            return []
        latest = self.seconds - self._limit * 3600
        return [name for name in names if self._began[name] < latest]

    def expire(self, update: int, names: Sequence[str]) -> None:
        """It is decided, and told, that the hours of these runs are over at this update."""
        self._expired[update] = names

    def over(self, update: int) -> Collection[str]:
        """Names of the runs whose hours are over at this update."""
        return self._expired.get(update, ())
