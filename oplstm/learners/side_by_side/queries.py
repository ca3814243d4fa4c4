"""The queries of LSTMs of different shapes, after all passes at once."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import Loss
from oplstm.learners.side_by_side.runs import Choice, Columns, Run, Stack, columns_of
from oplstm.nets.side_by_side import Anchor, Rows
from oplstm.shape import Shape


@dataclass
class Learned:
    """What the support sets left behind: states after every pass, a list a layer, and what queries are fed.

    Attributes:
        h: Hidden states.
        c: Cell states.
        late: The channels beside x after every pass, by run; of runs that have others than zeros.
        losses: Of the support examples of runs that train on them, by run and pass.
    """

    h: list[list[Tensor]]
    c: list[list[Tensor]]
    late: dict[int, list[Tensor]] = field(default_factory=dict)
    losses: dict[int, list[Tensor]] = field(default_factory=dict)


class Queries:
    """The step of the queries, after all passes at once: tasks of a run stand there once for every predicted pass.

    Args:
        runs: The runs.
        stack: Theirs in the last pass of the first.
        counts: How many of them make each pass.
    """

    def __init__(self, runs: Sequence[Run], stack: Stack, counts: Sequence[int]) -> None:
        self._runs = runs
        tasks = [len(run.predicted) * run.tasks for run in runs]
        self._stack, self._rows = Stack(runs, tasks), tuple(range(len(runs)))
        device = runs[0].out.weight.device
        self._places = [
            torch.tensor(_places(runs, members, layer=layer, starts=stack.starts[layer], counts=counts), device=device)
            for layer, members in enumerate(stack.members)
        ]
        self._order = self._stack.order(self._rows)
        self._sizes = [tasks[row] for row in self._order]
        own = [task for row in self._order for _ in runs[row].predicted for task in runs[row].own_tasks]
        self._tasks = torch.tensor(own, device=device)
        self._carried = []
        for layer, members in enumerate(stack.members):
            having = [runs[row] for row in members]
            sizes = [len(run.predicted) * run.size(layer) for run in having]
            self._carried.append(Choice([run.config.query_cell == "carried" for run in having], sizes, device))

    def losses(
        self, learned: Learned, batch: Annotated[Episode, Shape("G")], *, loss: Loss, anchor: Anchor
    ) -> list[Annotated[Tensor, Shape("")]]:
        """The mean query loss of each run over its tasks and predicted passes."""
        found = [self._gathered(states, places) for states, places in zip(learned.c, self._places, strict=True)]
        h = [self._gathered(states, places) for states, places in zip(learned.h, self._places, strict=True)]
        c = [
            None if carried.is_never else carried(gathered, torch.zeros_like(gathered))
            for carried, gathered in zip(self._carried, found, strict=True)
        ]
        columns = columns_of(batch.query_x.flatten(2))
        parts = [part for row in self._rows for part in self._inputs(row, columns, learned.late.get(row))]
        after = self._stack.step(self._stack.projected(torch.cat(parts), anchor), h, c=c, anchor=anchor)
        prediction = self._stack.read_out(after, self._rows, anchor)
        target = batch.query_y.index_select(0, self._tasks)
        found = task_losses(prediction[None], target[None], loss)[0].split(self._sizes)
        by_row = dict(zip(self._order, found, strict=True))
        return [by_row[row].mean() for row in self._rows]

    @staticmethod
    def _gathered(states: Sequence[Tensor], places: Tensor) -> Rows:
        return torch.cat(list(states)).index_select(0, places)

    def _inputs(self, row: int, columns: Columns, late: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
        """Of a run: its queries, and what they are fed beside x, for every predicted pass."""
        run, queries = self._runs[row], columns.shape[2]
        shape = (len(run.predicted), run.tasks, queries)
        x = run.of(columns).view(-1, 1, *shape[1:]).expand(-1, *shape)
        if late is None:
            return x.reshape(-1, queries), columns.new_zeros(run.extra * shape[0] * shape[1], queries)
        fed = torch.stack([late[done].view(-1, run.tasks) for done in run.predicted], dim=1)
        return x.reshape(-1, queries), fed.unsqueeze(3).expand(-1, *shape).reshape(-1, queries)


def _places(
    runs: Sequence[Run], members: Sequence[int], *, layer: int, starts: Mapping[int, int], counts: Sequence[int]
) -> list[int]:
    """Where the states that the queries of ``members`` start from lie among those of all passes, one after another."""
    found: list[int] = []
    sizes = (sum(runs[row].size(layer) for row in members if row < count) for count in counts)
    of_passes = [*itertools.accumulate(sizes, initial=0)]
    for row in members:
        for unit in range(runs[row].config.widths[layer]):
            for done in runs[row].predicted:
                first = of_passes[done] + starts[row] + unit * runs[row].tasks
                found += range(first, first + runs[row].tasks)
    return found
