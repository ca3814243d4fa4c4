"""Training of plain LSTMs of different widths, depths, T, B, encodings and losses, side by side.

It makes the steps of ``oplstm.learners.lstm``, whose comments say what they are, for all runs at once. See
``oplstm.nets.side_by_side`` for how the runs lie: S of a layer counts hidden units x tasks of all runs that have it.
Runs make no more passes than those before them, so those that go on are the first, in every layer.
"""

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import Loss, TaskShape
from oplstm.learners.lstm_config import LSTMConfig, extra_channels
from oplstm.learners.side_by_side import Weights
from oplstm.nets.side_by_side import Anchor, Linear, Part, Projection, Rows, cell, read_out
from oplstm.shape import Shape
from oplstm.tensors import PerRun

Columns = Annotated[Tensor, Shape("d G M")]
"""Inputs or targets of all tasks, features first."""


@dataclass(frozen=True)
class _Run:
    """One run: its configuration, its linear maps, and which tasks are its own."""

    config: LSTMConfig
    tasks: int
    first: int
    extra: int
    of_x: Sequence[Linear]
    of_h: Sequence[Linear]
    out: Linear

    @property
    def depth(self) -> int:
        return len(self.config.widths)

    @property
    def predicted(self) -> range:
        """The passes after which its queries are predicted."""
        passes = self.config.passes
        return range(passes) if self.config.loss_on == "every" else range(passes - 1, passes)

    @property
    def is_told(self) -> bool:
        """Whether an example carries its own target."""
        return self.config.encoding == "current_target"

    def size(self, layer: int) -> int:
        """Its rows in the states of a layer."""
        return self.config.widths[layer] * self.tasks

    @property
    def own_tasks(self) -> range:
        return range(self.first, self.first + self.tasks)

    def of(self, columns: Columns) -> Annotated[Tensor, Shape("_ M")]:
        """Its tasks as rows."""
        return columns[:, self.first : self.first + self.tasks].reshape(-1, columns.shape[2])


class _Stack:
    """The stacked cells of some runs, each with so many tasks."""

    def __init__(self, runs: Sequence[_Run], tasks: Sequence[int]) -> None:
        self._runs, self._tasks = runs, tasks
        layers = range(max(run.depth for run in runs))
        self.members = [[row for row, run in enumerate(runs) if run.depth > layer] for layer in layers]
        inputs = [run.of_x[0].weight.shape[1] for run in runs]
        below = self._starts(range(len(runs)), inputs)
        self.starts: list[dict[int, int]] = []
        self.sizes: list[int] = []
        self._of_x, self._of_h = [], []
        for layer, members in enumerate(self.members):
            widths = [run.config.widths[layer] if run.depth > layer else 0 for run in runs]
            starts = self._starts(members, widths)
            self._of_x.append(Projection([Part(runs[row].of_x[layer], tasks[row], below[row]) for row in members]))
            self._of_h.append(Projection([Part(runs[row].of_h[layer], tasks[row], starts[row]) for row in members]))
            self.starts.append(starts)
            self.sizes.append(sum(widths[row] * tasks[row] for row in members))
            below = starts
        self.readers = functools.cache(self._readers)

    def _starts(self, rows: Iterable[int], widths: Sequence[int]) -> dict[int, int]:
        starts, start = {}, 0
        for row in rows:
            starts[row] = start
            start += widths[row] * self._tasks[row]
        return starts

    def projected(self, inputs: Rows, anchor: Anchor) -> Annotated[Tensor, Shape("4 S M")]:
        """What inputs add to the gates of the lowest layer."""
        return self._of_x[0](inputs, anchor)

    def step(
        self, of_x: Tensor, h: Sequence[Tensor], c: Sequence[Tensor | None], anchor: Anchor
    ) -> list[tuple[Tensor, Tensor]]:
        """The states of every layer after a step from h and c, whose first rows are those of these runs."""
        after: list[tuple[Tensor, Tensor]] = []
        for layer, size in enumerate(self.sizes):
            if layer > 0:
                of_x = self._of_x[layer](after[-1][0], anchor)
            before = c[layer]
            of_h = self._of_h[layer](_first(h[layer], size), anchor)
            after.append(cell(_first(of_x, size, axis=1), of_h, None if before is None else _first(before, size)))
        return after

    def read_out(self, after: Sequence[tuple[Tensor, Tensor]], rows: tuple[int, ...], anchor: Anchor) -> Tensor:
        """The predictions ``(tasks, M, d_y)`` of ``rows``, whose tasks follow on each other as ``order`` says."""
        return torch.cat([read_out(after[layer][0], parts, anchor) for layer, parts in self.readers(rows)[1]])

    def order(self, rows: tuple[int, ...]) -> list[int]:
        """In which order ``read_out`` has ``rows``."""
        return self.readers(rows)[0]

    def _readers(self, rows: tuple[int, ...]) -> tuple[list[int], list[tuple[int, list[Part]]]]:
        order: list[int] = []
        found = []
        for layer, starts in enumerate(self.starts):
            top = [row for row in rows if self._runs[row].depth == layer + 1]
            if top:
                order += top
                found.append((layer, [Part(self._runs[row].out, self._tasks[row], starts[row]) for row in top]))
        return order, found


