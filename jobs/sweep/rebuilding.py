"""Putting a sweep's study and state where its journal left them, so that a resume repeats its decisions."""

import gc
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.store.events import Asked, Ended, Refused, Rerun, Validated, read_events
from jobs.store.extended import Extended
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.live import TakenOut
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import Trial
from jobs.sweep.proposals import Impossible, Proposals
from oplstm.durable import draft_beside
from oplstm.errors import RequestError, WorkError, one_line


def rebuild(
    folder: SweepFolder,
    header: Header,
    *,
    state: SweepState,
    proposals: Proposals,
) -> int:
    """Replay a journal.

    Args:
        folder: Of the sweep.
        header: Of the sweep.
        state: Fresh; takes every event.
        proposals: Fresh; takes every trial, point and end.

    Returns:
        How many of the last points were impossible.

    Raises:
        RequestError: The space is not the one with which the sweep was made.
        WorkError: The journal is damaged.
    """
    with _nothing_is_garbage():
        refused = _replayed(folder, header, state=state, proposals=proposals)
        proposals.settle()
    _check_runs(folder, state)
    return refused


@contextmanager
def _nothing_is_garbage() -> Iterator[None]:
    """All that is read of a journal is kept; to look for garbage in it again and again takes a fifth of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _replayed(folder: SweepFolder, header: Header, *, state: SweepState, proposals: Proposals) -> int:
    refused, reruns = 0, _reruns(folder)
    for event in (read.event for read in state.replay(folder.journal)):
        match event:
            case Asked():
                _ask_again(header, trial=state.trials[event.trial], event=event, proposals=proposals)
                refused = 0
            case Refused():
                if not isinstance(proposals.replay(event.params, event.draws), Impossible):
                    # the user has mended the space since: what was failed once remains it
                    proposals.tell(event.trial, event.state, header.measure.worst)
                refused += 1
            case Validated() if not state.by_name[event.trial].replicate:
                value = event.metrics.get(f"val/{header.measure.name}", math.nan)
                trial = state.by_name[event.trial]
                proposals.decide(trial.number, value, event.milestone, total=trial.total)
            case Ended(state=end, trial=name) if end.ended and not (reruns[name] or state.by_name[name].replicate):
                best = event.metrics.get("val/best", header.measure.worst)
                proposals.tell(state.by_name[event.trial].number, end, best)
            case TakenOut(waits=True):
                proposals.tell(state.by_name[event.trial].number, TrialState.PRUNED, header.measure.worst)
            case Rerun():
                reruns.subtract(event.trials)
            case Extended():
                reruns.subtract(event.goes_on)
    return refused


def _reruns(folder: SweepFolder) -> Counter[str]:
    """How often each trial was trained again, or on: to Optuna it ends once, with the last of its ends."""
    written = folder.journal.read_bytes()
    if not any(b'"event":"%b"' % name in written for name in (b"rerun", b"extended")):
        return Counter()  # the rule, and to read the events twice takes time
    events = [read.event for read in read_events(folder.journal)]
    again = [event.trials for event in events if isinstance(event, Rerun)]
    again += [event.goes_on for event in events if isinstance(event, Extended)]
    return Counter(name for names in again for name in names)


def make_study(folder: SweepFolder, header: Header) -> None:
    """Make Optuna's study in its file anew, as the journal has it.

    Raises:
        RequestError: The space is not the one with which the sweep was made.
        WorkError: The journal is damaged.
    """
    draft = draft_beside(folder.study)
    try:
        proposals = Proposals(header.job, draft, name=header.name, final=header.kind is SweepKind.FINAL)
        rebuild(folder, header, state=SweepState(header.measure), proposals=proposals)
        draft.replace(folder.study)
    finally:
        draft.unlink(missing_ok=True)


def has_more(folder: SweepFolder, header: Header) -> bool:
    """Whether there is anything to try beside the trials in a sweep's journal, by the job in ``header``.

    Raises:
        RequestError: The space is not the one with which the sweep was made.
        WorkError: The journal is damaged.
    """
    proposals = Proposals(header.job, name=header.name, final=header.kind is SweepKind.FINAL)
    rebuild(folder, header, state=SweepState(header.measure), proposals=proposals)
    return proposals.ask() is not None


def _ask_again(header: Header, *, trial: Trial, event: Asked, proposals: Proposals) -> None:
    again = (
        proposals.replay(event.params, event.draws)
        if event.added is None
        else proposals.add(event.params, warm=trial.is_warm)
    )
    if isinstance(again, Impossible):
        raise RequestError(
            f"space {header.job.space} no longer gives {trial.name} {str(event.params)[:200]}: {again.reason}; "
            f"{header.name} can go on only with the space that it was made with"
        )


def _check_runs(folder: SweepFolder, state: SweepState) -> None:
    """See that what is still to be trained can be, and with it all that shared a pack."""
    packs = state.unfinished_packs().values()
    of_packs = {trial.name: trial for pack in packs for trial in pack.trials}
    for trial in [trial for trial in state.by_name.values() if trial.name in of_packs or not trial.state.ended]:
        try:
            _ = trial.config
        except ValueError as error:
            raise WorkError(f"{folder.journal} is damaged: {trial.name}: {one_line(error)}") from error
