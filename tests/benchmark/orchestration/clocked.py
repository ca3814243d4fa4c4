"""A coordinator seen from outside: what its public methods take, and what of that is Optuna's."""

import functools
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import optuna
import ray

from jobs.execution import cluster
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.coordinator import Coordinator

THREADS = ("outbox", "journal-sync")


def timed(method: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """The method, which adds what each of its calls takes."""

    @functools.wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return method(*arguments, **named)
        finally:
            seconds.append(time.perf_counter() - began)

    return call


@functools.cache
def deciding() -> list[float]:
    """Seconds of every call, from now on in this process, that gives Optuna a value or asks it whether to prune."""
    seconds: list[float] = []
    for name in ("report", "should_prune"):
        setattr(optuna.Trial, name, timed(getattr(optuna.Trial, name), seconds))
    return seconds


class Observed(ABC):
    """A coordinator that is observed, wherever it is; used as it is itself."""

    @abstractmethod
    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the coordinator."""

    @abstractmethod
    def spent(self) -> dict[str, float]:
        """Seconds so far by method, ``deciding``, and processor seconds of the ``threads`` that ship and sync."""

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)
        return functools.partial(self.call, method)


class Clocked(Observed):
    """A coordinator in this process.

    Args:
        folder: Of the sweep.
        tracking_uri: As the coordinator takes it.

    Attributes:
        seconds: Of every call, by its method.
    """

    def __init__(self, folder: SweepFolder, tracking_uri: str | Callable[[], str]) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._coordinator = Coordinator(folder, tracking_uri)
        self._decided_before = len(deciding())

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """See ``Observed``."""
        began = time.perf_counter()
        try:
            return getattr(self._coordinator, method)(*arguments, **named)
        finally:
            self.seconds[method].append(time.perf_counter() - began)

    def spent(self) -> dict[str, float]:
        """See ``Observed``."""
        clocks = [time.pthread_getcpuclockid(t.ident) for t in threading.enumerate() if t.name in THREADS and t.ident]
        return {
            **{method: sum(each) for method, each in self.seconds.items()},
            "deciding": sum(deciding()[self._decided_before :]),
            "threads": sum(map(time.clock_gettime, clocks)),
        }


class Remote(Observed):
    """A clocked coordinator in a Ray actor."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """See ``Observed``; waits for the answer."""
        return ray.get(self._actor.call.remote(method, *arguments, **named))

    def spent(self) -> dict[str, float]:
        """See ``Observed``."""
        found: dict[str, float] = ray.get(self._actor.spent.remote())
        return found


@contextmanager
def remote(folder: SweepFolder, tracking_uri: str) -> Iterator[Remote]:
    """A coordinator in an actor of a local Ray, or of the one that this process is connected to."""
    with cluster.connected(None, Resources()):
        yield Remote(ray.remote(Clocked).options(num_cpus=0).remote(folder, tracking_uri))
