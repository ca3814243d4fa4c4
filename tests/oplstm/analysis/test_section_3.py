"""Section 3: what a single recurrent layer with a linear read-out can learn in its state.

"We prove that a single-layer RNN followed by a linear layer is incapable of embedding a classification learning
algorithm in its recurrent dynamics and show by example that an LSTM adding a single linear layer is sufficient" (the
proof is in an appendix that we have not seen; this construction is ours).

**The problem.** Inputs are -1 and +1, and so are the classes. Two tasks: the class of x is x, or -x (s = +1, -1). One
labelled example, then a query q; its class is s q. To know s, the learner must combine x with y; to use it, s with q.

**The protocol** is that of Section 3.2: the query takes one more step from the state that the support set left, and
the read-out sees that step's hidden state h. So there are four kinds of constraint on a read-out (v, b),
``s q (v . h(s, q) + b) > 0``, and a learner exists if and only if some (v, b) satisfies them all.

**Cannot**, exactly, for all weights:

* A linear recurrence of any width, with any number of passes, examples or pooling: h(s, q) = g(s) + U q, and the
  constraints add up to 0 > 0. So they do of any memory at all, an LSTM's included, if the read-out sees it beside q.
* One recurrent unit with any monotone nonlinearity (tanh, sigmoid, ReLU): h(s, q) = phi(g(s) + u q), and no threshold
  separates the two classes.

**Can**: an LSTM of one unit, because its gates multiply: the query decides whether the cell is kept or overwritten
with its opposite. So with the same number of units and the same read-out, the LSTM can and the RNN cannot.

**The limits of the claim.** Without a bound on the width it is not true of nonlinear RNNs: two tanh units can (the last
tests give the weights). The query's step is then a hidden layer, and two hidden units compute an exclusive or.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from fractions import Fraction

import pytest
import torch

from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.nets.lstm_cell import lstm_cell

CASES = tuple(itertools.product((1, -1), repeat=2))  # (s, q)
Numbers = Sequence[Fraction]


def combined(states: dict[tuple[int, int], Numbers]) -> list[Fraction]:
    """The sum of the four constraints' left-hand sides, as coefficients of (v, b): of each unit, then of b.

    If it is zero, no read-out exists: four positive numbers would add up to 0 (Farkas: the multipliers are 1, 1, 1, 1).
    """
    rows = [[s * q * h for h in (*states[s, q], Fraction(1))] for s, q in CASES]
    return [sum(column, Fraction(0)) for column in zip(*rows, strict=True)]


def threshold_exists(states: dict[tuple[int, int], Fraction | float | int]) -> bool:
    """Whether some (v, b) satisfies all constraints on one unit: on a line, the classes must not interleave."""
    one, other = ([states[s, q] for s, q in CASES if s * q == sign] for sign in (1, -1))
    return min(one) > max(other) or max(one) < min(other)


# Cannot: linear recurrences


def test_a_linear_query_step_has_no_read_out_whatever_the_state():
    """Of a unit, h(s, q) = g(s) + u q with three free numbers g(1), g(-1), u: ``combined`` is linear in them.

    It is zero on a basis, so it is zero for all real values of them; units do not interact, so for any width.
    """
    for basis in ((1, 0, 0), (0, 1, 0), (0, 0, 1)):
        plus, minus, u = map(Fraction, basis)
        states = {(s, q): [(plus if s == 1 else minus) + u * q] for s, q in CASES}
        assert combined(states) == [0, 0]


def rnn(
    weights: dict[str, list[list[Fraction]]], inputs: Sequence[Numbers], phi: Callable[[Fraction], Fraction]
) -> list[Fraction]:
    """h after h <- phi(W h + U z + b) over a sequence of inputs z, from h = 0."""
    h = [Fraction(0)] * len(weights["b"])
    for z in inputs:
        h = [
            phi(sum((a * c for a, c in zip((*w, *u, *b), (*h, *z, Fraction(1)), strict=True)), Fraction(0)))
            for w, u, b in zip(weights["W"], weights["U"], weights["b"], strict=True)
        ]
    return h


def random_weights(rng: random.Random, width: int) -> dict[str, list[list[Fraction]]]:
    """Of both signs, none zero."""

    def weight() -> Fraction:
        return Fraction(rng.choice((-1, 1)) * rng.randint(1, 30), rng.randint(1, 9))

    return {
        name: [[weight() for _ in range(columns)] for _ in range(width)]
        for name, columns in (("W", width), ("U", 2), ("b", 1))
    }


def episodes(x: int, passes: int, examples: int) -> dict[tuple[int, int], list[Numbers]]:
    """The inputs (x, y) of each case: support examples x, -x, x ... with their labels, then the query (q, 0)."""
    found = {}
    for s, q in CASES:
        support = [(Fraction(x * (-1) ** m), Fraction(s * x * (-1) ** m)) for m in range(examples)] * passes
        found[s, q] = [*support, (Fraction(q), Fraction(0))]
    return found


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize(("passes", "examples"), [(1, 1), (2, 1), (3, 2)])
def test_linear_rnns_are_of_that_form(width, passes, examples):
    """In rational arithmetic, weights at random."""
    rng = random.Random(width)
    remembered = 0
    for x, _ in itertools.product((1, -1), range(10)):
        weights = random_weights(rng, width)
        states = {
            case: rnn(weights, inputs, lambda number: number) for case, inputs in episodes(x, passes, examples).items()
        }
        assert combined(states) == [0] * (width + 1)
        remembered += states[1, 1] != states[-1, 1]
    assert remembered > 10  # the states do tell the tasks apart


# Cannot: one unit with a monotone nonlinearity


def weak_orders() -> list[dict[tuple[int, int], int]]:
    """All ways in which four numbers can lie on a line, ties included, as ranks: 75."""
    ranks = itertools.product(range(4), repeat=4)
    return [dict(zip(CASES, r, strict=True)) for r in ranks if set(r) == set(range(max(r) + 1))]


def test_one_monotone_unit_has_no_read_out():
    """All weights fall in finitely many cases.

    h(s, q) = phi(g(s) + u q) with phi monotone moves the same way with q in both tasks: up (or not at all) if u and
    phi go the same way, else down (or not at all). Whether a threshold exists depends on the order of the four h alone,
    and for none of the orders that move the same way does it.
    """
    orders = weak_orders()
    assert len(orders) == 75
    for h in orders:
        moves = [h[s, 1] - h[s, -1] for s in (1, -1)]
        if min(moves) >= 0 or max(moves) <= 0:
            assert not threshold_exists(h)
    assert sum(threshold_exists(h) for h in orders) > 0  # there are others, and an LSTM reaches them: below


@pytest.mark.parametrize(
    "phi",
    [lambda z: max(z, Fraction(0)), lambda z: min(max(z, Fraction(-1)), Fraction(1)), lambda z: z / (1 + abs(z))],
    ids=["ReLU", "clipped", "softsign"],
)
@pytest.mark.parametrize(("passes", "examples"), [(1, 1), (3, 2)])
def test_rnns_of_one_unit_are_of_that_form(phi, passes, examples):
    """In rational arithmetic, weights at random."""
    rng = random.Random(0)
    for x, _ in itertools.product((1, -1), range(50)):
        weights = random_weights(rng, 1)
        inputs = episodes(x, passes, examples)
        assert not threshold_exists({case: rnn(weights, sequence, phi)[0] for case, sequence in inputs.items()})


# Can: an LSTM of one unit and a linear read-out

K = 10.0  # gates are open or shut to within 5e-5
MIDDLE = 0.375  # h is about tanh(1) = .76 for one class, 0 or less for the other


def one_hot_weights(x: float, y: float, labelled: float) -> list[float]:
    """Weights on [x, y = -1, y = +1] that amount to weights on x, on the label -1 or +1, and on its presence."""
    return [x, labelled - y, labelled + y]


def lstm_of_one_unit() -> dict[str, torch.Tensor]:
    """Support step: i = [not (x = 1, y = -1)] and g = -1 at (x = -1, y = 1), else 1: c is 1 if s = 1, else 0 or -1.

    Query step: q = 1 keeps the cell (f = 1, i = 0), q = -1 overwrites it (f = 0, i = 1) with g = -1 if h told of s = 1,
    else with +1.
    """
    w_x = [
        one_hot_weights(-K, K, K),  # i: support K (y - x + 1), query -K q
        one_hot_weights(K, 0, 0),  # f: K q
        one_hot_weights(0, 0, 0),  # o
        one_hot_weights(K, -K, -K),  # g: support K (x - y + 1), query K (q - 4 h + 2)
    ]
    tensors = {
        "cell.0.w_x": w_x,
        "cell.0.w_h": [[0.0], [0.0], [0.0], [-4 * K]],
        "cell.0.b_x": [0.0, 0.0, K, 2 * K],
        "cell.0.b_h": [0.0] * 4,
        "readout.weight": [[-1.0], [1.0]],
        "readout.bias": [MIDDLE, -MIDDLE],
    }
    return {name: torch.tensor(numbers, dtype=torch.float64).unsqueeze(0) for name, numbers in tensors.items()}


def columns(x: int, y: int) -> torch.Tensor:
    """[x, one-hot y], no label if y = 0; ``(1, 3, 1, 1)``."""
    return torch.tensor([x, y == -1, y == 1], dtype=torch.float64).view(1, 3, 1, 1)


@pytest.mark.parametrize("x", [1, -1])
def test_an_lstm_of_one_unit_and_a_linear_read_out_solves_it(x):
    params = lstm_of_one_unit()
    hidden = {}
    for s, q in CASES:
        state = lstm_cell(params, "cell.0", x=columns(x, s * x), state=None)
        h = float(lstm_cell(params, "cell.0", x=columns(q, 0), state=state)[0])
        assert s * q * (h - MIDDLE) > 0.3
        hidden[s, q] = h
    assert threshold_exists(hidden)
    moves = [hidden[s, 1] - hidden[s, -1] for s in (1, -1)]
    assert moves[0] > 0.5 and moves[1] < -0.5  # what no monotone unit does


@pytest.mark.parametrize("support", ["batched", "sequential"])
def test_as_a_learner_it_classifies_every_query_of_every_task(support):
    """The four support sets as tasks; carried states and labels in the first pass are the paper's convention."""
    learner = LSTM(LSTMConfig(support=support, widths=(1,), passes=1), TaskShape((1,), 2, "cross_entropy"))
    params = lstm_of_one_unit()
    assert {name: tensor[0].shape for name, tensor in params.items()} == {
        name: tensor.shape for name, tensor in learner.init(learner.config, torch.Generator()).items()
    }
    logits, classes = predictions(learner, params, [[(x, s * x)] for s, x in CASES], [s for s, _ in CASES])
    assert torch.equal(logits.argmax(3), classes)