@dataclass
class _Learned:
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


class SideBySideLSTM:
    """Losses and meta-gradients of runs that make no more passes than those before them.

    Args:
        configs: One a run. All are batched, or all sequential and alike in whether a pass ends with one more step.
        tasks: B of each run.
        shape: Of the tasks.
        params: Of each run; they are read anew in every call.
        grads: Of each run, where the gradients are added.
    """

    def __init__(
        self,
        configs: Sequence[LSTMConfig],
        tasks: Sequence[int],
        *,
        shape: TaskShape,
        params: Sequence[Weights],
        grads: Sequence[Weights],
    ) -> None:
        self._shape = shape
        firsts = itertools.accumulate(tasks, initial=0)
        self._runs = [
            _Run(config, count, first, extra_channels(config, shape), *_linears(config, own, own_grads))
            for config, count, first, own, own_grads in zip(configs, tasks, firsts, params, grads)  # noqa: B905
        ]
        self._biases = [
            (run.of_h[layer], *(named[f"cell.{layer}.{bias}"] for named in (own, own_grads) for bias in ("b_x", "b_h")))
            for run, own, own_grads in zip(self._runs, params, grads, strict=True)
            for layer in range(run.depth)
        ]
        self._is_constant = all(run.is_told for run in self._runs)
        self._stack = functools.cache(self._stack_of)
        device = self._runs[0].out.weight.device
        self._pools = [
            _Choice([run.config.pool_cell for run in own], [run.size(layer) for run in own], device)
            for layer, own in enumerate(self._layers())
        ]
        self._queries = _Queries(self._runs, self._stack(len(self._runs)), self._counts)

    def _layers(self) -> list[list[_Run]]:
        """The runs that have each layer."""
        return [[self._runs[row] for row in members] for members in self._stack(len(self._runs)).members]

    @property
    def _counts(self) -> list[int]:
        """How many runs make each pass."""
        most = self._runs[0].config.passes
        return [sum(run.config.passes > done for run in self._runs) for done in range(most)]

    def _stack_of(self, count: int) -> _Stack:
        return _Stack(self._runs[:count], [run.tasks for run in self._runs[:count]])

    def losses(self, batch: Annotated[Episode, Shape("G")]) -> PerRun:
        """The training loss of every run on its own tasks, which follow on each other; adds up the gradients."""
        for linear, b_x, b_h, _, _ in self._biases:
            torch.add(b_x, b_h, out=linear.bias)
            linear.bias_grad.zero_()  # type: ignore[union-attr]
        with torch.enable_grad():
            anchor = batch.support_y.new_zeros(1).requires_grad_()
            x, y = _columns(batch.support_x.flatten(2)), _columns(batch.support_y)
            learned = (self._batched if self._runs[0].config.support == "batched" else self._sequential)(x, y, anchor)
            found = self._queries.losses(learned, batch, loss=self._shape.loss, anchor=anchor)
            for row, losses in learned.losses.items():
                found[row] = found[row] + torch.stack(losses).sum()
            losses = torch.stack(found)
            torch.autograd.grad(losses.sum(), anchor, allow_unused=True)
        for linear, _, _, *grads in self._biases:
            for grad in grads:
                grad.add_(linear.bias_grad)  # type: ignore[arg-type]
        return losses.detach()

    def _start(self, x: Columns) -> tuple[list[Tensor], list[Tensor | None], _Learned]:
        sizes = self._stack(len(self._runs)).sizes
        learned = _Learned([[] for _ in sizes], [[] for _ in sizes])
        return [x.new_zeros(size, 1) for size in sizes], [None] * len(sizes), learned

    def _batched(self, x: Columns, y: Columns, anchor: Anchor) -> _Learned:
        """Eq. 10: every example steps from the shared state, the new states are averaged."""
        h, c, learned = self._start(x)
        own_x, own_y = [run.of(x) for run in self._runs], [run.of(y) for run in self._runs]
        fed = [
            labels if run.is_told and run.config.first_pass_labels else x.new_zeros(run.extra * run.tasks, x.shape[2])
            for run, labels in zip(self._runs, own_y, strict=True)
        ]
        of_x: Tensor | None = None
        for done, count in enumerate(self._counts):
            stack, going_on = self._stack(count), [*self._counts, 0][done + 1]
            if of_x is None:
                of_x = stack.projected(torch.cat([part for pair in zip(own_x[:count], fed) for part in pair]), anchor)  # noqa: B905
            after = stack.step(of_x, h, c, anchor)
            for layer, (own_h, own_c) in enumerate(after):
                h[layer], pooled = own_h.mean(1, keepdim=True), own_c.mean(1, keepdim=True)
                c[layer] = self._pools[layer](pooled, own_c)
                learned.h[layer].append(h[layer])
                learned.c[layer].append(pooled)
            self._add_support_losses(learned, stack, after, y, anchor)
            changed = self._feed_back(stack, after, y, rows=range(going_on), anchor=anchor)
            for row in range(going_on):
                if self._runs[row].is_told and fed[row] is not own_y[row]:
                    changed[row] = own_y[row]
            for row, rows in changed.items():
                fed[row] = rows
            of_x = None if changed else of_x
        return learned

    def _add_support_losses(
        self, learned: _Learned, stack: _Stack, after: Sequence[tuple[Tensor, Tensor]], y: Columns, anchor: Anchor
    ) -> None:
        """The losses of the support examples in this pass, of runs that train on them."""
        active = stack.members[0]
        wanted = tuple(row for row in active if self._runs[row].config.loss_on == "last_and_support")
        for row, prediction in self._predictions(stack, after, wanted, anchor).items():
            run = self._runs[row]
            target = y[:, run.first : run.first + run.tasks].permute(1, 2, 0)
            losses = task_losses(prediction[None], target[None], self._shape.loss)
            learned.losses.setdefault(row, []).append(losses.mean())

    def _predictions(
        self, stack: _Stack, after: Sequence[tuple[Tensor, Tensor]], rows: tuple[int, ...], anchor: Anchor
    ) -> dict[int, Tensor]:
        """What ``rows`` predict, ``(B, M, d_y)`` each."""
        if not rows:
            return {}
        order = stack.order(rows)
        parts = stack.read_out(after, rows, anchor).split([self._runs[row].tasks for row in order])
        return dict(zip(order, parts, strict=True))

    def _feed_back(
        self, stack: _Stack, after: Sequence[tuple[Tensor, Tensor]], y: Columns, *, rows: Iterable[int], anchor: Anchor
    ) -> dict[int, Tensor]:
        """The ``previous_*`` channels that follow from a step, of those of ``rows`` that have such."""
        late = [row for row in rows if not self._runs[row].is_told]
        predicting = tuple(row for row in late if self._runs[row].extra > self._shape.d_y)
        predictions = self._predictions(stack, after, predicting, anchor)
        found = {}
        for row in late:
            config, channels = self._runs[row].config, [self._runs[row].of(y)]
            if row in predictions:
                prediction = predictions[row].permute(2, 0, 1).flatten(0, 1)
                error = prediction - channels[0]
                channels += [prediction] if "prediction" in config.encoding else []
                error = error.square() if config.error == "squared" else error
                channels += [error] if "error" in config.encoding else []
            found[row] = torch.cat(channels)
        return found

    def _sequential(self, x: Columns, y: Columns, anchor: Anchor) -> _Learned:
        """Eq. 7 (Section 3.2): the examples are fed one after the other, T times, h and c carried throughout."""
        h, c, learned = self._start(x)
        own_x, own_y = [run.of(x) for run in self._runs], [run.of(y) for run in self._runs]
        zeros = {row: x.new_zeros(run.extra * run.tasks, 1) for row, run in enumerate(self._runs) if not run.is_told}
        late, examples = dict(zeros), x.shape[2]
        first = self._runs[0]
        closes = first.config.chain == "closed" and not first.is_told
        if self._is_constant:
            inputs = torch.cat([part for pair in zip(own_x, own_y, strict=True) for part in pair])
            constant = self._stack(len(self._runs)).projected(inputs, anchor)
        for count in self._counts:
            stack = self._stack(count)
            for m in range(examples + closes):
                place = m % examples  # a pass that closes ends with the first example again
                if self._is_constant:
                    of_x = constant[:, :, place : place + 1]
                else:
                    fed = [late[row] if row in late else own_y[row][:, place : place + 1] for row in range(count)]
                    parts = [part for row in range(count) for part in (own_x[row][:, place : place + 1], fed[row])]
                    of_x = stack.projected(torch.cat(parts), anchor)
                after = stack.step(of_x, h, c, anchor)
                for layer, states in enumerate(after):
                    h[layer], c[layer] = states
                if m < examples:
                    late |= self._feed_back(stack, after, y[:, :, m : m + 1], rows=range(count), anchor=anchor)
            if closes:
                late |= zeros
            for layer, (own_h, own_c) in enumerate(after):
                learned.h[layer].append(own_h)
                learned.c[layer].append(own_c)
            for row in range(count):
                if row in late:
                    learned.late.setdefault(row, []).append(late[row])
        return learned


