"""Configurations of a user's that begin with the weights of another trial, and not with fresh ones.

The weights are copied when the request is taken up, so that whatever becomes of the other trial, and however often the
sweep is killed, this one begins with the same.
"""

from pathlib import Path

from jobs.store.home import SweepFolder
from jobs.store.requests import Add
from jobs.store.state import SweepState
from jobs.store.trial import Trial
from oplstm.errors import RequestError, WorkError
from oplstm.training.run import RunConfig
from oplstm.training.warm_start import Weights, misfit, of_checkpoint, of_model, save_start


def weights_to_begin_with(folder: SweepFolder, state: SweepState, request: Add, *, run: RunConfig) -> Weights:
    """The best weights by meta-validation, so far, of the trial that a request names.

    Args:
        folder: Of the sweep.
        state: Of the sweep.
        request: For a trial that begins with them.
        run: Of that trial.

    Raises:
        RequestError: There are none yet, they cannot be read, or their shapes are not those of ``run``.
    """
    like = state.by_name[str(request.like)]
    try:
        found = _weights_of(folder, like)
    except (WorkError, OSError) as error:
        raise RequestError(f"the weights of {like.name} cannot be read: {error}") from error
    if found is None or found.update < 1:
        raise RequestError(f"{like.name}, which is {like.state}, has no trained weights yet for --warm-start")
    if (problem := misfit(found, run)) is not None:
        raise RequestError(
            f"the weights of {like.name} do not fit this configuration: {problem}; "
            "--warm-start takes one of the same sizes"
        )
    return found


def _weights_of(folder: SweepFolder, trial: Trial) -> Weights | None:
    model = folder.trial(trial.name)
    if trial.state.ended:
        return of_model(model) if model.is_dir() else None
    return None if trial.pack is None else of_checkpoint(folder.pack(trial.pack), trial.name)


def keep_start(folder: Path, weights: Weights) -> None:
    """Keep the weights with which a trial begins; before it is asked for, so that it never lacks them.

    Raises:
        RequestError: They cannot be written.
    """
    try:
        save_start(folder, weights)
    except WorkError as error:
        raise RequestError(str(error)) from error
