"""``oplstm extend``: a sweep that does more than its job said when it was made, as if its job had always said so."""

from collections.abc import Callable
from dataclasses import replace

from jobs.operations.control import Means, go_on, known
from jobs.operations.requirements import disk_bytes
from jobs.operations.running import Outcome, owned
from jobs.operations.trust import check_space
from jobs.store.events import encode
from jobs.store.extended import Extended
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.sweep.messages import OnProgress
from jobs.sweep.rebuilding import has_more
from oplstm.errors import RequestError
from tracking.journal.journal import Journal


def extend(
    home: Home,
    name: str,
    *,
    trials: int,
    progress: OnProgress,
    means: Means,
    notice: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Let a sweep have more trials, and go on with it.

    The same again, after a kill, goes on with it and adds nothing.

    Args:
        home: Where it is.
        name: Of it.
        trials: In all.
        progress: Shows it.
        means: With what.
        notice: As of ``resume``.

    Raises:
        RequestError: It is running, has no more to try, is damaged, or asks for what nobody named.
        WorkError: It failed.
    """
    folder = home.sweep(name)
    with owned(folder):
        header, state = known(folder)
        if header.kind is not SweepKind.SWEEP:
            raise RequestError(f"{name} is a {header.kind} run, which has seeds and no trials; extend takes a sweep")
        if trials == header.job.trial_limit and not state.finished:
            return go_on(home, header, state, means=means, progress=progress, notice=notice)
        extension = Extended(trials=trials)
        check_space(header, state, trust=means.trust)
        _check_trials(folder, header, state, extension=extension)
        return _extended(home, header, state, extension, means=means, progress=progress, notice=notice)


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
        extension = Extended(trials=header.job.seeds + count)
        return _extended(home, header, state, extension, means=means, progress=progress, notice=lambda line: None)


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


def _extended(
    home: Home,
    header: Header,
    state: SweepState,
    extension: Extended,
    *,
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
