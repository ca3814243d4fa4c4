"""Beginning with the trained weights of another run, instead of fresh ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from oplstm.training.checkpoint import Checkpoint, checkpoints, read_weights, save_weights
from oplstm.training.pack import fresh_weights
from oplstm.training.parameters import Layout
from oplstm.training.run import RunConfig
from oplstm.training.sealed import Damaged


@dataclass(frozen=True)
class Weights:
    """Trained weights of a run.

    Attributes:
        run: It.
        update: That of them.
        params: They, by name.
    """

    run: RunConfig
    update: int
    params: Mapping[str, Tensor]


def of_model(folder: Path) -> Weights:
    """Those that ``save_model`` wrote.

    Raises:
        Damaged: A file of it is not as it was written.
        WorkError: There is no model, or it is of a later format version.
    """
    return Weights(*read_weights(folder))


def of_checkpoint(folder: Path, name: str) -> Weights | None:
    """The best weights, so far, of a run in the newest checkpoint of its pack that can be read.

    Args:
        folder: The checkpoints of the pack, which may be training: the oldest goes when a new one comes.
        name: Of the run.

    Returns:
        None if it is in none.
    """
    for path in checkpoints(folder):
        try:
            found = Checkpoint.read(path)
        except (Damaged, OSError):
            continue
        if name in found.runs:
            row, run = [*found.runs].index(name), found.runs[name]
            return Weights(run, int(found.state.best_update[row]), _layout(run).of_row(found.state.best_weights[row]))
    return None


def misfit(weights: Weights, run: RunConfig) -> str | None:
    """Why a run cannot begin with these weights; None if it can."""
    if run.learner != weights.run.learner:
        return f"they are those of {weights.run.learner}, and it is {run.learner}"
    wanted, found = _layout(run).shapes, {name: tuple(tensor.shape) for name, tensor in weights.params.items()}
    for name in dict.fromkeys([*wanted, *found]):
        if wanted.get(name) != found.get(name):
            return f"{name} is {_shape(found.get(name))} there and {_shape(wanted.get(name))} here"
    return None


def save_start(folder: Path, weights: Weights) -> None:
    """Keep the weights with which a run is to begin.

    Raises:
        WorkError: The disk is full or not writable.
    """
    save_weights(folder, weights.run, params=weights.params, best_update=weights.update)


def load_start(folder: Path, run: RunConfig) -> dict[str, Tensor]:
    """The weights that ``save_start`` kept, in the order in which the run has its own.

    Raises:
        Damaged: They are not as they were written.
        WorkError: They are gone, or of a later format version.
    """
    params = read_weights(folder)[2]
    return {name: params[name] for name in fresh_weights("", run)}


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape)) or "a number"


def _layout(run: RunConfig) -> Layout:
    return Layout(fresh_weights("", run))
