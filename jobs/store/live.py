"""What users ask of a running sweep: events of its journal (``jobs.store.events``), and what they amount to.

Each event names the request that it answers (``jobs.store.requests``), so that no request is answered twice.
"""

from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr, StringConstraints

from jobs.store.names import TrialName

BY_HAND: Final = "pruned by hand"
BEFORE_IT_BEGAN: Final = f"{BY_HAND}, before it began"
RequestName = Annotated[str, StringConstraints(pattern=r"^[0-9]{20}-[0-9a-f]{8}\z")]
"""When it was made, in nanoseconds, and what tells apart those of one moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """Of a trial that a user has added (``Asked``).

    Attributes:
        request: That it answers.
        like: Name of the trial whose values it has where none were given.
        from_update: The update of ``like`` with whose weights it begins; None where it begins with fresh ones.
    """

    request: RequestName
    like: TrialName | None = None
    from_update: Annotated[StrictInt, Field(ge=1, lt=2**53)] | None = None

    def __post_init__(self) -> None:
        if self.from_update is not None and self.like is None:
            raise ValueError("begins with the weights of no trial")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOut:
    """A user ends a trial as pruned: at its next validation point, or here where it waits.

    Attributes:
        request: That it answers.
        trial: Name of the trial.
        waits: Whether it is in no pack yet.
    """

    event: Literal["taken_out"] = "taken_out"
    request: RequestName
    trial: TrialName
    waits: StrictBool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A user limits how many trials train at once; ``concurrent`` is None for no limit."""

    event: Literal["limited"] = "limited"
    request: RequestName
    concurrent: Annotated[StrictInt, Field(ge=1)] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """A request asks for what cannot be; ``reasons`` are lines for a person."""

    event: Literal["declined"] = "declined"
    request: RequestName
    reasons: tuple[StrictStr, ...]


@dataclass(frozen=True)
class Answer:
    """What became of a request.

    Attributes:
        trial: Name of the trial that it has added or taken out.
        reasons: Why it was declined, a line each; none where it was not.
    """

    trial: str | None = None
    reasons: tuple[str, ...] = ()


@dataclass
class Live:
    """What users have asked of a sweep so far.

    Attributes:
        answers: By request.
        added: How many trials they have added; they count beyond those of the job.
        limit: How many trials train at once, at most; None for no limit.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    added: int = 0
    limit: int | None = None

    def take(self, event: TakenOut | Limited | Declined) -> None:
        """Take in one event."""
        match event:
            case TakenOut():
                self.answers[event.request] = Answer(event.trial)
            case Limited():
                self.answers[event.request], self.limit = Answer(), event.concurrent
            case Declined():
                self.answers[event.request] = Answer(reasons=event.reasons)

    def add(self, added: Added | None, trial: str) -> None:
        """A trial was asked for, perhaps by a user."""
        if added is not None:
            self.answers[added.request] = Answer(trial)
            self.added += 1
