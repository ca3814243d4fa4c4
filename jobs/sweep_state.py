"""What has happened in a sweep, rebuilt record by record from its journal.

A trial is ``waiting`` (asked for), then ``running``, and ends as ``complete``, ``pruned``, ``diverged`` or ``failed``.
``stopped`` is not an end: resume makes it ``running`` again.
"""

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jobs.home import SweepFolder
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.training.run import RunConfig
from tracking.journal import Journal

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

    @property
    def signature(self) -> Hashable:
        """What it must have in common with others to share a pack."""
        return self.config.signature

    @property
    def best(self) -> float | None:
        """Best validation loss so far."""
        values = [point["val/best"] for point in self.points if "val/best" in point]
        return values[-1] if values else None

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

    def unended(self) -> list[Trial]:
        """Its trials that are still to be trained."""
        return [trial for trial in self.trials if trial.state not in ENDED]

    @property
    def initial(self) -> list[str]:
        """Names of the trials that are in it from the beginning."""
        return [trial.name for trial in self.trials if trial.joined is None]


class SweepState:
    """Trials and decisions of a sweep; ``apply`` takes each journal record once, in order."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.trials: dict[int, Trial] = {}
        self.by_name: dict[str, Trial] = {}
        self.packs: dict[str, PackState] = {}
        self.exhausted = False
        self.finished = False
        self.promoted: dict[str, Any] | None = None
        for record in records:
            self.apply(record)

    @classmethod
    def of(cls, folder: SweepFolder) -> "SweepState":
        """The state on disk, whether or not the sweep is running."""
        return cls(Journal.read(folder.journal) if folder.journal.exists() else ())

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take in one record; those of other kinds are ignored."""
        if record.get("kind") == "sweep":
            getattr(self, f"_on_{record['event']}")(record)

    def _on_asked(self, record: Mapping[str, Any]) -> None:
        trial = Trial(record["trial"], record["params"], record["run"])
        self.trials[trial.number] = self.by_name[trial.name] = trial

    def _on_exhausted(self, record: Mapping[str, Any]) -> None:
        self.exhausted = True

    def _on_packed(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]] = PackState(record["pack"])
        self._put(pack, record["trials"])

    def _on_sized(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.capacity, pack.begun = record["capacity"], True
        self._put(pack, record["trials"])

    def _on_joined(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.joins[record["update"]] = record["trials"]
        self._put(pack, record["trials"], record["update"])

    def _put(self, pack: PackState, names: Sequence[str], update: int | None = None) -> None:
        """Trials come into a pack: from waiting, or from a pack that no process has begun."""
        for name in names:
            trial = self.by_name[name]
            if trial.pack is not None:
                self.packs[trial.pack].trials.remove(trial)
            pack.trials.append(trial)
            trial.pack, trial.joined, trial.state = pack.name, update, "running"

    def _on_started(self, record: Mapping[str, Any]) -> None:
        pack = self.packs[record["pack"]]
        pack.begun, pack.device = True, record["device"]
        for trial in pack.unended():
            trial.state = "running"

    def _on_point(self, record: Mapping[str, Any]) -> None:
        trial = self.by_name[record["trial"]]
        trial.points.append({"update": record["update"], **record["metrics"]})
        trial.milestone = record["milestone"]
        if record["prune"]:
            trial.pruned_at.add(record["update"])

    def _on_ended(self, record: Mapping[str, Any]) -> None:
        trial = self.by_name[record["trial"]]
        trial.state, trial.note, trial.metrics = record["state"], record["note"], record["metrics"]
        trial.best_update = record["best_update"]

    def _on_finished(self, record: Mapping[str, Any]) -> None:
        self.finished = True

    def _on_promoted(self, record: Mapping[str, Any]) -> None:
        self.promoted = dict(record)

    def counts(self) -> Counter[str]:
        """Trials by state."""
        return Counter(trial.state for trial in self.trials.values())

    def leader(self) -> Trial | None:
        """The trial with the best validation so far."""
        scored = [t for t in self.trials.values() if t.best is not None and t.state not in ("diverged", "failed")]
        return min(scored, key=lambda trial: trial.cost, default=None)

    def unfinished_packs(self) -> dict[str, PackState]:
        """Packs that were interrupted or stopped, with all their trials.

        Those that have ended are among them: the last checkpoint may be from before their end, and a product's
        rounding depends on who shares the pack.
        """
        return {name: pack for name, pack in self.packs.items() if pack.unended()}
