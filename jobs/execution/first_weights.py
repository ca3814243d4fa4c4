"""What the runs of a pack begin with."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from jobs.store.home import SweepFolder
from jobs.sweep.messages import NamedRun
from oplstm.training.pack import fresh_weights
from oplstm.training.run import RunConfig
from oplstm.training.warm_start import load_start


class FirstWeights:
    """Fresh weights, or for trials that a user wants to begin with those of another, these.

    Args:
        folder: Of the sweep.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._warm: set[str] = set()

    def know(self, runs: Iterable[NamedRun]) -> None:
        """These are in the pack, or come into it."""
        self._warm.update(one.name for one in runs if one.is_warm)

    def __call__(self, name: str, run: RunConfig) -> Mapping[str, Tensor]:
        """See ``oplstm.training.pack.Initial``.

        Raises:
            Damaged: The weights of another are not as they were written.
            WorkError: They are gone.
        """
        return load_start(self._folder.start(name), run) if name in self._warm else fresh_weights(name, run)
