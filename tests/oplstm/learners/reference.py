"""The plain LSTM and OP-LSTM one task, one example and one node at a time, written from the paper's equations.

Slow on purpose: ``torch.nn.LSTMCell`` on single vectors, Python loops, whole outer products. Where the paper leaves
something open or its published code differs, ``docs/equations.md`` says what is meant.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from oplstm.episodes.task_shape import Loss

State = list[tuple[Tensor, Tensor]]  # [h, c] of each stacked cell, vectors


def regate(rows: Tensor) -> Tensor:
    """Our gate order (input, forget, output, candidate) to that of nn.LSTMCell (i, f, g, o); its own inverse."""
    i, f, third, fourth = rows.chunk(4)
    return torch.cat((i, f, fourth, third))


class Cells:
    """m_theta of Eq. 8: stacked cells with the weights of one run."""

    STORED = {"w_x": "weight_ih", "w_h": "weight_hh", "b_x": "bias_ih", "b_h": "bias_hh"}  # noqa: RUF012

    def __init__(self, params: dict[str, Tensor], prefix: str) -> None:
        self.prefix, self.cells = prefix, []
        while f"{prefix}.{len(self.cells)}.w_x" in params:
            name = f"{prefix}.{len(self.cells)}"
            gates, d_in = params[f"{name}.w_x"].shape
            cell = nn.LSTMCell(d_in, gates // 4, dtype=torch.float64)
            for ours, theirs in self.STORED.items():
                getattr(cell, theirs).data.copy_(regate(params[f"{name}.{ours}"]))
            self.cells.append(cell)

    def start(self) -> State:
        return [(torch.zeros(c.hidden_size).double(), torch.zeros(c.hidden_size).double()) for c in self.cells]

    def __call__(self, x: Tensor, before: State) -> State:
        after = []
        for cell, (h, c) in zip(self.cells, before, strict=True):
            h, c = cell(x, (h, c))
            after.append((h, c))
            x = h
        return after

    def gradients(self) -> dict[str, Tensor]:
        return {
            f"{self.prefix}.{number}.{ours}": regate(gradient(getattr(cell, theirs)))
            for number, cell in enumerate(self.cells)
            for ours, theirs in self.STORED.items()
        }


def gradient(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def average(states: list[State]) -> State:
    """1/M sum_i s_i, for the h and the c of every stacked cell."""
    total = states[0]
    for state in states[1:]:
        total = [(h + h_i, c + c_i) for (h, c), (h_i, c_i) in zip(total, state, strict=True)]
    return [(h / len(states), c / len(states)) for h, c in total]


class Learned(NamedTuple):
    """What the plain LSTM knows after a pass: a state, what stands beside the query's x, its support predictions."""

    state: State
    beside: Tensor
    support: Sequence[Tensor] = ()


