"""``oplstm doctor NAME``: whether a sweep's files are whole, and mending those that are not."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from jobs.operations.files_check import checkpoint_problems, checkpoints, model_problems, with_models
from jobs.operations.leftovers import end_problems, ends, request_problems
from jobs.operations.running import owned, require_original
from jobs.operations.starts_check import mend_starts, start_problems, warm_trials
from jobs.operations.study_check import study_problems
from jobs.store.events import read_events
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.requests import left
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, WorkError
from tracking.journal.mending import mend, torn_end

STUDY_MEND = "resume makes it again from the journal, and so does --repair"
REPORT_MEND = "--repair makes it again, and so does resume"
CHECKPOINT_MEND = "resume goes on from an older one or the beginning"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: What.
        ok: Whether it is as it should be.
        found: How it is, as one line.
    """

    check: str
    ok: bool
    found: str

    def line(self) -> str:
        """For a person."""
        return f"{'ok  ' if self.ok else 'LOOK'}  {self.check}: {self.found}"


def checked(name: str, look: Callable[[], str]) -> Check:
    """What ``look`` finds, or the error that it raises."""
    try:
        return Check(name, ok=True, found=look())
    except (RequestError, WorkError, OSError) as error:
        return Check(name, ok=False, found=" ".join(str(error).split()))


def check_sweep(folder: SweepFolder) -> list[Check]:
    """Whether a sweep's header, place, journal, plug-ins, study, report and what it has trained are as they should be.

    Nothing is changed. What is wrong is a check of its own, one line each.
    """
    header = checked("header", lambda: f"sweep {Header.read(folder).id}")
    if not header.ok:
        journal = checked("journal", lambda: f"{sum(1 for _ in read_events(folder.journal))} events")
        return [header, journal]
    place = checked("place", lambda: str(require_original(folder) and folder.path))
    try:
        what = Header.read(folder)
        state = SweepState.of(folder, what)
    except (RequestError, WorkError, OSError) as error:
        return [header, place, Check("journal", ok=False, found=" ".join(str(error).split()))]
    code = [checked("plug-ins", lambda: _plugins(what))] if what.plugins else []
    if not all(check.ok for check in code) and not _readable(state):
        return [header, place, checked("journal", lambda: _journal(folder, state)), *code]
    trials, kept = with_models(state), checkpoints(folder, state)
    models = (problem for trial in trials for problem in model_problems(folder.trial(trial.name), trial))
    damaged = (f"{problem}; {CHECKPOINT_MEND}" for path in kept for problem in checkpoint_problems(path, state))
    study = (f"{problem}; {STUDY_MEND}" for problem in study_problems(folder, what, state))
    return [
        header,
        place,
        checked("journal", lambda: _journal(folder, state)),
        *code,
        *_checks("study", study, f"as the journal has it, {len(state.trials)} trials"),
        *_checks("models", models, f"{len(trials)}, all as they were written"),
        *_checks(
            "checkpoints", damaged, f"{len(kept)} of {len(state.unfinished_packs())} packs that resume goes on with"
        ),
        *_checks("ends", end_problems(folder, state), f"{len(ends(folder, state))} from which trials can go on"),
        *_checks(
            "starts", start_problems(folder, state), f"{len(warm_trials(state))} trials begin with another's weights"
        ),
        *_checks("requests", request_problems(folder, state), f"{len(list(left(folder)))} that resume takes up"),
        checked("report", lambda: _report(folder, what, state)),
    ]


def _readable(state: SweepState) -> bool:
    """Whether runs can be read: not where plug-ins that they are made of cannot be had."""
    try:
        return all(trial.config is not None for trial in state.trials.values() if trial.run)
    except (RequestError, ValueError):
        return False


def _plugins(header: Header) -> str:
    from jobs.operations.trust import check_plugins  # imports torch

    check_plugins(header, trust=False)
    return f"{', '.join(source.path for source in header.plugins)}, as when it was made"


def _report(folder: SweepFolder, header: Header, state: SweepState) -> str:
    if header.kind is not SweepKind.SWEEP or not state.finished:
        return "not due"
    from jobs.operations.reporting.tracked import report_problem  # imports what draws

    if (problem := report_problem(folder, header)) is not None:
        raise WorkError(f"{problem}; {REPORT_MEND}")
    return "as it was made"


def _checks(name: str, problems: Iterable[str], fine: str) -> list[Check]:
    """A check for each problem, or the one that all is fine."""
    return [Check(name, ok=False, found=problem) for problem in problems] or [Check(name, ok=True, found=fine)]


def _journal(folder: SweepFolder, state: SweepState) -> str:
    if folder.journal.exists() and (torn := torn_end(folder.journal)) is not None:
        raise WorkError(f"{torn}; resume cuts it off, and so does --repair")
    return f"{len(state.trials)} trials, {state.ended} of them ended"


def repair(folder: SweepFolder) -> list[str]:
    """Mend what can be mended without MLflow: the journal, Optuna's study from it, and which checkpoints are read.

    Returns:
        What was done, one line each.

    Raises:
        RequestError: The sweep runs or is a copy, or its header is damaged.
    """
    with owned(folder, archived=True):
        header = Header.read(folder)
        done = mend(folder.journal) if folder.journal.exists() else []
        try:
            state = SweepState.of(folder, header)
        except WorkError:  # what is still wrong is said by the checks
            return done
        if next(study_problems(folder, header, state), None) is not None:
            done.append(f"{folder.study}: {_study_made_again(folder, header, state)}")
        kept = [*checkpoints(folder, state), *ends(folder, state)]
        done += [_set_aside(path) for path in kept if any(checkpoint_problems(path, state))]
    return done + mend_starts(folder, state)


def _study_made_again(folder: SweepFolder, header: Header, state: SweepState) -> str:
    from jobs.operations.trust import check_space  # imports torch
    from jobs.sweep.rebuilding import make_study

    try:
        check_space(header, state, trust=False)
        make_study(folder, header)
    except (RequestError, WorkError) as error:
        return f"left as it is: {error}"
    return "made again from the journal"


def _set_aside(path: Path) -> str:
    from oplstm.training.checkpoint import set_aside  # imports torch

    try:
        set_aside(path)
    except WorkError as error:
        return str(error)
    return f"{path}: renamed to damaged-{path.name}, so that it is not read"
