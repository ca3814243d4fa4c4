"""Picking in a sweep, without training replicates, registering or a final run."""

from jobs.operations.promote import Promotion
from jobs.promotion.selection import Choice
from jobs.store.home import Home, SweepFolder


def select(folder: SweepFolder) -> Choice:
    """What ``promote --dry-run`` would pick."""
    return Promotion.of(folder).choose(Home(folder.home))
