"""What the coordinator and those who train for it say to each other.

These stand here and not beside the workers because the coordinator, on a lower floor, makes them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from jobs.jobfile.schema import Job
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from oplstm.training.hours import Expiries
from oplstm.training.run import RunConfig


@dataclass(frozen=True)
class NamedRun:
    """A run of a pack.

    Attributes:
        name: Of its trial.
        run: Its configuration.
        is_warm: Whether it begins with the weights that ``SweepFolder.start`` holds.
    """

    name: str
    run: RunConfig
    is_warm: bool = False

    @classmethod
    def of(cls, trial: Trial) -> "NamedRun":
        """That of a trial."""
        return cls(trial.name, trial.config, trial.is_warm)


@dataclass(frozen=True)
class Measurement:
    """A question to a worker: how many runs can a pack hold?

    Attributes:
        like: Some that stand for those that may come into it, the heaviest first.
        limit: There is no use for more.
    """

    like: tuple[RunConfig, ...]
    limit: int


@dataclass(frozen=True)
class Outgrown:
    """The answer to a pack that ran out of memory: what is to be remembered of packs like it, on its device.

    Attributes:
        question: How many runs they can hold.
        runs: So many, as far as is known.
    """

    question: Measurement
    runs: int


@dataclass(frozen=True)
class Assignment:
    """A pack to train.

    Attributes:
        pack: Its name.
        trials: Names of its trials so far.
        measure: What to find out first, and to answer with ``sized``; None where its capacity is known.
    """

    pack: str
    trials: tuple[str, ...]
    measure: Measurement | None = None


@dataclass(frozen=True)
class StartedPack:
    """A pack whose training begins.

    Attributes:
        runs: All that were ever in it.
        initial: Names of those with which it begins.
        capacity: Runs that it can hold.
        expiries: Whose hours were over, and up to which update that is settled.
        origin: Name of the pack whose checkpoints it goes on from where it has none of its own.
        parts: Names of packs that go on from this one's last checkpoint, and are to have it before this one goes on.
        extended: Whether its runs go on from where they had ended.
    """

    runs: tuple[NamedRun, ...]
    initial: tuple[str, ...]
    capacity: int | None
    expiries: Expiries
    origin: str | None = None
    parts: tuple[str, ...] = ()
    extended: bool = False


@dataclass(frozen=True)
class Progress:
    """How far a sweep is.

    Attributes:
        fraction: The work that is done, in trials.
        limit: Trials at most; None for every cell of a grid.
        asked: Trials so far.
        exhausted: Whether there will be no more.
        replicates: More seeds of some of the trials.
        replicated: The work that is done for them, in trials.
        counts: Trials by state.
        best: The best validation value so far.
        leader: Name of the trial that has it.
        waiting_records: Records that MLflow does not have yet.
        tracking_error: What keeps them waiting.
        failure: Why the work cannot go on.
        lines: What happened that a person should know, since the work began or went on.
    """

    fraction: float
    limit: int | None
    asked: int
    exhausted: bool
    replicates: int
    replicated: float
    counts: Mapping[TrialState, int]
    best: float | None
    leader: str | None
    waiting_records: int
    tracking_error: str | None
    failure: str | None
    lines: tuple[str, ...] = ()


OnProgress = Callable[[Progress], None]
"""Called about twice a second."""


def progress_of(
    job: Job, state: SweepState, *, waiting: int, error: str | None, failure: str | None, lines: Sequence[str]
) -> Progress:
    """How far a sweep is.

    Args:
        job: Its job.
        state: Its state.
        waiting: Records that MLflow does not have yet.
        error: What keeps them waiting.
        failure: Why the work cannot go on.
        lines: What happened that a person should know.
    """
    leader = state.leader()
    return Progress(
        fraction=state.fraction,
        limit=None if job.trial_limit is None else job.trial_limit + state.live.added,
        asked=len(state.trials),
        exhausted=state.exhausted,
        replicates=len(state.replicates),
        replicated=sum(trial.fraction for trial in state.replicates.values()),
        counts=state.counts(),
        best=None if leader is None else leader.best,
        leader=None if leader is None else leader.name,
        waiting_records=waiting,
        tracking_error=error,
        failure=failure,
        lines=tuple(lines),
    )
