"""A listener that remembers what a pack reports, and prunes, stops and joins where it is told to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from oplstm.training.reports import Point, RunEnd
from oplstm.training.run import RunConfig


@dataclass
class Recorder:
    """Prunes and stops where it is told to.

    Attributes:
        prune: Names of runs, by the update at which they end.
        stop_at: Update from which on the pack is asked to stop.
        join: Names and configurations of runs, by the update at which they come in.
        asked: At which updates it was asked who joins, and how many could.
        expired: Names of runs whose hours were over, by update.
        points: All that were reported.
        ends: By name.
        update: That the pack has reached.
    """

    prune: dict[int, set[str]] = field(default_factory=dict)
    stop_at: int | None = None
    join: dict[int, list[tuple[str, RunConfig]]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    expired: dict[int, Sequence[str]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    ends: dict[str, RunEnd] = field(default_factory=dict)
    update: int = 0

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Remember points, and say who is pruned."""
        self.points += points
        return sorted(self.prune.get(points[0].update, ()))

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Remember ends."""
        self.ends |= {end.run: end for end in ends}

    def on_kept(self, folder: Path) -> None:
        """It stays where it was written."""

    def on_expired(self, update: int, runs: Sequence[str]) -> None:
        """Remember whose hours were over."""
        assert not set(runs) & set(self.ends), "it was told after it took effect"
        self.expired[update] = runs

    def joins(self, update: int, room: int) -> Sequence[tuple[str, RunConfig]]:
        """Who comes in."""
        self.asked.append((update, room))
        return self.join.get(update, [])

    def settle(self) -> None:
        """Nothing is written."""

    def on_progress(self, update: int, runs: int) -> None:
        """Remember where the pack is."""
        self.update = update

    def should_stop(self) -> bool:
        """Whether the pack is to stop."""
        return self.stop_at is not None and self.update >= self.stop_at

    def metrics(self) -> dict[tuple[str, int], dict[str, float]]:
        """All points but the seconds, which are not reproducible."""
        return {
            (p.run, p.update): {k: v for k, v in p.metrics.items() if k != "train/tasks_per_second"}
            for p in self.points
        }