def test_batched_it_also_learns_from_both_inputs_at_once():
    """Eq. 10: the mean of 0 and -1 tells of s = -1 as each of them does."""
    learner = LSTM(LSTMConfig(support="batched", widths=(1,), passes=1), TaskShape((1,), 2, "cross_entropy"))
    logits, classes = predictions(learner, lstm_of_one_unit(), [[(1, s), (-1, -s)] for s in (1, -1)], [1, -1])
    assert torch.equal(logits.argmax(3), classes)


def predictions(learner, params, support_sets, signs) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits for the queries 1, -1 of every task, and the right classes."""
    x = torch.tensor([[[example[0]] for example in task] for task in support_sets], dtype=torch.float64)
    y = torch.tensor([[[e[1] == -1, e[1] == 1] for e in task] for task in support_sets], dtype=torch.float64)
    queries = torch.tensor([[1.0], [-1.0]], dtype=torch.float64).expand(len(support_sets), -1, -1)
    episode = Episode(x[None], y[None], queries[None], torch.zeros(1, len(support_sets), 2, 2))
    logits = learner.predict(params, learner.adapt(params, episode), episode.query_x)
    return logits, torch.tensor([[[int(s * q == 1) for q in (1, -1)] for s in signs]])


# The limits of the claim


def tanh_rnn_of_two_units(x: int, s: int, q: int) -> torch.Tensor:
    """tanh(W h + U [x, one-hot y] + b) over the support example and the query."""
    recurrent = K * torch.tensor([[1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
    inputs = torch.tensor([one_hot_weights(K, K, -K)] * 2, dtype=torch.float64)
    bias = K * torch.tensor([0.0, 2.0], dtype=torch.float64)
    h = torch.zeros(2, dtype=torch.float64)
    for z in (columns(x, s * x), columns(q, 0)):
        h = torch.tanh(recurrent @ h + inputs @ z.flatten() + bias)
    return h


def test_a_tanh_rnn_of_two_units_and_a_linear_read_out_solves_it_too():
    """So the claim needs its bound on the width (or its linearity). h_1 - h_2 is 0 if s = 1, -2 if s = -1."""
    for x, (s, q) in itertools.product((1, -1), CASES):
        h = tanh_rnn_of_two_units(x, s, q)
        assert s * q * (float(h[0] - h[1]) + 1) > 0.99
