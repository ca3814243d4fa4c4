"""The weights with which trials of a sweep begin that do not begin with fresh ones: ``doctor`` looks, and mends."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.operations.files_check import model_problems
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.trial import Trial
from oplstm.errors import WorkError, message, one_line

if TYPE_CHECKING:
    from oplstm.training.warm_start import Weights


def warm_trials(state: SweepState) -> list[Trial]:
    """Those that may still begin with another's weights: they have not ended, or what shares their pack has not."""
    of_packs = {trial.name for pack in state.unfinished_packs().values() for trial in pack.trials}
    warm = (trial for trial in state.trials.values() if trial.is_warm)
    return [trial for trial in warm if not trial.state.ended or trial.name in of_packs]


def start_problems(folder: SweepFolder, state: SweepState) -> Iterator[str]:
    """What is wrong with what these trials begin with, one line each."""
    for trial in warm_trials(state):
        if (problem := _problem(folder.start(trial.name), trial)) is not None:
            yield f"{problem}; {trial.name} begins with {trial.began_with}: --repair puts them back from there"


def mend_starts(folder: SweepFolder, state: SweepState) -> list[str]:
    """Put back what trials begin with, where the trial that it came from still has it; returns what was done."""
    from oplstm.training.warm_start import save_start  # imports torch

    done = []
    for trial in warm_trials(state):
        place = folder.start(trial.name)
        if trial.added is None or _problem(place, trial) is None:
            continue
        like = state.by_name[str(trial.added.like)]
        found = _weights_of(folder, like, trial.added.from_update or 0)
        if found is None:
            done.append(f"{place}: left as it is, for {trial.began_with} are no more, whole, in {folder.path}")
            continue
        try:
            save_start(place, found)
        except WorkError as error:
            done.append(f"{place}: left as it is: {one_line(error)}")
        else:
            done.append(f"{place}: put back from {like.name}")
    return done


def _problem(place: Path, trial: Trial) -> str | None:
    from oplstm.training.warm_start import misfit, of_model  # imports torch

    try:
        found = of_model(place)
        problem = misfit(found, trial.config)
    except (WorkError, OSError) as error:
        return message(error)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # it has a digest, and is none of ours
        return f"{place} is damaged: {one_line(error)}"
    if problem is not None:
        return f"{place} does not fit: {problem}"
    wanted = trial.added.from_update if trial.added else None
    return None if found.update == wanted else f"{place} is of update {found.update} and not of {wanted}"


def _weights_of(folder: SweepFolder, like: Trial, update: int) -> "Weights | None":
    """The weights of a trial at an update, from its model or from a checkpoint of its pack."""
    from oplstm.training.warm_start import of_checkpoint, of_model  # imports torch

    model = folder.trial(like.name)
    if like.state.ended:
        found = None if any(model_problems(model, like)) else of_model(model)
    else:
        found = None if like.pack is None else of_checkpoint(folder.pack(like.pack), like.name)
    return found if found is not None and found.update == update else None