class PlainLSTM:
    """Sections 3.2 and 3.4 for one run."""

    def __init__(self, params: dict[str, Tensor], config: Any) -> None:
        self.config = config
        self.cells = Cells(params, "cell")
        self.read_out = nn.Linear(*params["readout.weight"].T.shape, dtype=torch.float64)
        self.read_out.weight.data.copy_(params["readout.weight"])
        self.read_out.bias.data.copy_(params["readout.bias"])

    def told_later(self, y: Tensor, after: State) -> Tensor:
        """What a ``previous_*`` encoding tells of an example once the LSTM has answered."""
        answer = self.read_out(after[-1][0])
        error = answer - y if self.config.error == "difference" else (y - answer) ** 2
        told = {
            "previous_target": [y],
            "previous_target_prediction": [y, answer],
            "previous_target_error": [y, error],
            "previous_target_prediction_error": [y, answer, error],
        }
        return torch.cat(told[self.config.encoding])

    def nothing(self, y: Tensor) -> Tensor:
        channels = {"current_target": 1, "previous_target": 1, "previous_target_prediction_error": 3}
        return torch.zeros(channels.get(self.config.encoding, 2) * len(y)).double()

    def for_query(self, state: State) -> State:
        return state if self.config.query_cell == "carried" else [(h, torch.zeros_like(c)) for h, c in state]

    def learn(self, xs: Tensor, ys: Tensor) -> Iterator[Learned]:
        return self.learn_sequence(xs, ys) if self.config.support == "sequential" else self.learn_set(xs, ys)

    def learn_sequence(self, xs: Tensor, ys: Tensor) -> Iterator[Learned]:
        if self.config.chain == "closed" and self.config.encoding != "current_target":
            yield from self.learn_closed_chains(xs, ys)
            return
        state, late = self.cells.start(), self.nothing(ys[0])
        for _ in range(self.config.passes):
            for x, y in zip(xs, ys, strict=True):
                if self.config.encoding == "current_target":
                    state = self.cells(torch.cat((x, y)), state)
                else:  # (x_1, null), (x_2, y_1), ..., (x_M, y_{M-1}) of Section 3.2
                    state = self.cells(torch.cat((x, late)), state)
                    late = self.told_later(y, state)
            yield Learned(self.for_query(state), late)  # null, or [x, y_M]

    def learn_closed_chains(self, xs: Tensor, ys: Tensor) -> Iterator[Learned]:
        """The authors: (x_1, 0), (x_2, y_1), ..., (x_M, y_{M-1}), (x_1, y_M) in every pass, and (x, 0) for queries."""
        state, blank = self.cells.start(), self.nothing(ys[0])
        for _ in range(self.config.passes):
            beside = [blank]
            for number in range(len(xs) + 1):
                state = self.cells(torch.cat((xs[number % len(xs)], beside[number])), state)
                beside.append(self.told_later(ys[number % len(ys)], state))
            yield Learned(self.for_query(state), blank)

    def learn_set(self, xs: Tensor, ys: Tensor) -> Iterator[Learned]:
        conditions = [self.cells.start() for _ in xs]
        told = [self.nothing(y) for y in ys]
        for t in range(self.config.passes):
            if self.config.encoding == "current_target" and (t > 0 or self.config.first_pass_labels):
                told = list(ys)
            after = [self.cells(torch.cat(pair), s) for *pair, s in zip(xs, told, conditions, strict=True)]
            pooled = average(after)  # Eq. 10
            conditions = [
                [
                    (h_mean, c_mean if self.config.pool_cell else c_own)
                    for (h_mean, c_mean), (_, c_own) in zip(pooled, own, strict=True)
                ]
                for own in after
            ]
            if self.config.encoding != "current_target":
                told = [self.told_later(y, own) for y, own in zip(ys, after, strict=True)]
            answers = [self.read_out(own[-1][0]) for own in after]
            yield Learned(self.for_query(pooled), self.nothing(ys[0]), answers)

    def predict(self, learned: Learned, xs: Tensor) -> list[Tensor]:
        return [self.read_out(self.cells(torch.cat((x, learned.beside)), learned.state)[-1][0]) for x in xs]

    def gradients(self) -> dict[str, Tensor]:
        read_out = {"readout.weight": gradient(self.read_out.weight), "readout.bias": gradient(self.read_out.bias)}
        return self.cells.gradients() | read_out


