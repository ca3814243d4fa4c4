"""What the pruner saw when it ended a trial: the rule, the trial's value, and what it was held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jobs.store.events import Event, Validated
from jobs.store.header import Header
from jobs.store.state import SweepState
from jobs.store.states import TrialState


@dataclass(frozen=True)
class Pruned:
    """A pruner's decision to end a trial.

    Attributes:
        rule: The pruner with its options.
        patience: Points without improvement that it waits for; None for none.
        update: The trial's meta-update.
        milestone: The same in the budget's unit, which the pruner counts in.
        unit: ``tasks`` or ``updates``.
        value: The trial's validation value there.
        best: Its best up to there.
        limit: What the rule holds one of the two against; None for rules of which only the place among others is told.
        limit_is: What that is.
        others: Other trials that had a value there by then.
        better: How many of them had a better one.
        best_of_others: The best of theirs; None where there are none.
    """

    rule: str
    patience: int | None
    update: int
    milestone: int
    unit: str
    value: float
    best: float
    limit: float | None
    limit_is: str
    others: int
    better: int
    best_of_others: float | None

    def words(self) -> str:
        """In a line."""
        patience = "" if self.patience is None else f" with patience {self.patience}"
        where = f"update {self.update}" + ("" if self.unit == "updates" else f" ({self.milestone} tasks)")
        told = f"was pruned at {where} by {self.rule}{patience}: its value there is {self.value:.4g}, its best "
        told += f"{self.best:.4g}"
        if self.limit is not None:
            told += f", and the limit is {self.limit:.4g}, {self.limit_is}"
        if self.best_of_others is None:
            return told
        place = f"{self.better} of {self.others} other trials that had come so far were better there"
        return f"{told}; {place}, the best with {self.best_of_others:.4g}"


@dataclass
class _Reported:
    """What the pruner was told of a trial: its values by milestone."""

    values: dict[int, float] = field(default_factory=dict)
    complete: bool = False


class PruneHistory:
    """Follows the events of a sweep up to the point at which a trial was pruned.

    Args:
        header: Of the sweep.
        name: Of the trial.

    Attributes:
        pruned: The decision, once it was taken.
    """

    def __init__(self, header: Header, name: str) -> None:
        self._job, self._measure, self._name = header.job, header.measure, name
        self._trials: dict[str, _Reported] = {}
        self.pruned: Pruned | None = None

    def take(self, event: Event, state: SweepState) -> None:
        """The next event, which the state has taken in."""
        if not isinstance(event, Validated) or state.by_name[event.trial].replicate:
            return
        value = event.metrics.get(f"val/{self._measure.name}", math.nan)
        if event.milestone and math.isfinite(value):
            self._trials.setdefault(event.trial, _Reported()).values[event.milestone] = value
            if event.trial == self._name and event.prune:
                self.pruned = self._decision(event, value, state)

    def _decision(self, event: Validated, value: float, state: SweepState) -> Pruned:
        budget, at = state.by_name[event.trial].run["budget"], event.milestone
        others = {
            name: told.values[at] for name, told in self._trials.items() if name != self._name and at in told.values
        }
        complete = [v for name, v in others.items() if state.by_name[name].state is TrialState.COMPLETE]
        cost = self._measure.cost
        limit, limit_is = self._limit(complete, value)
        return Pruned(
            rule=_rule(self._job.pruner.name or "no pruner", self._job.pruner.options),
            patience=self._job.pruner.patience,
            update=event.update,
            milestone=at,
            unit="tasks" if budget["tasks"] else "updates",
            value=value,
            best=min(self._trials[self._name].values.values(), key=cost),
            limit=limit,
            limit_is=limit_is,
            others=len(others),
            better=sum(cost(other) < cost(value) for other in others.values()),
            best_of_others=min(others.values(), key=cost, default=None),
        )

    def _limit(self, complete: Sequence[float], value: float) -> tuple[float | None, str]:
        """What the rule holds the trial against, as far as it is one number."""
        name, options = self._job.pruner.name, self._job.pruner.options
        if name in ("MedianPruner", "PercentilePruner") and complete:
            share = 50.0 if name == "MedianPruner" else float(options["percentile"])
            kept = 100 - share if self._measure.higher_is_better else share
            which = "the median" if name == "MedianPruner" else f"the best {share:g} % from the rest"
            of = f"{len(complete)} complete {'trial' if len(complete) == 1 else 'trials'} there"
            told = f"which is the median of {of}" if share == 50.0 else f"which parts {which} of {of}"
            return float(np.percentile(complete, kept)), told
        if name == "ThresholdPruner":
            lower, upper = options.get("lower"), options.get("upper")
            if upper is not None and value > upper:
                return float(upper), "its upper threshold"
            if lower is not None and value < lower:
                return float(lower), "its lower threshold"
        return None, ""


def _rule(name: str, options: dict[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"
