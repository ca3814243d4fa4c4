"""What a pack reports while it trains, and to whom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from oplstm.training.run import RunConfig

EndState = Literal["complete", "pruned", "diverged", "stopped"]


@dataclass(frozen=True)
class Point:
    """One meta-validation point of one run.

    Attributes:
        run: The run's name.
        update: Meta-updates done.
        milestone: The multiple of ``validate_every`` that this point stands for, in the budget's unit.
        metrics: Named as in docs/metrics.md.
    """

    run: str
    update: int
    milestone: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes:
        run: The run's name.
        state: ``complete``, ``pruned``, ``diverged`` or ``stopped`` (to be resumed).
        update: Meta-updates done.
        best_update: Update of the best weights.
        metrics: Best validation, and test scores if it was tested.
        note: One line for a person: why it diverged, or that its time was up.
        budget_exhausted: Whether the wall-clock budget ended it.
    """

    run: str
    state: EndState
    update: int
    best_update: int
    metrics: dict[str, float] = field(default_factory=dict)
    note: str = ""
    budget_exhausted: bool = False


class Listener(Protocol):
    """Receives what a pack reports. Training waits for it at meta-validation points and ends only."""

    def on_points(self, points: Sequence[Point]) -> Sequence[str]:
        """Record the points; returns the names of the runs to prune."""
        ...

    def on_ends(self, ends: Sequence[RunEnd]) -> None:
        """Record that runs have ended. Their files are complete."""
        ...

    def on_kept(self, folder: Path) -> None:
        """A checkpoint of the pack, or the model or last state of a run, was written and is complete in ``folder``."""
        ...

    def on_expired(self, update: int, runs: Sequence[str]) -> None:
        """Record that the hours of these runs are over at the pack's ``update``, before they end there."""
        ...

    def joins(self, update: int, room: int) -> Sequence[tuple[str, RunConfig]]:
        """Runs that come into the pack at its ``update``, by name, at most ``room``. The same when asked again."""
        ...

    def settle(self) -> None:
        """Wait until all that was reported is safe from a power cut: no checkpoint may know more than the record."""
        ...

    def on_progress(self, update: int, runs: int) -> None:
        """Called after every meta-update."""
        ...

    def should_stop(self) -> bool:
        """Whether to checkpoint and stop at this update."""
        ...
