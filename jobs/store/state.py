"""What has happened in a sweep, rebuilt record by record from its journal.

A trial is ``waiting`` (asked for), then ``running``, and ends as ``complete``, ``pruned``, ``diverged`` or ``failed``.
``stopped`` is not an end: resume makes it ``running`` again.
"""

import heapq
import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jobs.store.home import SweepFolder
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.training.run import RunConfig
from tracking.journal.journal import Journal

ENDED = ("complete", "pruned", "diverged", "failed")
VERSION = 1


@dataclass(frozen=True)
class Header:
    """What a sweep is; written once, to ``sweep.json``.

    Attributes:
        id: Unique among all sweeps for all time.
        name: The user's.
        kind: ``sweep``, ``train`` or ``final``.
        experiment: Name of the MLflow experiment.
        job: The job, as data.
        tracking_uri: Of the MLflow server; None for the embedded one.
        provenance: Git commit, versions and so on, at its creation.
        created: Unix seconds.
        of: For a final run, the id of the sweep whose winner it trains.
    """

    id: str
    name: str
    kind: str
    experiment: str
    job: dict[str, Any]
    tracking_uri: str | None
    provenance: dict[str, str]
    created: float
    of: str | None = None

    def write(self, folder: SweepFolder) -> None:
        """Make the folder and its header."""
        folder.path.mkdir(parents=True)
        draft = folder.path / "sweep.json.new"
        draft.write_text(json.dumps({"version": VERSION, **self.__dict__}, indent=1))
        draft.rename(folder.header)

    @staticmethod
    def read(folder: SweepFolder) -> "Header":
        """The header of an existing sweep.

        Raises:
            RequestError: It was written by another version.
        """
        data = json.loads(folder.header.read_text())
        version = data.pop("version", None)
        if version != VERSION:
            raise RequestError(f"{folder.header} has format version {version}, this oplstm reads {VERSION}")
        return Header(**data)


@dataclass
class Trial:
    """One configuration and what became of it.

    Attributes:
        number: Optuna's trial number.
        params: The point of the space.
        run: The run that it means.
        state: See above.
        pack: Where it is trained.
        joined: The pack's update at which it came in; None for before the first.
        points: Its meta-validation points.
        updates: Those of its points.
        milestone: Of the last one.
        pruned_at: Updates whose points were answered with prune.
        best_update: Update of the best weights.
        metrics: Scores at its end.
        note: One line for a person.
    """

    number: int
    params: dict[str, Any]
    run: dict[str, Any]
    state: str = "waiting"
    pack: str | None = None
    joined: int | None = None
    points: list[dict[str, float]] = field(default_factory=list)
    updates: set[int] = field(default_factory=set)
    milestone: int = 0
    pruned_at: set[int] = field(default_factory=set)
    best_update: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def name(self) -> str:
        """Name of the trial's run and folder."""
        return f"trial-{self.number:04d}"

    @cached_property
    def config(self) -> RunConfig:
        """The run, built."""
        return RunConfig.from_dict(self.run)

    @cached_property
    def signature(self) -> Hashable:
        """What it must have in common with others to share a pack."""
        return self.config.signature

    @property
    def best(self) -> float | None:
        """Best validation loss so far."""
        return next((point["val/best"] for point in reversed(self.points) if "val/best" in point), None)

    @property
    def cost(self) -> float:
        """``best`` such that less is better; inf before the first point."""
        if self.best is None or math.isnan(self.best):
            return math.inf
        return BENCHMARKS[self.run["benchmark"]["name"]].measure.cost(self.best)

    @property
    def total(self) -> int:
        """The budget in its own unit."""
        budget = self.run["budget"]
        return int(budget["tasks"] or budget["updates"])

    @property
    def fraction(self) -> float:
        """How much of its work is done."""
        return 1.0 if self.state in ENDED else self.milestone / self.total


@dataclass
class PackState:
    """A pack and what was decided about it.

    Attributes:
        name: Of the pack and the folder of its checkpoints.
        trials: All that ever trained in it, in the order in which they came.
        capacity: Runs that it can hold, once that was measured.
        joins: Names of the trials that came in, by the pack's update; empty where none was to.
        begun: Whether a process has begun with it.
        device: What it trains on, as tags.
    """

    name: str
    trials: list[Trial] = field(default_factory=list)
    capacity: int | None = None
    joins: dict[int, list[str]] = field(default_factory=dict)
    begun: bool = False
    device: dict[str, str] = field(default_factory=dict)
    _unended: dict[int, Trial] = field(default_factory=dict, repr=False)

    def add(self, trial: Trial) -> None:
        """A trial comes into it."""
        self.trials.append(trial)
        self._unended[trial.number] = trial

    def remove(self, trial: Trial) -> None:
        """A trial leaves it before it has begun."""
        self.trials.remove(trial)
        del self._unended[trial.number]

    def end(self, trial: Trial) -> None:
        """One of its trials has ended."""
        self._unended.pop(trial.number, None)

    def unended(self) -> list[Trial]:
        """Its trials that are still to be trained."""
        return list(self._unended.values())

    @property
    def initial(self) -> list[str]:
        """Names of the trials that are in it from the beginning."""
        return [trial.name for trial in self.trials if trial.joined is None]


