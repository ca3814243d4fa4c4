"""``oplstm extend``: a sweep that does more than its job said when it was made, as if its job had always said so."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from jobs.operations.control import Means, go_on, known
from jobs.operations.requirements import disk_bytes
from jobs.operations.running import Outcome, owned
from jobs.operations.trust import check_space
from jobs.store.events import encode
from jobs.store.extended import Extended, unit_of
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import Trial, names_of
from jobs.sweep.messages import OnProgress
from jobs.sweep.rebuilding import has_more
from oplstm.configuration import Problems, build
from oplstm.errors import RequestError
from oplstm.training.budget import Budget
from tracking.journal.journal import Journal


def extend(
    home: Home,
    name: str,
    *,
    trials: int | None = None,
    budget: int | None = None,
    progress: OnProgress,
    means: Means,
    notice: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Let a sweep have more trials, or runs that are longer, and go on with it.

    The same again, after a kill, goes on with it and adds nothing.

    Args:
        home: Where it is.
        name: Of it.
        trials: In all; None for as many as before.
        budget: Of a run in all, in the unit of the job's; None for as long as before.
        progress: Shows it.
        means: With what.
        notice: As of ``resume``.

    Raises:
        RequestError: It is running, has no more to try, is damaged, or asks for what nobody named.
        WorkError: It failed.
    """
    folder = home.sweep(name)
    with owned(folder):
        header, state = known(folder, trust=means.trust)
        if header.kind is not SweepKind.SWEEP:
            raise RequestError(f"{name} is a {header.kind} run, which has seeds and no trials; extend takes a sweep")
        if trials is None and budget is None:
            raise RequestError(f"extend {name} to what? --trials K or --budget {unit_of(header.job).upper()}")
        there = header.job.trial_limit, header.job.budget[unit_of(header.job)]
        if not state.finished and trials in (None, there[0]) and budget in (None, there[1]):
            return go_on(home, header, state, means=means, progress=progress, notice=notice)
        goes_on = [] if budget is None else _to_go_on(state)
        extension = Extended(trials=trials, budget=budget, goes_on=names_of(goes_on))
        check_space(header, state, trust=means.trust)
        if trials is not None:
            _check_trials(folder, header, state, extension=extension)
        if budget is not None:
            _check_budget(header, state, extension=extension)
            _name_stateless(folder, goes_on, notice)
        return _extended(home, header, state, extension=extension, means=means, progress=progress, notice=notice)


def more_seeds(home: Home, name: str, *, count: int, means: Means, progress: OnProgress) -> Outcome:
    """Let a final run that has ended have more seeds, and train them.

    Args:
        home: Where it is.
        name: Of it.
        count: How many more.
        means: With what.
        progress: Shows it.

    Raises:
        RequestError: It is running, is damaged, or has more seeds then than a job may.
        WorkError: It failed.
    """
    with owned(home.sweep(name)):
        header, state = known(home.sweep(name))
        extension = Extended(trials=header.job.seeds + count, budget=None, goes_on=())
        return _extended(
            home, header, state, extension=extension, means=means, progress=progress, notice=lambda line: None
        )


def _check_trials(folder: SweepFolder, header: Header, state: SweepState, *, extension: Extended) -> None:
    """See that a sweep can have so many trials.

    Raises:
        RequestError: It cannot.
    """
    name, limit, trials = folder.name, header.job.trial_limit, extension.trials or 0
    if limit is None:
        raise RequestError(f"{name} tries every point of its grid, and there are no more for --trials to add")
    if trials <= limit:
        raise RequestError(f"--trials are those in all: {name} has {limit}, so it must be more, got {trials}")
    if state.exhausted and not has_more(folder, replace(header, job=extension.of(header.job))):
        raise RequestError(f"{name} has tried all {len(state.trials)} points of its space, and there are no more")


def _to_go_on(state: SweepState) -> list[Trial]:
    """The trials that have completed, replicates too, but for those whose hours were over."""
    late = {name for pack in state.packs.values() for names in pack.expired.values() for name in names}
    complete = (trial for trial in state.by_name.values() if trial.state is TrialState.COMPLETE)
    return [trial for trial in complete if trial.pack is not None and trial.name not in late]


def _check_budget(header: Header, state: SweepState, *, extension: Extended) -> None:
    """See that the runs of a sweep can have a budget.

    Raises:
        RequestError: They cannot.
    """
    name, unit, problems = header.name, unit_of(header.job), Problems()
    before, budget = header.job.budget[unit], extension.budget or 0
    if not state.finished:
        raise RequestError(
            f"{name} has not ended: first oplstm resume {name}, then its runs can go on to {budget} {unit}"
        )
    if budget <= before:
        raise RequestError(
            f"--budget is that of a run in all: {name} has {before} {unit}, so it must be more, got {budget}"
        )
    if not extension.goes_on and extension.trials is None:
        raise RequestError(f"no run of {name} used up its budget, so none goes on to a longer one")
    build(Budget, extension.of(header.job).budget, problems)
    if problems:
        raise RequestError(problems.lines())


def _name_stateless(folder: SweepFolder, trials: Sequence[Trial], notice: Callable[[str], None]) -> None:
    """Say which trials left no state to go on from."""
    for trial in trials:
        if not next((folder.ends / trial.name).glob("update-*"), None):
            notice(f"{trial.name} left no state to go on from: it is trained from its beginning, to the same end")


def _extended(
    home: Home,
    header: Header,
    state: SweepState,
    *,
    extension: Extended,
    means: Means,
    progress: OnProgress,
    notice: Callable[[str], None],
) -> Outcome:
    """Go on with what is idle and owned, once it is extended."""
    folder, larger = home.sweep(header.name), replace(header, job=extension.of(header.job))
    home.check_writable(disk_bytes(larger.job) - disk_bytes(header.job))

    def begin() -> None:
        with Journal(folder.journal) as journal:
            if next(Journal.read(folder.journal), None) is not None:  # else it has not begun, and is as good as new
                journal.append([encode(extension)])
                journal.sync()
        larger.write_again(folder)  # whoever goes on after a kill before this does it

    return go_on(home, larger, state, means=means, progress=progress, notice=notice, begin=begin)
