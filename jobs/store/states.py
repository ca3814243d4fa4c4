"""The kinds of sweeps and the states of trials."""

from enum import StrEnum


class SweepKind(StrEnum):
    """What a sweep's folder holds."""

    SWEEP = "sweep"
    TRAIN = "train"
    FINAL = "final"


class TrialState(StrEnum):
    """Where a trial is: asked for (``waiting``), in a pack (``running``), at an end, or ``stopped``.

    ``stopped`` is not an end: resume makes it ``running`` again.
    """

    WAITING = "waiting"
    RUNNING = "running"
    STOPPED = "stopped"
    COMPLETE = "complete"
    PRUNED = "pruned"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen to the trial."""
        return self in ENDED


OUT = (TrialState.DIVERGED, TrialState.FAILED)
"""Ends whose weights are of no use, whatever their best validation."""
ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED, TrialState.FAILED)
