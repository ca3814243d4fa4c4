"""Training of plain LSTMs of different widths, depths, T, B, encodings and losses, side by side.

It makes the steps of ``oplstm.learners.lstm``, whose comments say what they are, for all runs at once. Runs make no
more passes than those before them, so those that go on are the first, in every layer.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import Annotated

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm_config import LSTMConfig, extra_channels
from oplstm.learners.side_by_side.program import Weights
from oplstm.learners.side_by_side.queries import Learned, Queries
from oplstm.learners.side_by_side.runs import Bias, Choice, Columns, Run, Stack, States, columns_of, linear_maps
from oplstm.nets.side_by_side import Anchor
from oplstm.shape import Shape
from oplstm.tensors import PerRun


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
        self._biases: list[Bias] = []
        self._runs: list[Run] = []
        for config, count, first, own, own_grads in zip(configs, tasks, firsts, params, grads, strict=False):
            of_x, biases, out = linear_maps(len(config.widths), own, own_grads)
            of_h = [bias.linear for bias in biases]
            self._runs.append(Run(config, count, first, extra_channels(config, shape), of_x, of_h, out))
            self._biases += biases
        self._is_constant = all(run.is_told for run in self._runs)
        self._stack = functools.cache(self._stack_of)
        device = self._runs[0].out.weight.device
        self._pools = [
            Choice([run.config.pool_cell for run in own], [run.size(layer) for run in own], device)
            for layer, own in enumerate(self._layers())
        ]
        self._queries = Queries(self._runs, self._stack(len(self._runs)), self._counts)

    def _layers(self) -> list[list[Run]]:
        """The runs that have each layer."""
        return [[self._runs[row] for row in members] for members in self._stack(len(self._runs)).members]

    @property
    def _counts(self) -> list[int]:
        """How many runs make each pass."""
        most = self._runs[0].config.passes
        return [sum(run.config.passes > done for run in self._runs) for done in range(most)]

    def _stack_of(self, count: int) -> Stack:
        return Stack(self._runs[:count], [run.tasks for run in self._runs[:count]])

    def losses(self, batch: Annotated[Episode, Shape("G")]) -> PerRun:
        """The training loss of every run on its own tasks, which follow on each other; adds up the gradients."""
        for bias in self._biases:
            bias.add_up()
        with torch.enable_grad():
            anchor = batch.support_y.new_zeros(1).requires_grad_()
            x, y = columns_of(batch.support_x.flatten(2)), columns_of(batch.support_y)
            learned = (self._batched if self._runs[0].config.support == "batched" else self._sequential)(x, y, anchor)
            found = self._queries.losses(learned, batch, loss=self._shape.loss, anchor=anchor)
            for row, of_passes in learned.losses.items():
                found[row] = found[row] + torch.stack(of_passes).sum()
            losses = torch.stack(found)
            torch.autograd.grad(losses.sum(), anchor, allow_unused=True)  # the weights' are added on the way
        for bias in self._biases:
            bias.hand_on()
        return losses.detach()

    def _start(self, x: Columns) -> tuple[list[Tensor], list[Tensor | None], Learned]:
        sizes = self._stack(len(self._runs)).sizes
        learned = Learned([[] for _ in sizes], [[] for _ in sizes])
        return [x.new_zeros(size, 1) for size in sizes], [None] * len(sizes), learned

    def _batched(self, x: Columns, y: Columns, anchor: Anchor) -> Learned:
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
            after = stack.step(of_x, h, c=c, anchor=anchor)
            for layer, (own_h, own_c) in enumerate(after):
                h[layer], pooled = own_h.mean(1, keepdim=True), own_c.mean(1, keepdim=True)
                c[layer] = self._pools[layer](pooled, own_c)
                learned.h[layer].append(h[layer])
                learned.c[layer].append(pooled)
            self._add_support_losses(learned, stack, after=after, y=y, anchor=anchor)
            changed = self._feed_back(stack, after, y, rows=range(going_on), anchor=anchor)
            for row in range(going_on):
                if self._runs[row].is_told and fed[row] is not own_y[row]:
                    changed[row] = own_y[row]
            for row, rows in changed.items():
                fed[row] = rows
            of_x = None if changed else of_x
        return learned

    def _add_support_losses(
        self, learned: Learned, stack: Stack, *, after: Sequence[States], y: Columns, anchor: Anchor
    ) -> None:
        """The losses of the support examples in this pass, of runs that train on them."""
        active = stack.members[0]
        wanted = tuple(row for row in active if self._runs[row].config.loss_on == "last_and_support")
        for row, prediction in self._predictions(stack, after, rows=wanted, anchor=anchor).items():
            run = self._runs[row]
            target = y[:, run.first : run.first + run.tasks].permute(1, 2, 0)
            losses = task_losses(prediction[None], target[None], self._shape.loss)
            learned.losses.setdefault(row, []).append(losses.mean())

    def _predictions(
        self, stack: Stack, after: Sequence[States], *, rows: tuple[int, ...], anchor: Anchor
    ) -> dict[int, Tensor]:
        """What ``rows`` predict, ``(B, M, d_y)`` each."""
        if not rows:
            return {}
        order = stack.order(rows)
        parts = stack.read_out(after, rows, anchor).split([self._runs[row].tasks for row in order])
        return dict(zip(order, parts, strict=True))

    def _feed_back(
        self, stack: Stack, after: Sequence[States], y: Columns, *, rows: Iterable[int], anchor: Anchor
    ) -> dict[int, Tensor]:
        """The ``previous_*`` channels that follow from a step, of those of ``rows`` that have such."""
        late = [row for row in rows if not self._runs[row].is_told]
        predicting = tuple(row for row in late if self._runs[row].extra > self._shape.d_y)
        predictions = self._predictions(stack, after, rows=predicting, anchor=anchor)
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

    def _sequential(self, x: Columns, y: Columns, anchor: Anchor) -> Learned:
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
                after = stack.step(of_x, h, c=c, anchor=anchor)
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
