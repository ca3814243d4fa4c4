"""What to do where the files of a trial are damaged: MLflow has a copy."""

import contextlib
from collections.abc import Iterator

from safetensors import SafetensorError

from jobs.store.home import SweepFolder
from oplstm.errors import WorkError, one_line
from oplstm.training.sealed import Damaged


@contextlib.contextmanager
def readable(folder: SweepFolder, name: str, *, again: str) -> Iterator[None]:
    """Whatever is wrong with the files of a trial is one line that names the file, the trial and the mend.

    Args:
        folder: Of the sweep.
        name: Of the trial.
        again: What makes its like anew where MLflow has no copy.

    Raises:
        WorkError: A file was damaged.
    """
    try:
        yield
    except Damaged as error:
        raise WorkError(f"{error}; {_mend(folder, name, again)}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        problem = f"{folder.trial(name)} is damaged: {one_line(error)}"
        raise WorkError(f"{problem}; {_mend(folder, name, again)}") from error


def _mend(folder: SweepFolder, name: str, again: str) -> str:
    return (
        f"oplstm doctor {folder.name} --repair puts the files of {name} back from their copy in MLflow; "
        f"if that is lost too, {again}"
    )
