"""``oplstm doctor NAME``: whether a sweep's files are whole, and mending those that are not."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobs.operations.running import owned
from jobs.store.events import read_events
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from oplstm.errors import RequestError, WorkError
from tracking.journal.mending import mend, torn_end

WITH_MODEL: Final = (TrialState.COMPLETE, TrialState.PRUNED)


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
    """Whether a sweep's header, journal, study, models and checkpoints are whole; nothing is changed."""
    header = checked("header", lambda: f"sweep {Header.read(folder).id}")
    if not header.ok:
        journal = checked("journal", lambda: f"{sum(1 for _ in read_events(folder.journal))} events")
        return [header, journal]
    try:
        state = SweepState.of(folder, Header.read(folder))
    except (RequestError, WorkError, OSError) as error:
        return [header, Check("journal", ok=False, found=" ".join(str(error).split()))]
    return [
        header,
        checked("journal", lambda: _journal(folder, state)),
        checked("study", lambda: _study(folder, state)),
        checked("models", lambda: _models(folder, state)),
        checked("checkpoints", lambda: _checkpoints(folder, state)),
    ]


def repair(folder: SweepFolder) -> list[str]:
    """Mend what can be mended: the journal, and Optuna's study from it; returns what was done, one line each.

    Raises:
        RequestError: The sweep runs, or its header is damaged.
    """
    with owned(folder):
        header = Header.read(folder)
        done = mend(folder.journal) if folder.journal.exists() else []
        try:
            state = SweepState.of(folder, header)
        except WorkError:  # what is still wrong is said by the checks
            return done
        if not checked("study", lambda: _study(folder, state)).ok:
            done.append(f"{folder.study}: {_study_made_again(folder, header, state)}")
    return done


def _study_made_again(folder: SweepFolder, header: Header, state: SweepState) -> str:
    from jobs.operations.trust import check_space  # imports torch
    from jobs.sweep.rebuilding import make_study

    try:
        check_space(header, state, trust=False)
        make_study(folder, header)
    except (RequestError, WorkError) as error:
        return f"left as it is: {error}"
    return "made again from the journal"


def _journal(folder: SweepFolder, state: SweepState) -> str:
    if folder.journal.exists() and (torn := torn_end(folder.journal)) is not None:
        raise WorkError(f"{torn}; resume cuts it off, and so does --repair")
    return f"{len(state.trials)} trials, {state.ended} of them ended"


def _study(folder: SweepFolder, state: SweepState) -> str:
    """Optuna's own file has no checksums: it is seen that every line of it is one of Optuna's."""
    mend = "resume makes it again from the journal, and so does --repair"
    if not folder.study.exists():
        if not state.trials:
            return "not begun"
        raise WorkError(f"{folder.study} is missing; {mend}")
    number = 0
    with folder.study.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                whole = line.endswith(b"\n") and type(json.loads(line)["op_code"]) is int
            except (ValueError, KeyError, TypeError, RecursionError):
                whole = False
            if not whole:
                raise WorkError(f"{folder.study}, line {number}: it is none of Optuna's; {mend}")
    return f"{number} lines"


def _models(folder: SweepFolder, state: SweepState) -> str:
    """Those of trials that were trained to their end or to where they were pruned."""
    kept = [trial for trial in state.trials.values() if trial.pack is not None and trial.state in WITH_MODEL]
    _require(path for trial in kept for path in _files_of_model(folder, trial))
    return f"{len(kept)}, all there"


def _files_of_model(folder: SweepFolder, trial: Trial) -> list[Path]:
    tested = trial.state is TrialState.COMPLETE and trial.run["budget"].get("test_tasks") != 0
    names = ["model", "validation", *(["test"] if tested else [])]
    return [folder.trial(trial.name) / name for name in [*(f"{name}.safetensors" for name in names), "run.json"]]


def _checkpoints(folder: SweepFolder, state: SweepState) -> str:
    """Of packs that a resume goes on with; one that has none begins again, which is as it should be."""
    packs = state.unfinished_packs()
    places = {name: sorted(folder.pack(name).glob("update-*")) for name in packs}
    _require(
        place / name for found in places.values() for place in found for name in ("state.safetensors", "pack.json")
    )
    return f"of {sum(map(bool, places.values()))} of {len(packs)} packs that resume goes on with"


def _require(files: Iterable[Path]) -> None:
    problems = [problem for path in files if (problem := _problem_of(path)) is not None]
    if problems:
        raise WorkError("; ".join(problems[:3]) + (f"; {len(problems) - 3} more" if len(problems) > 3 else ""))


def _problem_of(path: Path) -> str | None:
    """What is wrong with a file of a model or a checkpoint: so far whether it is there is all that can be told."""
    return None if path.is_file() else f"{path} is missing"
