"""What the process of a pack and the one that started it say to each other, through a pipe."""

from dataclasses import dataclass
from typing import Any

from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.messages import Assignment


@dataclass(frozen=True)
class Order:
    """What the process is to do.

    Attributes:
        plugins: Of its sweep; first, because what follows may be made of them.
        assignment: The pack.
        folder: Of its sweep.
        resources: What it gets.
    """

    plugins: ShippedPlugins
    assignment: Assignment
    folder: SweepFolder
    resources: Resources


@dataclass(frozen=True)
class Call:
    """A method of the coordinator that is called; its ``Answer`` is waited for."""

    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What the method returned, or why it failed."""

    value: Any = None
    error: str | None = None


@dataclass(frozen=True)
class At:
    """An update that the pack has reached, for the progress bar; there is no answer."""

    update: int
