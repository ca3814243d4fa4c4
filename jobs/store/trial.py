"""Trials and packs of a sweep, as its events have left them."""

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.store.events import Ended, Params, RunData
from jobs.store.live import Added
from jobs.store.memory import Memory
from jobs.store.names import trial_name
from jobs.store.states import TrialState
from oplstm.episodes.measure import Measure

if TYPE_CHECKING:
    from oplstm.training.run import RunConfig


@dataclass
class Trial:
    """One configuration and what became of it.

    Attributes:
        number: Optuna's trial number.
        params: The point of the space.
        run: The run that it means; empty where the space made none of the point.
        measure: What trials are compared by.
        replicate: 0, or that this is one more seed of the trial with this number, and which (from 1).
        state: Where it is.
        pack: Where it is trained.
        joined: The pack's update at which it came in; None for before the first.
        points: Its meta-validation points: metrics by name, and ``update``.
        updates: Those of its points.
        milestone: Of the last one.
        pruned_at: Updates whose points were answered with prune.
        best_update: Update of the best weights.
        ended_at: Its update when it ended or stopped last.
        note: One line for a person.
        added: By whose request it was asked for, if a user's.
        taken_out: Whether a user wants it to end as pruned.
        memory: The most that the process of its pack took, of all in which it was trained up to a stop or an end.
    """

    number: int
    params: Params
    run: RunData
    measure: Measure
    replicate: int = 0
    state: TrialState = TrialState.WAITING
    pack: str | None = None
    joined: int | None = None
    points: list[dict[str, float]] = field(default_factory=list)
    updates: set[int] = field(default_factory=set)
    milestone: int = 0
    pruned_at: set[int] = field(default_factory=set)
    best_update: int = 0
    ended_at: int = 0
    note: str = ""
    added: Added | None = None
    taken_out: bool = False
    memory: Memory | None = None

    @property
    def name(self) -> str:
        """Name of the trial's run and folder."""
        return trial_name(self.number, self.replicate)

    @property
    def is_warm(self) -> bool:
        """Whether it began with the weights of another: what became of it is no result of its configuration."""
        return self.added is not None and self.added.from_update is not None

    @property
    def began_with(self) -> str:
        """Whose weights, if it is warm, in words."""
        return f"the weights of {self.added.like} at update {self.added.from_update}" if self.added else ""

    @cached_property
    def config(self) -> "RunConfig":
        """The run, built."""
        from oplstm.training.run import RunConfig  # imports torch, which a sweep's status is read without

        return RunConfig.from_dict(self.run)

    @cached_property
    def signature(self) -> Hashable:
        """What it must have in common with others to share a pack: replicates are trained among themselves."""
        return self.replicate > 0, self.config.signature

    def end(self, event: Ended) -> None:
        """It has ended or stopped."""
        self.note, self.best_update, self.ended_at = event.note, event.best_update, event.update
        self.memory = Memory.of(event.metrics) or self.memory

    def lengthen(self, budget: int) -> None:
        """It goes on to a longer budget, in its own unit."""
        before = self.run["budget"]
        self.run = {**self.run, "budget": {**before, "tasks" if before["tasks"] else "updates": budget}}
        for known in ("config", "signature"):
            self.__dict__.pop(known, None)

    @property
    def best(self) -> float | None:
        """Best validation value so far."""
        return next((point["val/best"] for point in reversed(self.points) if "val/best" in point), None)

    @property
    def hours(self) -> float:
        """Of training up to its last point, validation left out, by the clock of the pack that it shared."""
        seconds, seen = 0.0, 0.0
        for point in self.points:
            if rate := point.get("train/tasks_per_second"):
                seconds += (point.get("tasks_seen", seen) - seen) / rate
            seen = point.get("tasks_seen", seen)
        return seconds / 3600

    @property
    def cost(self) -> float:
        """``best`` such that less is better; inf before the first point."""
        if self.best is None or math.isnan(self.best):
            return math.inf
        return self.measure.cost(self.best)

    @property
    def total(self) -> int:
        """The budget in its own unit."""
        budget = self.run["budget"]
        return int(budget["tasks"] or budget["updates"])

    @property
    def fraction(self) -> float:
        """How much of its work is done."""
        return 1.0 if self.state.ended else self.milestone / self.total


@dataclass
class PackState:
    """A pack and what was decided about it.

    Attributes:
        name: Of the pack and the folder of its checkpoints.
        trials: All that ever trained in it, in the order in which they came.
        capacity: Runs that it can hold, once that was measured.
        joins: Names of the trials that came in, by the pack's update; empty where none was to.
        expired: Names of the trials whose hours were over, by the pack's update.
        reached: The pack's last update of which anything was told.
        device: What it trains on, as tags.
        origin: Name of the pack from whose last checkpoint it goes on, if its trials come from another.
        parts: Packs that some of its trials have left it for.
        extended: Whether its trials had completed, and go on from there.
    """

    name: str
    trials: list[Trial] = field(default_factory=list)
    capacity: int | None = None
    joins: dict[int, tuple[str, ...]] = field(default_factory=dict)
    expired: dict[int, tuple[str, ...]] = field(default_factory=dict)
    reached: int = 0
    device: dict[str, str] = field(default_factory=dict)
    origin: str | None = None
    parts: list["PackState"] = field(default_factory=list)
    extended: bool = False
    _unended: dict[str, Trial] = field(default_factory=dict, repr=False)

    def add(self, trial: Trial) -> None:
        """A trial comes into it."""
        self.trials.append(trial)
        self._unended[trial.name] = trial

    def remove(self, trial: Trial) -> None:
        """A trial leaves it for another."""
        self.trials.remove(trial)
        self._unended.pop(trial.name, None)

    def part(self, name: str) -> "PackState":
        """A new pack for some of its trials, which leave it.

        Of both, those that are not in the last checkpoint begin when the others are through, and do not join again.
        """
        self.joins.clear()
        new = PackState(name, capacity=self.capacity, reached=self.reached, origin=self.name)
        new.expired.update(self.expired)
        self.parts.append(new)
        return new

    def go_on(self, name: str, trials: Sequence[Trial], *, budget: int) -> "PackState":
        """A new pack for some of its trials, which have completed and go on to a longer budget."""
        new, last = PackState(name, capacity=self.capacity, extended=True), max(trial.ended_at for trial in trials)
        for trial in trials:
            self.remove(trial)
            new.add(trial)
            trial.lengthen(budget)
            trial.pack, trial.joined = name, last - trial.ended_at
        return new

    def end(self, trial: Trial) -> None:
        """One of its trials has ended."""
        self._unended.pop(trial.name, None)

    def reach(self, update: int) -> None:
        """Something was told of this update of the pack."""
        self.reached = max(self.reached, update)

    def unended(self) -> list[Trial]:
        """Its trials that are still to be trained."""
        return list(self._unended.values())

    @property
    def initial(self) -> list[Trial]:
        """The trials that are in it from the beginning."""
        return [trial for trial in self.trials if trial.joined is None]


def names_of(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Their names."""
    return tuple(trial.name for trial in trials)
