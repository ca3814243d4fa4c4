"""A sweep's Optuna study for those who want to work with it: a copy, so that the sweep's own stays as it is."""

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.study import Study

from jobs.operations.running import is_running
from jobs.operations.study_check import study_damage
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.study_file import StudyReader
from oplstm.errors import WorkError, one_line


def study_copy(folder: SweepFolder, storage: BaseStorage | None = None) -> Study:
    """A copy of a sweep's study, of the sweep's name.

    Its trials stand in the order of the sweep's. Among them, as ``FAIL`` without any value, is what the sampler drew
    although it had been tried, so a trial's number may be larger there; replicates are not among them.

    Args:
        folder: Of the sweep, training or final run, which may be running.
        storage: Optuna's, for the copy; None for memory.

    Raises:
        RequestError: Its files are of another version.
        WorkError: Its study is missing or damaged, or its journal is.
    """
    header = Header.read(folder)
    mend = f"oplstm doctor {folder.name} --repair makes it again from the journal"
    damage = None if is_running(folder) else study_damage(folder, SweepState.of(folder, header))
    if damage is not None:
        raise WorkError(f"{damage}; {mend}")
    where = InMemoryStorage() if storage is None else storage
    try:
        optuna.copy_study(
            from_study_name=header.name,
            from_storage=optuna.storages.JournalStorage(StudyReader(folder.study)),
            to_storage=where,
        )
    except (OSError, ValueError, KeyError, optuna.exceptions.OptunaError) as error:
        raise WorkError(f"{folder.study}: Optuna cannot read it: {one_line(error)}; {mend}") from error
    return optuna.load_study(study_name=header.name, storage=where)
