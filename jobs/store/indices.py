"""What is asked of a sweep's state at every call, kept so that no answer looks at all trials."""

import heapq
from collections.abc import Hashable, Iterable, Mapping

from jobs.store.events import Ended
from jobs.store.states import OUT
from jobs.store.trial import Trial


class Waiting:
    """Trials that are in no pack yet.

    Attributes:
        trials: By name, in the order in which they were asked for.
    """

    def __init__(self) -> None:
        self.trials: dict[str, Trial] = {}
        self._alike: dict[Hashable, dict[str, Trial]] = {}
        self._ungrouped: list[Trial] = []

    def add(self, trial: Trial) -> None:
        """A trial waits."""
        self.trials[trial.name] = trial
        self._ungrouped.append(trial)

    def take(self, trial: Trial) -> None:
        """A trial waits no longer, if it did."""
        if self.trials.pop(trial.name, None) is not None and self._alike:
            self._alike.get(trial.signature, {}).pop(trial.name, None)

    def like(self, signature: Hashable) -> Mapping[str, Trial]:
        """Those of one signature. Signatures are made here and not before, because they import torch."""
        for trial in self._ungrouped:
            if trial.name in self.trials:
                self._alike.setdefault(trial.signature, {})[trial.name] = trial
        self._ungrouped.clear()
        return self._alike.get(signature, {})


class Ranking:
    """Trials by their best validation so far; replicates, and what began with another's weights, have no rank."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Trial]] = []

    def add(self, trial: Trial) -> None:
        """A trial has a value, or a better one."""
        if trial.best is not None and not trial.replicate and not trial.is_warm:
            heapq.heappush(self._heap, (trial.cost, trial.number, trial))

    def leader(self) -> Trial | None:
        """The trial with the best validation so far."""
        while self._heap:
            cost, _, trial = self._heap[0]
            if trial.cost == cost and trial.state not in OUT:
                return trial
            heapq.heappop(self._heap)  # it is no longer so good, or out
        return None


def leader_after(event: Ended, leader: Trial | None, trials: Iterable[Trial]) -> Trial | None:
    """The leader once an end has been applied, which may take it out of the running.

    Args:
        event: The end.
        leader: Before it.
        trials: All.
    """
    if leader is None or leader.name != event.trial or event.state not in OUT:
        return leader
    others = (trial for trial in trials if not (trial is leader or trial.state in OUT or trial.is_warm))
    return min((trial for trial in others if trial.best is not None), key=lambda trial: trial.cost, default=None)