class SweepState:
    """Trials and decisions of a sweep; ``apply`` takes each journal record once, in order.

    What the coordinator asks for at every call is kept up to date here, so that no call looks at all trials.

    Attributes:
        trials: By number.
        by_name: The same by name.
        packs: By name, in the order in which they were made.
        exhausted: Whether there is nothing more to ask for.
        finished: Whether the sweep has ended.
        promoted: What ``promote`` picked.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.trials: dict[int, Trial] = {}
        self.by_name: dict[str, Trial] = {}
        self.packs: dict[str, PackState] = {}
        self.exhausted = False
        self.finished = False
        self.promoted: dict[str, Any] | None = None
        self._counts: Counter[str] = Counter()
        self._waiting: dict[int, Trial] = {}
        self._waiting_alike: dict[Hashable, dict[int, Trial]] = {}
        self._ungrouped: list[Trial] = []
        self._placed: dict[int, Trial] = {}
        self._resting: dict[str, PackState] = {}
        self._running: dict[str, PackState] = {}
        self._ranking: list[tuple[float, int]] = []
        for record in records:
            self.apply(record)

    @classmethod
    def of(cls, folder: SweepFolder) -> "SweepState":
        """The state on disk, whether or not the sweep is running."""
        return cls(Journal.read(folder.journal) if folder.journal.exists() else ())

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record; those that are for MLflow alone are ignored."""
        if "event" in record:
            getattr(self, f"_on_{record['event']}")(record)

    def _on_asked(self, record: Mapping[str, Any]) -> None:
        trial = Trial(record["trial"], record["params"], record["run"])
        self.trials[trial.number] = self.by_name[trial.name] = self._waiting[trial.number] = trial
        self._ungrouped.append(trial)
        self._counts[trial.state] += 1

    def _on_exhausted(self, record: Mapping[str, Any]) -> None:
        self.exhausted = True

    def _on_packed(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]] = self._resting[record["pack"]] = PackState(record["pack"])
        self._put(pack, record["trials"])

    def _on_sized(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.capacity = record["capacity"]
        self._put(pack, record["trials"])
        self._begin(pack)

    def _on_joined(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.joins[record["update"]] = record["trials"]
        self._put(pack, record["trials"], record["update"])

    def _put(self, pack: PackState, names: Sequence[str], update: int | None = None) -> None:
        """Trials come into a pack: from waiting, or from a pack that no process has begun."""
        for name in names:
            trial = self.by_name[name]
            if trial.pack is not None:
                self.packs[trial.pack].remove(trial)
            if self._waiting.pop(trial.number, None) is not None and self._waiting_alike:
                self._waiting_alike.get(trial.signature, {}).pop(trial.number, None)
            pack.add(trial)
            self._placed[trial.number] = trial
            trial.pack, trial.joined = pack.name, update
            self._set(trial, "running")

    def _set(self, trial: Trial, state: str) -> None:
        self._counts[trial.state] -= 1
        self._counts[state] += 1
        trial.state = state

    def _begin(self, pack: PackState) -> None:
        pack.begun = True
        self._resting.pop(pack.name, None)
        self._running[pack.name] = pack

    def _on_started(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.device = record["device"]
        self._begin(pack)
        for trial in pack.unended():
            self._set(trial, "running")

    def _on_point(self, record: Mapping[str, Any]) -> None:
        trial = self.by_name[record["trial"]]
        trial.points.append({"update": record["update"], **record["metrics"]})
        trial.updates.add(record["update"])
        trial.milestone = record["milestone"]
        if record["prune"]:
            trial.pruned_at.add(record["update"])
        if trial.best is not None:
            heapq.heappush(self._ranking, (trial.cost, trial.number))

    def _on_ended(self, record: Mapping[str, Any]) -> None:
        trial = self.by_name[record["trial"]]
        self._set(trial, record["state"])
        trial.note, trial.metrics, trial.best_update = record["note"], record["metrics"], record["best_update"]
        if trial.state in ENDED and trial.pack is not None:
            pack = self.packs[trial.pack]
            pack.end(trial)
            self._placed.pop(trial.number, None)
            if not pack.unended():
                self._running.pop(pack.name, None)
                self._resting.pop(pack.name, None)

    def _on_finished(self, record: Mapping[str, Any]) -> None:
        self.finished = True

    def _on_promoted(self, record: Mapping[str, Any]) -> None:
        self.promoted = dict(record)

    def counts(self) -> Counter[str]:
        """Trials by state."""
        return +self._counts

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return sum(self._counts[state] for state in ENDED)

    @property
    def fraction(self) -> float:
        """The work that is done, in trials."""
        return self.ended + sum(trial.fraction for trial in self._placed.values())

    @property
    def waiting(self) -> Mapping[int, Trial]:
        """Trials that are in no pack yet, in the order of their numbers."""
        return self._waiting

    def waiting_like(self, signature: Hashable) -> Mapping[int, Trial]:
        """Those of one signature."""
        for trial in self._ungrouped:
            if trial.number in self._waiting:
                self._waiting_alike.setdefault(trial.signature, {})[trial.number] = trial
        self._ungrouped.clear()
        return self._waiting_alike.get(signature, {})

    @property
    def resting_packs(self) -> list[PackState]:
        """Packs that no process has begun and that hold trials, the oldest first."""
        return [pack for pack in self._resting.values() if pack.unended()]

    @property
    def running_packs(self) -> list[PackState]:
        """Packs that a process has begun and that hold trials which have not ended."""
        return list(self._running.values())

    def leader(self) -> Trial | None:
        """The trial with the best validation so far."""
        while self._ranking:
            cost, number = self._ranking[0]
            trial = self.trials[number]
            if trial.cost == cost and trial.state not in ("diverged", "failed"):
                return trial
            heapq.heappop(self._ranking)  # it is no longer so good, or out
        return None

    def unfinished_packs(self) -> dict[str, PackState]:
        """Packs that were interrupted or stopped, with all their trials.

        Those that have ended are among them: the last checkpoint may be from before their end, and a product's
        rounding depends on who shares the pack.
        """
        return {name: pack for name, pack in self.packs.items() if pack.unended()}
