"""A sweep's study as one of Optuna's storages: its trials with their numbers, without what was drawn in vain."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.operations.running import is_running
from jobs.operations.study_check import next_of, study_damage
from jobs.store.events import Asked, Ended, Refused, read_events
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.names import trial_name
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.study_file import stored_study
from oplstm.errors import WorkError, one_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


def write_journal(folder: SweepFolder, header: Header, path: Path) -> None:
    """Write the study as a journal that Optuna's ``JournalFileBackend`` opens.

    Raises:
        WorkError: The sweep's own is damaged.
    """
    from jobs.store.study_file import StudyFile, StudyStorage

    _fill(StudyStorage(StudyFile(path)), folder, header)


def write_sqlite(folder: SweepFolder, header: Header, path: Path) -> None:
    """Write the study as an SQLite database of Optuna's; raises what ``write_journal`` does."""
    from optuna.storages import RDBStorage

    storage = RDBStorage(f"sqlite:///{path.absolute()}")
    try:
        _fill(storage, folder, header)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _fill(storage: "BaseStorage", folder: SweepFolder, header: Header) -> None:
    import optuna

    trials = list(_trials(folder, header))
    study = optuna.create_study(study_name=header.name, storage=storage, direction=header.measure.direction)
    study.set_user_attr("oplstm.experiment", header.experiment)
    study.set_user_attr("oplstm.measure", f"val/{header.measure.name}")
    study.add_trials(trials)


def _trials(folder: SweepFolder, header: Header) -> "Iterator[FrozenTrial]":
    """Optuna's trials of the sweep's, with the times of the journal: a resume makes the study anew."""
    state = SweepState.of(folder, header)
    if not is_running(folder) and (damage := study_damage(folder, state)) is not None:
        raise WorkError(f"{damage}; oplstm doctor {folder.name} --repair makes it again")
    try:
        rest = iter(stored_study(folder.study, folder.name).trials if folder.study.exists() else [])
    except Exception as error:  # whatever Optuna finds impossible in its own file
        mend = f"oplstm doctor {folder.name} --repair makes it again"
        raise WorkError(f"{folder.study}: Optuna cannot read it: {one_line(error)}; {mend}") from error
    begun, ended = _times(folder)
    for trial in state.trials.values():
        vain = trial.state is TrialState.FAILED or (trial.is_warm and trial.state.ended)
        if (found := next_of(rest, trial.params, job=header.job, may_be_vain=vain)) is None:
            return  # a running sweep has not told Optuna yet
        found.datetime_start = begun.get(trial.name, found.datetime_start)
        if found.state.is_finished():
            found.datetime_complete = ended.get(trial.name, begun.get(trial.name, found.datetime_complete))
        found.user_attrs = {"oplstm.trial": trial.name, "oplstm.state": str(trial.state)}
        found.user_attrs |= {"oplstm.note": trial.note} if trial.note else {}
        yield found


def _times(folder: SweepFolder) -> tuple[dict[str, datetime], dict[str, datetime]]:
    """When each trial was asked for, and when it ended, as Optuna has times: of here, without a zone."""
    begun, ended = {}, {}
    for read in read_events(folder.journal):
        at = datetime.fromtimestamp(read.time)
        match read.event:
            case Asked(trial=number) | Refused(trial=number):
                begun[trial_name(number)] = at
            case Ended(trial=name):
                ended[name] = at
            case _:
                pass
    return begun, ended
