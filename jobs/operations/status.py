"""``oplstm status``: what the journals say. Nothing of a folder is executed or imported."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from jobs.operations.running import is_running
from jobs.store.events import Params
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import Trial
from oplstm.errors import RequestError, WorkError
from tracking.outbox.outbox import idle_outbox

if TYPE_CHECKING:
    from jobs.store.scores import FinalResult

SweepStatus = Literal["complete", "incomplete", "running", "stopped"]


@dataclass(frozen=True)
class TrialStatus:
    """A trial as ``status`` shows it.

    Attributes:
        name: Of the trial.
        state: Where it is.
        fraction: How much of its work is done.
        best: Its best validation value.
        params: The point of the space.
        note: One line for a person.
        placed: Whether it ever came into a pack.
        added: Whether a user added it.
        began_with: Whose weights, in words, where it did not begin with fresh ones.
    """

    name: str
    state: TrialState
    fraction: float
    best: float | None
    params: Params
    note: str
    placed: bool
    added: bool = False
    began_with: str | None = None


@dataclass(frozen=True)
class Tracking:
    """What MLflow does not have of a sweep, as its journal and its outbox have it.

    Attributes:
        waiting: Records that are not shipped yet.
        silent_since: When the server began to take nothing, in unix seconds; None while it does.
        reason: Why the last attempt to ship failed.
        refused: Records that it refused for good, or that were deleted there.
        last_refusal: The newest of them, in one line.
    """

    waiting: int
    silent_since: float | None
    reason: str | None
    refused: int
    last_refusal: str | None

    @classmethod
    def of(cls, folder: SweepFolder) -> "Tracking":
        """Of a sweep, whether or not it is running; no server is asked."""
        outbox = idle_outbox(folder.journal)
        silence, refused = outbox.silence(), outbox.refused()
        last = max(refused, key=lambda refusal: refusal.time, default=None)
        return cls(
            waiting=outbox.pending(),
            silent_since=None if silence is None else silence.since,
            reason=None if silence is None else silence.reason,
            refused=sum(refusal.count for refusal in refused),
            last_refusal=None if last is None else f"{last.key} {last.op}: {last.reason}",
        )


@dataclass(frozen=True)
class Status:
    """A sweep as ``status`` shows it.

    Attributes:
        name: Of the sweep.
        kind: What it is.
        state: ``incomplete`` is a sweep that has ended and whose lost runs are missing.
        counts: Trials by state.
        best: The best validation value of a trial that has completed.
        leader: Name of that trial; promote picks among such.
        promoted: Name of the trial that was picked.
        folder: Where it is.
        trials: Best meta-validation first.
        replicates: More seeds of some of them.
        tracking: What MLflow does not have.
        archived: Whether it was put away.
        concurrent: How many trials train at once, at most, where a user has limited it.
    """

    name: str
    kind: SweepKind
    state: SweepStatus
    counts: Mapping[TrialState, int]
    best: float | None
    leader: str | None
    promoted: str | None
    folder: str
    trials: tuple[TrialStatus, ...]
    replicates: tuple[TrialStatus, ...]
    tracking: Tracking
    archived: bool = False
    concurrent: int | None = None

    @property
    def lost(self) -> tuple[TrialStatus, ...]:
        """Trials whose work failed; those that failed before they came into a pack were impossible points."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.FAILED and trial.placed)

    @property
    def has_result(self) -> bool:
        """Whether a trial has completed."""
        return self.counts.get(TrialState.COMPLETE, 0) > 0

    def to_json(self, *, trials: bool) -> dict[str, Any]:
        """Plain data for JSON, with or without the trials."""
        data = asdict(self)
        return data if trials else {key: value for key, value in data.items() if key not in ("trials", "replicates")}


@dataclass(frozen=True)
class Damaged:
    """A folder among the sweeps whose files cannot be read.

    Attributes:
        name: Of the folder.
        problem: One line.
    """

    name: str
    problem: str

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"name": self.name, "state": "damaged", "problem": self.problem}


def sweep_status(folder: SweepFolder) -> Status:
    """How a sweep is.

    Raises:
        RequestError: Its files are of another version.
        WorkError: Its journal is damaged.
    """
    header = Header.read(folder)
    state = SweepState.of(folder, header)
    ranked = sorted(state.trials.values(), key=lambda trial: (trial.best is None, trial.cost))
    fresh = (trial for trial in ranked if not trial.is_warm)
    leader = next((trial for trial in fresh if trial.state is TrialState.COMPLETE), None)
    return Status(
        name=header.name,
        kind=header.kind,
        state=_state(state, running=is_running(folder)),
        counts=dict(state.counts()),
        best=None if leader is None else leader.best,
        leader=None if leader is None else leader.name,
        promoted=None if state.promotion is None else state.promotion.picked,
        folder=str(folder.path),
        trials=tuple(map(_trial_status, ranked)),
        replicates=tuple(map(_trial_status, state.replicates.values())),
        tracking=Tracking.of(folder),
        archived=header.archived,
        concurrent=state.live.limit,
    )


def result_of(folder: SweepFolder) -> "FinalResult | Damaged | None":
    """The test result of a training or final run; None of a sweep, and where there is none (yet).

    Raises:
        RequestError: The sweep's files are of another version.
        WorkError: Its journal is damaged.
    """
    header = Header.read(folder)
    state = SweepState.of(folder, header)
    if header.kind is SweepKind.SWEEP or not state.finished:
        return None
    from jobs.store.scores import final_result  # imports torch, which all else here is told without

    try:
        return final_result(folder, state)
    except (RequestError, WorkError, OSError) as error:  # scores that are damaged, or a dataset that is not here
        return Damaged(header.name, " ".join(str(error).split()))


def _trial_status(trial: Trial) -> TrialStatus:
    return TrialStatus(
        name=trial.name,
        state=trial.state,
        fraction=trial.fraction,
        best=trial.best,
        params=trial.params,
        note=trial.note,
        placed=trial.pack is not None,
        added=trial.added is not None,
        began_with=trial.began_with if trial.is_warm else None,
    )


def _state(state: SweepState, *, running: bool) -> SweepStatus:
    if not state.finished:
        return "running" if running else "stopped"
    return "incomplete" if any(map(_is_lost, state.trials.values())) else "complete"


def _is_lost(trial: Trial) -> bool:
    return trial.state is TrialState.FAILED and trial.pack is not None


def all_status(home: Home, *, archived: bool = False) -> list[Status | Damaged]:
    """Every sweep, oldest first, with those that were put away or without; a damaged one does not hide the others."""
    return [_status_or_damage(folder) for folder in home.all_sweeps() if archived or not _is_archived(folder)]


def _is_archived(folder: SweepFolder) -> bool:
    try:
        return Header.read(folder).archived
    except (RequestError, OSError):
        return False


def _status_or_damage(folder: SweepFolder) -> Status | Damaged:
    try:
        return sweep_status(folder)
    except (RequestError, WorkError, OSError) as error:
        return Damaged(folder.path.name, " ".join(str(error).split()))