class _Queries:
    """The step of the queries, after all passes at once: tasks of a run stand there once for every predicted pass."""

    def __init__(self, runs: Sequence[_Run], stack: _Stack, counts: Sequence[int]) -> None:
        self._runs = runs
        tasks = [len(run.predicted) * run.tasks for run in runs]
        self._stack, self._rows = _Stack(runs, tasks), tuple(range(len(runs)))
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
            own = [runs[row] for row in members]
            sizes = [len(run.predicted) * run.size(layer) for run in own]
            self._carried.append(_Choice([run.config.query_cell == "carried" for run in own], sizes, device))

    def losses(
        self, learned: _Learned, batch: Annotated[Episode, Shape("G")], *, loss: Loss, anchor: Anchor
    ) -> list[Annotated[Tensor, Shape("")]]:
        """The mean query loss of each run over its tasks and predicted passes."""
        found = [self._gathered(states, places) for states, places in zip(learned.c, self._places, strict=True)]
        h = [self._gathered(states, places) for states, places in zip(learned.h, self._places, strict=True)]
        c = [
            None if carried.is_never else carried(gathered, torch.zeros_like(gathered))
            for carried, gathered in zip(self._carried, found, strict=True)
        ]
        columns = _columns(batch.query_x.flatten(2))
        parts = [part for row in self._rows for part in self._inputs(row, columns, learned.late.get(row))]
        after = self._stack.step(self._stack.projected(torch.cat(parts), anchor), h, c, anchor)
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
    runs: Sequence[_Run], members: Sequence[int], *, layer: int, starts: Mapping[int, int], counts: Sequence[int]
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


