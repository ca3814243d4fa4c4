"""What happens in a sweep: one class an event, as the journal holds them and a resume replays them.

An event is a JSON object ``{"kind": "sweep", "event": <name>, ...}``; what MLflow is told stands in records of its own
(``tracking.outbox.records``). The version of the format is the journal's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, ValidationError

from jobs.store.extended import Extended
from jobs.store.live import Added, Declined, Limited, TakenOut
from jobs.store.names import MOST_REPLICATES, MOST_TRIALS, PackName, TrialName
from jobs.store.promoted import Promoted
from jobs.store.states import TrialState
from oplstm.errors import WorkError
from tracking.journal.journal import Journal

MOST_DRAWS: Final = 50
"""Times that the sampler is asked for one configuration."""

RunData = Annotated[dict[str, Any], AfterValidator(lambda run: _run(run))]
"""A run as ``RunConfig.to_dict`` writes it and ``RunConfig.from_dict`` checks it."""

Params = dict[str, Any]
"""A point of a search space: Optuna's parameters by name."""

EndState = Annotated[TrialState, AfterValidator(lambda state: _end(state))]
TrialNames = tuple[TrialName, ...]
Metrics = dict[str, Annotated[StrictFloat, Field(allow_inf_nan=False)]]
Count = Annotated[StrictInt, Field(ge=0, lt=2**53)]
Number = Annotated[StrictInt, Field(ge=0, le=MOST_TRIALS)]
Draws = Annotated[StrictInt, Field(ge=0, le=MOST_DRAWS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The sampler proposed a configuration, or it was given.

    Attributes:
        trial: Its number.
        params: The point of the space.
        draws: Times the sampler drew for it, repeats included; 0 for a point that was given.
        run: The run that it means.
        added: By whose request, if a user's.
    """

    event: Literal["asked"] = "asked"
    trial: Number
    params: Params
    draws: Draws = 0
    run: RunData
    added: Added | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The sampler proposed a point of which the space makes no run; it is a trial that has ended.

    Attributes:
        trial: Its number.
        params: The point, as far as the space came.
        draws: As of ``Asked``.
        state: ``pruned`` where the space said that the point is infeasible, else ``failed``.
        reason: One line.
    """

    event: Literal["refused"] = "refused"
    trial: Number
    params: Params
    draws: Draws
    state: Annotated[TrialState, AfterValidator(lambda state: _no_work(state))]
    reason: StrictStr


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicated:
    """A configuration is to be trained once more, with a seed of its own.

    Attributes:
        trial: Number of the trial whose configuration it is.
        replicate: Which of its replicates, from 1.
        run: The run that it means.
    """

    event: Literal["replicated"] = "replicated"
    trial: Number
    replicate: Annotated[StrictInt, Field(ge=1, le=MOST_REPLICATES)]
    run: RunData


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhausted:
    """There is nothing more to ask for."""

    event: Literal["exhausted"] = "exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Trials make a new pack."""

    event: Literal["packed"] = "packed"
    pack: PackName
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """It was measured how many runs a pack can hold; ``trials`` fill it before its first update."""

    event: Literal["sized"] = "sized"
    pack: PackName
    capacity: Annotated[StrictInt, Field(ge=1)]
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Trials come into a running pack at its ``update``; none do, where that has to be remembered."""

    event: Literal["joined"] = "joined"
    pack: PackName
    update: Count
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """The hours of trials are over at an update of their pack, and they end there."""

    event: Literal["expired"] = "expired"
    pack: PackName
    update: Count
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """A pack has run out of memory: some of its trials leave it for a new one, which goes on from its last checkpoint.

    Attributes:
        pack: The pack that they leave.
        into: The new one.
        trials: Those that leave.
    """

    event: Literal["split"] = "split"
    pack: PackName
    into: PackName
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """Trials of a pack that have failed or diverged are trained again, in a new one; for the rest see ``Split``."""

    event: Literal["rerun"] = "rerun"
    pack: PackName
    into: PackName
    trials: TrialNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A process has begun to train a pack, on a device that these tags describe."""

    event: Literal["started"] = "started"
    pack: PackName
    device: dict[str, StrictStr]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """A meta-validation point of a trial, and whether the pruner ends it there.

    Attributes:
        trial: Name of the trial.
        update: Its meta-updates.
        milestone: The multiple of the validation interval that it stands for, in the budget's unit; 0 for none.
        metrics: Those that are finite, named as in docs/metrics.md.
        prune: The decision.
    """

    event: Literal["point"] = "point"
    trial: TrialName
    update: Count
    milestone: Count
    metrics: Metrics
    prune: StrictBool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A trial has ended, or stopped to be resumed.

    Attributes:
        trial: Name of the trial.
        state: How.
        update: Its meta-updates.
        best_update: That of its best weights.
        metrics: Best validation and test scores, those that are finite, and the memory that it took
            (``jobs.store.memory``).
        note: One line for a person.
    """

    event: Literal["ended"] = "ended"
    trial: TrialName
    state: EndState
    update: Count
    best_update: Count
    metrics: Metrics
    note: StrictStr = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """The sweep goes on, perhaps on another machine and with other versions than at its creation."""

    event: Literal["resumed"] = "resumed"
    provenance: dict[str, StrictStr]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The sweep has ended."""

    event: Literal["finished"] = "finished"


Event = (
    Asked
    | Refused
    | Replicated
    | Exhausted
    | Packed
    | Sized
    | Joined
    | Expired
    | Split
    | Rerun
    | Started
    | Validated
    | Ended
    | Resumed
    | Finished
    | Promoted
    | TakenOut
    | Limited
    | Declined
    | Extended
)


@dataclass(frozen=True, slots=True)
class Read:
    """An event, the line of the journal in which it stands, and when it was written, in Unix seconds."""

    line: int
    event: Event
    time: float


_EVENTS: Final[TypeAdapter[Event]] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def _end(state: TrialState) -> TrialState:
    if not (state.ended or state is TrialState.STOPPED):
        raise ValueError("is no end")
    return state


def _no_work(state: TrialState) -> TrialState:
    if state not in (TrialState.FAILED, TrialState.PRUNED):
        raise ValueError("is no end of a trial that did not begin")
    return state


def _run(run: dict[str, Any]) -> dict[str, Any]:
    """Its shape, as far as a sweep's status is read from it, without torch."""
    budget = run.get("budget")
    if not isinstance(run.get("benchmark"), dict) or not isinstance(budget, dict):
        raise ValueError("is no run: it wants a benchmark and a budget")
    total = budget.get("tasks") or budget.get("updates")
    if type(total) is not int or not 1 <= total < 2**53:
        raise ValueError("is no run: its budget wants tasks or updates")
    return run


def encode(event: Event) -> dict[str, Any]:
    """The event as its journal record."""
    return {"kind": "sweep", **_EVENTS.dump_python(event, mode="json")}


def decode(record: Mapping[str, Any]) -> Event:
    """The event in a record; of a point in a journal of version 1, which is MLflow's record too, its own part.

    Raises:
        ValueError: The event is unknown or malformed; the message says where.
    """
    try:
        return _EVENTS.validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "union_tag_invalid":
            raise ValueError(f"unknown event {repr(record.get('event'))[:80]}") from error
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg']}, got {str(first['input'])[:80]!r}") from error


def read_events(path: Path, at: Callable[[float], None] = lambda time: None) -> Iterator[Read]:
    """The events of a sweep's journal, oldest first; none where there is no journal yet.

    Args:
        path: The journal.
        at: Called with the time of every record, of MLflow's too, in Unix seconds.

    Raises:
        RequestError: The file is no journal, or of another version.
        WorkError: It is damaged, or holds what this version does not know; the message names the line.
    """
    if not path.exists():
        return
    for line in Journal.lines(path):
        for record in line.records:
            at(_time(record))
            if "event" in record:
                try:
                    event = decode(record)
                except ValueError as error:
                    raise damaged(path, line.number, str(error)) from error
                yield Read(line.number, event, _time(record))


def _time(record: Mapping[str, Any]) -> float:
    found = record.get("time")
    return float(found) if isinstance(found, int | float) else 0.0


def damaged(path: Path, line: int, problem: str) -> WorkError:
    """What to raise where a line of a journal says what cannot be."""
    return WorkError(
        f"{path}, line {line}: {problem}; it is damaged or was written by another version of oplstm: "
        "restore it from a copy, or use the version that wrote it"
    )
