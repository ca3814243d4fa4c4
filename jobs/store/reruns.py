"""Training again what has failed: which trials, and the packs that they make."""

from collections.abc import Sequence
from pathlib import Path

from jobs.store.events import Rerun, encode
from jobs.store.names import pack_name
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from tracking.journal.journal import Journal


def failed(state: SweepState, *, diverged: bool = False) -> list[Trial]:
    """The trials whose work failed, and with ``diverged`` those that diverged; impossible points are none of them."""
    wanted = {TrialState.FAILED, *([TrialState.DIVERGED] if diverged else [])}
    return [trial for trial in state.trials.values() if trial.state in wanted and trial.pack is not None]


def train_again(journal: Path, state: SweepState, trials: Sequence[Trial]) -> None:
    """Write that trials of a sweep that has ended are trained again: those of a pack in a new one, and nobody else.

    Args:
        journal: Of the sweep, which nobody has open.
        state: What it says.
        trials: Of ``failed``.

    Raises:
        WorkError: The journal cannot be written.
    """
    of_packs: dict[str, list[str]] = {}
    for trial in trials:
        of_packs.setdefault(trial.pack or "", []).append(trial.name)
    events = [
        Rerun(pack=pack, into=pack_name(number), trials=tuple(names))
        for number, (pack, names) in enumerate(of_packs.items(), start=len(state.packs))
    ]
    with Journal(journal) as opened:
        opened.append([encode(event) for event in events])