def _first(states: Annotated[Tensor, Shape("...")], size: int, axis: int = 0) -> Annotated[Tensor, Shape("...")]:
    """The first rows; the tensor itself where that is all of it, which saves the derivative a copy."""
    return states if states.shape[axis] == size else states.narrow(axis, 0, size)


class _Choice:
    """Takes one tensor for the rows of some runs and another for those of the others.

    Args:
        truths: Which each run takes.
        sizes: Its rows.
        device: Of the tensors.
    """

    def __init__(self, truths: Sequence[bool], sizes: Sequence[int], device: torch.device) -> None:
        self.is_always, self.is_never = all(truths), not any(truths)
        self._mask = torch.tensor(truths).repeat_interleave(torch.tensor(sizes)).unsqueeze(1).to(device)

    def __call__(self, one: Rows, other: Rows) -> Rows:
        """``one`` where it is true, else ``other``, of the first runs."""
        if self.is_always or self.is_never:
            return one if self.is_always else other
        return torch.where(self._mask[: len(one)], one, other)


def _linears(config: LSTMConfig, own: Weights, grads: Weights) -> tuple[list[Linear], list[Linear], Linear]:
    """The linear maps of a run: of what is below each cell, of its hidden states, and the read-out."""
    names = [f"cell.{layer}" for layer in range(len(config.widths))]
    of_h = []
    for name in names:
        bias = torch.empty_like(own[f"{name}.b_x"])  # of both
        of_h.append(Linear(own[f"{name}.w_h"], grads[f"{name}.w_h"], bias, torch.empty_like(bias)))
    out = (of["readout." + part] for part in ("weight", "bias") for of in (own, grads))
    return [Linear(own[f"{name}.w_x"], grads[f"{name}.w_x"]) for name in names], of_h, Linear(*out)


def _columns(examples: Annotated[Tensor, Shape("G M d")]) -> Columns:
    """Features first."""
    return examples.permute(2, 0, 1)
