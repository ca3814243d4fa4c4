"""What a run costs beside others, from its configuration alone: to deal runs out, and to pick those that are measured.

A meta-update of a run in a pack takes T passes of one part that every run has and one that grows with its P parameters
and B tasks, and what every parameter costs once (its gradient, Adam). In packs of 8 on one core of a server, 5-shot
sine, a pass took .1 ms of the first, an update .1 ms for each 5,000 parameters. The part of the tasks depends on the
learner: .1 ms for 250,000 P x B where the weights are the same for all tasks (LSTM), for 10,000 where each task has its
own (MAML). One number between them serves both, since packs are of one learner and what is compared are its runs.
OP-LSTM's time is in the LSTMs of its nodes, of which parameters tell nothing: .1 ms for 1,300 units of all nodes and B.
``docs/benchmarks.md`` has the figures.
"""

import functools
from collections.abc import Sequence
from typing import Any

from oplstm.learners.registry import LEARNERS
from oplstm.learners.signature import signature
from oplstm.training.parameters import parameter_count
from oplstm.training.run import RunConfig
from oplstm.training.run_size import counted_parameters

TASK_PARAMETERS = 50_000
"""P x B that take as long as what every run has."""
TASK_UNITS = 1_300
"""Units of all nodes x B that do."""
PARAMETERS = 5_000
"""P that take as long, once an update."""
REPRESENTATIVES = 4


def update_cost(run: RunConfig) -> float:
    """The cost of one meta-update of a run, relative to others."""
    parameters = parameters_of(run)
    units = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape).node_units
    a_pass = 1 + run.meta_batch_size * (parameters / TASK_PARAMETERS + units / TASK_UNITS)
    return run.passes(training=True) * a_pass + parameters / PARAMETERS


def cost(run: RunConfig) -> float:
    """The cost of training a run to its end, relative to others; validation and test, which all have, left out."""
    return run.budget.update_count(run.meta_batch_size) * update_cost(run)


def parameters_of(run: RunConfig) -> int:
    """P of a run, counted once for all runs of its shapes."""
    counted = counted_parameters(run.learner, run.hyperparameters, run.benchmark)
    return counted if counted is not None else _initialised(_Shapes(run))


class _Shapes:
    """A run, equal to others of the same learner, static hyperparameters and shapes of tasks."""

    def __init__(self, run: RunConfig) -> None:
        self.run = run
        self._key: Any = (run.learner, signature(run.hyperparameters), run.benchmark.shape)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shapes) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@functools.lru_cache(maxsize=256)
def _initialised(shapes: _Shapes) -> int:
    return parameter_count(shapes.run)


def representatives(runs: Sequence[RunConfig]) -> tuple[RunConfig, ...]:
    """A few runs that stand for many in a measurement: of different cost an update, the heaviest first.

    The heaviest needs the most memory. The others make the most updates, and as many as those at one and two thirds:
    most of the time only runs of many and small updates are left of a pack. One where all are alike.

    Args:
        runs: At least one.
    """
    costs = [update_cost(run) for run in runs]
    updates = [run.budget.update_count(run.meta_batch_size) for run in runs]
    order = sorted(range(len(runs)), key=lambda place: (-updates[place], -costs[place], place))
    others = (order[part * len(runs) // (REPRESENTATIVES - 1)] for part in range(REPRESENTATIVES - 1))
    heaviest = max(range(len(runs)), key=lambda place: (costs[place], -place))
    distinct = {costs[place]: runs[place] for place in (*others, heaviest)}
    return tuple(distinct[each] for each in sorted(distinct, reverse=True))