class OuterProductLSTM:
    """Section 4 for one run; layers are numbered 1 ... L as in the paper.

    Batch norm needs all examples of a set, so a forward pass takes a set; ``classifies`` says what the outputs are.
    """

    classifies = False

    def __init__(self, params: dict[str, Tensor], config: Any) -> None:
        self.config, self.L = config, sum(name.startswith("H.") for name in params)
        self.H0 = {n: params[f"H.{n - 1}"].clone().requires_grad_() for n in range(1, self.L + 1)}
        self.b0 = {n: params[f"b.{n - 1}"].clone().requires_grad_() for n in range(1, self.L + 1)}
        self.gamma = params["gamma"].clone().requires_grad_()
        norms = [n for n in self.H0 if f"scale.{n - 1}" in params]
        self.scale = {n: params[f"scale.{n - 1}"].clone().requires_grad_() for n in norms}
        self.shift = {n: params[f"shift.{n - 1}"].clone().requires_grad_() for n in norms}
        output, body = Cells(params, "output"), Cells(params, "body")
        self.m = {n: output if n == self.L else body for n in range(1, self.L + 1)}

    def forward(self, H: dict[int, Tensor], b: dict[int, Tensor], xs: Tensor) -> tuple[list[Any], list[Any]]:
        """Eq. 13: the linear outputs l[n][i] of node layers n, and the activations a[n][i] with a[0] = xs."""
        linear: list[Any] = [None]
        a: list[Any] = [list(xs)]
        for n in range(1, self.L + 1):
            linear.append([H[n] @ a_i + b[n] for a_i in a[n - 1]])
            outwards = torch.stack(linear[n])
            if n in self.scale:
                outwards = nn.functional.batch_norm(outwards, None, None, self.scale[n], self.shift[n], training=True)
            a.append(list(outwards) if n == self.L else list(outwards.clamp(min=0)))
        return linear, a

    def seen(self, linear: list[Any], a: list[Any]) -> list[Any]:
        """What stands for a in Eqs. 14 and 15."""
        seen = list(a)
        if self.scale and self.config.normed_value == "linear":
            seen[1 : self.L] = linear[1 : self.L]
        if self.classifies and self.config.output_activation == "softmax":
            seen[self.L] = [torch.softmax(logits, 0) for logits in a[self.L]]
        return seen

    def rescaled(self, h: dict[tuple[int, int], Tensor], linear: list[Any]) -> dict[tuple[int, int], Tensor]:
        """The authors' messages of hidden nodes with batch norm."""
        if not (self.scale and self.config.rescaled_messages):
            return h
        h = dict(h)
        for n, scale in self.scale.items():
            mean = sum(linear[n]) / len(linear[n])
            spread = (sum((l_i - mean) ** 2 for l_i in linear[n]) + 1e-7) ** 0.5
            h |= {(n, i): h[n, i] * scale / spread for i in range(len(linear[n]))}
        return h

    def learn(self, xs: Tensor, ys: Tensor) -> Iterator[tuple[dict[int, Tensor], dict[int, Tensor]]]:
        """Algorithm 1."""
        H, b, M = dict(self.H0), dict(self.b0), len(xs)
        s = {(n, i, j): self.m[n].start() for n in H for i in range(M) for j in range(len(H[n]))}
        h = {(n, i): torch.zeros(len(H[n])).double() for n in H for i in range(M)}  # h_0
        for _ in range(self.config.passes):
            linear, a = self.forward(H, b, xs)
            a = self.seen(linear, a)
            sent, h = h, {}
            for n in range(self.L, 0, -1):
                for i in range(M):
                    if n == self.L:
                        second = ys[i]
                    else:
                        second = H[n + 1].T @ (sent if self.config.message == "previous" else h)[n + 1, i]
                    nodes = []
                    for j in range(len(H[n])):
                        z = torch.stack((a[n][i][j], second[j]))  # Eq. 15
                        s[n, i, j] = self.m[n](z if self.config.second_order else z.detach(), s[n, i, j])  # Eq. 16
                        nodes.append(s[n, i, j][-1][0][0])
                    h[n, i] = torch.stack(nodes)
            if self.config.pool_states:  # Eq. 17
                pooled = {(n, j): average([s[n, i, j] for i in range(M)]) for n in H for j in range(len(H[n]))}
                s = {(n, i, j): pooled[n, j] for n, i, j in s}
            H, b = self.updated(H, b, a, self.rescaled(h, linear))
            yield H, b

    def updated(
        self, H: dict[int, Tensor], b: dict[int, Tensor], a: list[Any], h: dict[tuple[int, int], Tensor]
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Eq. 14 and its variants."""
        M, one = len(a[0]), torch.ones(1).double()
        with_one = self.config.update_bias and self.config.bias_normalised
        means = {}
        for n in H:
            total = torch.zeros(H[n].shape[0], H[n].shape[1] + with_one).double()
            for i in range(M):
                inwards = torch.cat((a[n - 1][i], one)) if with_one else a[n - 1][i]
                product = torch.outer(h[n, i], inwards)
                if self.config.normalisation == "example":
                    if not product.any():
                        continue
                    product = product / (product**2).sum().sqrt()
                total = total + product
            means[n] = total / M
        squares = {n: (mean**2).sum() for n, mean in means.items()}
        if self.config.normalisation == "all":
            squares = dict.fromkeys(means, sum(squares.values()))
        H, b = dict(H), dict(b)
        if self.config.update_bias and not self.config.bias_normalised:
            b = {n: b[n] + self.gamma * sum(h[n, i] for i in range(M)) / M for n in H}
        for n, mean in means.items():
            if self.config.normalisation in ("layer", "all"):
                if squares[n] == 0:
                    continue
                mean = mean / squares[n].sqrt()
            step = self.gamma * mean
            H[n] = H[n] + step[:, : H[n].shape[1]]
            if with_one:
                b[n] = b[n] + step[:, -1]
        return H, b

    def predict(self, learned: tuple[dict[int, Tensor], dict[int, Tensor]], xs: Tensor) -> list[Tensor]:
        return list(self.forward(*learned, xs)[1][self.L])  # Eq. 12

    def gradients(self) -> dict[str, Tensor]:
        found = {f"H.{n - 1}": gradient(H) for n, H in self.H0.items()}
        found |= {f"b.{n - 1}": gradient(b) for n, b in self.b0.items()}
        found |= {"gamma": gradient(self.gamma)}
        found |= {f"scale.{n - 1}": gradient(scale) for n, scale in self.scale.items()}
        found |= {f"shift.{n - 1}": gradient(shift) for n, shift in self.shift.items()}
        return found | self.m[self.L].gradients() | self.m[1].gradients()


class ClassifyingOuterProductLSTM(OuterProductLSTM):
    """OP-LSTM whose outputs are logits."""

    classifies = True


class Answer(NamedTuple):
    """Of one run: predictions after each pass ``(T, B, Q, d_y)`` and the gradient of the mean query loss."""

    predictions: Tensor
    gradients: dict[str, Tensor]


Pairs = tuple[Tensor, Tensor]  # inputs and targets of B tasks, (B, M, d_x) and (B, M, d_y)


def query_loss(predicted: Tensor, wanted: Tensor, loss: Loss) -> Tensor:
    """The mean over queries of the squared error, or of the cross-entropy with one-hot targets."""
    if loss == "mse":
        return ((predicted - wanted) ** 2).mean()
    return nn.functional.cross_entropy(predicted, wanted.argmax(1))


def answer(method: Any, support: Pairs, query: Pairs, loss: Loss = "mse") -> Answer:
    """Learn B tasks, one after the other."""
    predictions, losses = [], []
    for xs, ys, query_xs, query_ys in zip(*support, *query, strict=True):
        known = list(method.learn(xs, ys))
        passes = [torch.stack(method.predict(each, query_xs)) for each in known]
        errors = [query_loss(predicted, query_ys, loss) for predicted in passes]
        losses.append(sum(errors) / len(errors) if method.config.loss_on == "every" else errors[-1])
        if method.config.loss_on == "last_and_support":
            losses[-1] = losses[-1] + sum(query_loss(torch.stack(each.support), ys, loss) for each in known)
        predictions.append(torch.stack(passes))
    (sum(losses) / len(losses)).backward()
    return Answer(torch.stack(predictions, dim=1).detach(), method.gradients())
