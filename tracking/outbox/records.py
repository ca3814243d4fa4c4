"""The journal records that become MLflow runs, points, tags and artifacts.

In a journal each has `"kind": "track"`, its `"op"` and the `"key"` of its run (`encode`; `decoding.decode` reads it).
What MLflow would refuse for its form (length, characters, too long a text) is refused with a ValueError, or cut,
when a record is made, before it is written.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Final, Literal, get_args

from tracking.journal.format import Json
from tracking.outbox.names import (
    MAX_NAME,
    MAX_PARAM,
    MAX_TAG,
    checked_experiment,
    checked_key,
    checked_name,
    checked_place,
    checked_time,
    text,
)

Scalar = str | int | float | bool | None
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]
_END_STATUSES: Final = get_args(EndStatus)


@dataclass(frozen=True, slots=True)
class Record:
    """What happens to one run.

    Attributes:
        key: Unique among all runs for all time; stored as the run's tag `oplstm.key`.
    """

    op: ClassVar[str]
    key: str

    def __post_init__(self) -> None:
        checked_key(self.key)
        self._check()

    def encode(self) -> dict[str, Json]:
        """The record as it stands in a journal."""
        return {"kind": "track", "op": self.op, "key": self.key, **self._values()}

    def _check(self) -> None:
        pass

    def _values(self) -> dict[str, Json]:
        return {}


@dataclass(frozen=True, slots=True)
class CreateRun(Record):
    """A run comes into being; its parent, if it has one, was created before it.

    Attributes:
        name: What the user sees.
        parent_key: The key of the run that this one is a child of.
        experiment: Name of the MLflow experiment.
        tags: Their names and values.
        params: Their names and values, which become texts; logged once, they never change.
        start_time: Unix seconds.
    """

    op = "create_run"
    _: KW_ONLY
    name: str
    parent_key: str | None
    experiment: str
    tags: Mapping[str, str]
    params: Mapping[str, Scalar]
    start_time: float

    def _check(self) -> None:
        if self.parent_key is not None:
            checked_key(self.parent_key)
        checked_experiment(self.experiment)
        checked_time(self.start_time)
        object.__setattr__(self, "name", text(self.name, MAX_NAME))
        object.__setattr__(self, "tags", _texts(self.tags, MAX_TAG))
        object.__setattr__(self, "params", _texts(self.params, MAX_PARAM))

    def _values(self) -> dict[str, Json]:
        return {
            "name": self.name,
            "parent_key": self.parent_key,
            "experiment": self.experiment,
            "tags": self.tags,
            "params": self.params,
            "start_time": self.start_time,
        }


@dataclass(frozen=True, slots=True)
class Points(Record):
    """Metric values of one meta-update.

    Attributes:
        step: Number of meta-updates.
        metrics: By metric name; a value that is not finite is kept, and becomes nan in MLflow.
        timestamp: Unix seconds. It must never change: MLflow tells a repeated point by it.
    """

    op = "points"
    _: KW_ONLY
    step: int
    metrics: Mapping[str, float]
    timestamp: float

    def _check(self) -> None:
        checked_time(self.timestamp)
        for name in self.metrics:
            checked_name(name)
        object.__setattr__(self, "metrics", _numbers(self.metrics))

    def _values(self) -> dict[str, Json]:
        return {
            "step": self.step,
            "metrics": _jsonable(self.metrics),
            "timestamp": self.timestamp,
        }


@dataclass(frozen=True, slots=True)
class Tags(Record):
    """Set tags; a tag that is there already gets the new value."""

    op = "tags"
    tags: Mapping[str, str]

    def _check(self) -> None:
        object.__setattr__(self, "tags", _texts(self.tags, MAX_TAG))

    def _values(self) -> dict[str, Json]:
        return {"tags": self.tags}


@dataclass(frozen=True, slots=True)
class Untag(Record):
    """Take tags away; one that is not there is none to take."""

    op = "untag"
    names: Sequence[str]

    def _check(self) -> None:
        object.__setattr__(self, "names", tuple(map(checked_name, self.names)))

    def _values(self) -> dict[str, Json]:
        return {"names": list(self.names)}


@dataclass(frozen=True, slots=True)
class Artifact(Record):
    """Upload a file, or what is in a directory.

    Attributes:
        path: Where it lies, relative to the journal's folder, which it must not leave, links included.
        folder: Where it goes among the run's artifacts; "" is the top.
    """

    op = "artifact"
    _: KW_ONLY
    path: str
    folder: str

    def _check(self) -> None:
        checked_place(self.path, top=False)
        checked_place(self.folder, top=True)

    def _values(self) -> dict[str, Json]:
        return {"path": self.path, "folder": self.folder}


@dataclass(frozen=True, slots=True)
class LearningCurve(Record):
    """Draw the learning curve when it is shipped and upload it as `learning_curve.png`.

    Attributes:
        points: What `tracking.results.figures.learning_curve` takes.
        metric: The validation metric that is drawn.
        title: Of the picture.
    """

    op = "learning_curve"
    _: KW_ONLY
    points: Sequence[Mapping[str, float]]
    metric: str
    title: str

    def _check(self) -> None:
        object.__setattr__(self, "points", tuple(map(_numbers, self.points)))

    def _values(self) -> dict[str, Json]:
        rows = [_jsonable(point) for point in self.points]
        return {"points": rows, "metric": self.metric, "title": self.title}


@dataclass(frozen=True, slots=True)
class EndRun(Record):
    """The run has ended, at `end_time` in unix seconds."""

    op = "end_run"
    _: KW_ONLY
    status: EndStatus
    end_time: float

    def _check(self) -> None:
        checked_time(self.end_time)
        if self.status not in _END_STATUSES:
            raise ValueError(f"a run ends as one of {', '.join(_END_STATUSES)}, not as {self.status!r}")

    def _values(self) -> dict[str, Json]:
        return {"status": self.status, "end_time": self.end_time}


@dataclass(frozen=True, slots=True)
class ReopenRun(Record):
    """The run, which had ended, goes on."""

    op = "reopen_run"


def _texts(values: Mapping[str, Scalar], limit: int) -> dict[str, str]:
    return {checked_name(name): text(value, limit) for name, value in values.items()}


def _numbers(values: Mapping[str, float]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in values.items()}  # a journal holds nan and inf as text
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"not all values are numbers: {dict(values)!r}") from None


def _jsonable(values: Mapping[str, float]) -> dict[str, float | str]:
    return {name: value if math.isfinite(value) else str(value) for name, value in values.items()}
