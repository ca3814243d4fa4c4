"""The plain LSTM and OP-LSTM one task, one example and one node at a time, written from the paper's equations.

Slow on purpose: ``torch.nn.LSTMCell`` on single vectors, Python loops, whole outer products. Where the paper leaves
something open or its published code differs, ``docs/equations.md`` says what is meant.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

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
    """What the plain LSTM knows after a pass: a state, and what stands beside the query's x."""

    state: State
    beside: Tensor


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
        told = {
            "previous_target": [y],
            "previous_target_prediction": [y, answer],
            "previous_target_error": [y, answer - y],
            "previous_target_prediction_error": [y, answer, answer - y],
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
        state, late = self.cells.start(), self.nothing(ys[0])
        for _ in range(self.config.passes):
            for x, y in zip(xs, ys, strict=True):
                if self.config.encoding == "current_target":
                    state = self.cells(torch.cat((x, y)), state)
                else:  # (x_1, null), (x_2, y_1), ..., (x_M, y_{M-1}) of Section 3.2
                    state = self.cells(torch.cat((x, late)), state)
                    late = self.told_later(y, state)
            yield Learned(self.for_query(state), late)  # null, or [x, y_M]

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
            yield Learned(self.for_query(pooled), self.nothing(ys[0]))

    def predict(self, learned: Learned, x: Tensor) -> Tensor:
        return self.read_out(self.cells(torch.cat((x, learned.beside)), learned.state)[-1][0])

    def gradients(self) -> dict[str, Tensor]:
        read_out = {"readout.weight": gradient(self.read_out.weight), "readout.bias": gradient(self.read_out.bias)}
        return self.cells.gradients() | read_out


class OuterProductLSTM:
    """Section 4 for one run; layers are numbered 1 ... L as in the paper."""

    def __init__(self, params: dict[str, Tensor], config: Any) -> None:
        self.config, self.L = config, sum(name.startswith("H.") for name in params)
        self.H0 = {n: params[f"H.{n - 1}"].clone().requires_grad_() for n in range(1, self.L + 1)}
        self.b0 = {n: params[f"b.{n - 1}"].clone().requires_grad_() for n in range(1, self.L + 1)}
        self.gamma = params["gamma"].clone().requires_grad_()
        output, body = Cells(params, "output"), Cells(params, "body")
        self.m = {n: output if n == self.L else body for n in range(1, self.L + 1)}

    def activations(self, H: dict[int, Tensor], b: dict[int, Tensor], x: Tensor) -> list[Tensor]:
        """Eq. 13."""
        a = [x]
        for n in range(1, self.L + 1):
            linear = H[n] @ a[n - 1] + b[n]
            a.append(linear if n == self.L else linear.clamp(min=0))
        return a

    def learn(self, xs: Tensor, ys: Tensor) -> Iterator[tuple[dict[int, Tensor], dict[int, Tensor]]]:
        """Algorithm 1."""
        H, b, M = dict(self.H0), dict(self.b0), len(xs)
        s = {(n, i, j): self.m[n].start() for n in H for i in range(M) for j in range(len(b[n]))}
        h = {(n, i): torch.zeros_like(b[n]) for n in H for i in range(M)}  # h_0
        for _ in range(self.config.passes):
            a = [self.activations(H, b, x) for x in xs]
            sent, h = h, {}
            for n in range(self.L, 0, -1):
                for i in range(M):
                    if n == self.L:
                        second = ys[i]
                    else:
                        second = H[n + 1].T @ (sent if self.config.message == "previous" else h)[n + 1, i]
                    nodes = []
                    for j in range(len(b[n])):
                        z = torch.stack((a[i][n][j], second[j]))  # Eq. 15
                        s[n, i, j] = self.m[n](z if self.config.second_order else z.detach(), s[n, i, j])  # Eq. 16
                        nodes.append(s[n, i, j][-1][0][0])
                    h[n, i] = torch.stack(nodes)
            if self.config.pool_states:  # Eq. 17
                pooled = {(n, j): average([s[n, i, j] for i in range(M)]) for n in H for j in range(len(b[n]))}
                s = {(n, i, j): pooled[n, j] for n, i, j in s}
            H, b = self.updated(H, b, a, h)
            yield H, b

    def updated(
        self, H: dict[int, Tensor], b: dict[int, Tensor], a: list[list[Tensor]], h: dict[tuple[int, int], Tensor]
    ) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
        """Eq. 14 and its variants."""
        M, one = len(a), torch.ones(1).double()
        means = {}
        for n in H:
            total = torch.zeros(H[n].shape[0], H[n].shape[1] + self.config.update_bias).double()
            for i in range(M):
                inwards = torch.cat((a[i][n - 1], one)) if self.config.update_bias else a[i][n - 1]
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
        for n, mean in means.items():
            if self.config.normalisation in ("layer", "all"):
                if squares[n] == 0:
                    continue
                mean = mean / squares[n].sqrt()
            step = self.gamma * mean
            H[n] = H[n] + step[:, : H[n].shape[1]]
            if self.config.update_bias:
                b[n] = b[n] + step[:, -1]
        return H, b

    def predict(self, learned: tuple[dict[int, Tensor], dict[int, Tensor]], x: Tensor) -> Tensor:
        return self.activations(*learned, x)[self.L]  # Eq. 12

    def gradients(self) -> dict[str, Tensor]:
        found = {f"H.{n - 1}": gradient(H) for n, H in self.H0.items()}
        found |= {f"b.{n - 1}": gradient(b) for n, b in self.b0.items()}
        found |= {"gamma": gradient(self.gamma)}
        return found | self.m[self.L].gradients() | self.m[1].gradients()


class Answer(NamedTuple):
    """Of one run: predictions after each pass ``(T, B, Q, d_y)`` and the gradient of the mean query loss."""

    predictions: Tensor
    gradients: dict[str, Tensor]


Pairs = tuple[Tensor, Tensor]  # inputs and targets of B tasks, (B, M, d_x) and (B, M, d_y)


def answer(method: PlainLSTM | OuterProductLSTM, support: Pairs, query: Pairs) -> Answer:
    """Learn B tasks, one after the other."""
    predictions, losses = [], []
    for xs, ys, query_xs, query_ys in zip(*support, *query, strict=True):
        passes = [torch.stack([method.predict(known, x) for x in query_xs]) for known in method.learn(xs, ys)]
        errors = [((pass_ - query_ys) ** 2).mean() for pass_ in passes]
        losses.append(sum(errors) / len(errors) if method.config.loss_on == "every" else errors[-1])
        predictions.append(torch.stack(passes))
    (sum(losses) / len(losses)).backward()
    return Answer(torch.stack(predictions, dim=1).detach(), method.gradients())
