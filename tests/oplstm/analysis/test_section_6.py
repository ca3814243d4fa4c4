"""Section 6: with cells set by hand, OP-LSTM is gradient descent, and it is the normalised prototype classifier.

The references are loops over tasks and examples. Letters: R runs, B tasks, M examples, N outputs, d features, T passes.
The messages are exact only in the limit of small signals, where tanh is linear: see ``hand_set.SIGNAL``.
"""

import math

import pytest
import torch
from torch import Tensor

from oplstm.analysis.update_similarity import prototype_rows
from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from tests.oplstm.analysis.hand_set import (
    SIGNAL,
    answers_with_the_error,
    answers_with_the_label,
    op_lstm,
    params_of,
    sends_errors_through_relu,
    tasks,
)

REGRESSION, CLASSIFICATION = TaskShape((6,), 3, "mse"), TaskShape((6,), 4, "cross_entropy")
SHAPES = pytest.mark.parametrize("shape", [REGRESSION, CLASSIFICATION], ids=["mse", "cross-entropy"])
PARALLEL = 1 - 1e-6
RATE = 0.3  # of gradient descent


def cosine(one: Tensor, other: Tensor) -> float:
    return float((one * other).sum() / (one.norm() * other.norm()))


def support_loss(weights: list[Tensor], biases: list[Tensor], x: Tensor, y: Tensor, loss: str) -> Tensor:
    """The mean loss of one task, example by example: a ReLU network, and MSE or the cross-entropy of its softmax."""
    total = torch.zeros((), dtype=torch.float64)
    for x_i, y_i in zip(x, y, strict=True):
        a = x_i
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            a = weight @ a + bias
            a = a if layer == len(weights) - 1 else torch.relu(a)
        total = total + (((a - y_i) ** 2).mean() if loss == "mse" else torch.logsumexp(a, 0) - a[y_i.argmax()])
    return total / len(x)


def network(params: dict[str, Tensor], run: int) -> tuple[list[Tensor], list[Tensor]]:
    """One run's H_0 and b, as leaves."""
    layers = range(sum(name.startswith("H.") for name in params))
    weights, biases = ([params[f"{kind}.{layer}"][run].clone() for layer in layers] for kind in "Hb")
    for leaf in (*weights, *biases):
        leaf.requires_grad_()
    return weights, biases


def gradients(params: dict[str, Tensor], episode: Episode, run: int, task: int, loss: str) -> list[Tensor]:
    """Of the support loss at H_0 and b: of every weight, then of every bias."""
    weights, biases = network(params, run)
    value = support_loss(weights, biases, episode.support_x[run, task], episode.support_y[run, task], loss)
    return list(torch.autograd.grad(value, [*weights, *biases]))


# Gradient descent on the last layer


@pytest.mark.slow
@SHAPES
@pytest.mark.parametrize(
    ("examples", "normalisation"),
    [(1, "example"), (1, "layer"), (1, "none"), (5, "none"), (5, "layer"), (5, "all")],
)
def test_the_update_of_the_last_layer_is_a_gradient_step(shape, examples, normalisation):
    learner = op_lstm(shape, normalisation=normalisation)
    params, episode = params_of(learner, runs=2), tasks(shape, runs=2, examples=examples)
    answers_with_the_error(params)
    update = learner.adapt(params, episode)[0][0] - params["H.0"].unsqueeze(1)
    for run in range(2):
        for task in range(2):
            gradient, _ = gradients(params, episode, run, task, shape.loss)
            assert cosine(update[run, task], -gradient) >= PARALLEL
            if normalisation == "none":  # of the size that SIGNAL sets
                rate = SIGNAL * (shape.d_y / 2 if shape.loss == "mse" else 1)
                torch.testing.assert_close(update[run, task], -rate * gradient, rtol=1e-4, atol=1e-9)
            else:
                assert update[run, task].norm() == pytest.approx(1)


@SHAPES
def test_t_passes_are_t_steps_of_gradient_descent(shape):
    """The cells forget between passes, so that every pass takes the gradient anew: the inner loop of MAML."""
    gamma = RATE / SIGNAL / (shape.d_y / 2 if shape.loss == "mse" else 1)
    learner = op_lstm(shape, normalisation="none", passes=6, gamma=gamma)
    params, episode = params_of(learner), tasks(shape)
    answers_with_the_error(params)
    steps = [fast[0][0] for fast in learner.passes(params, episode)]
    for task in range(2):
        (weight,), (bias,) = network(params, 0)
        x, y = episode.support_x[0, task], episode.support_y[0, task]
        for adapted in steps:
            (gradient,) = torch.autograd.grad(support_loss([weight], [bias], x, y, shape.loss), [weight])
            weight = (weight - RATE * gradient).detach().requires_grad_()
            torch.testing.assert_close(adapted[0, task], weight.detach(), rtol=1e-4, atol=1e-4)
        assert cosine(steps[-1][0, task] - params["H.0"][0], (weight - params["H.0"][0]).detach()) >= PARALLEL


@SHAPES
@pytest.mark.parametrize("update_bias", [False, True])
@pytest.mark.parametrize("normalisation", ["none", "all"])
def test_the_update_of_all_layers_is_a_gradient_step(shape, update_bias, normalisation):
    """With messages of the same pass, as the authors have them: Eq. 15 leaves hidden layers alone in the first."""
    options = {"base_widths": (7, 5), "normalisation": normalisation, "update_bias": update_bias}
    learner = op_lstm(shape, message="current", **options)
    params, episode = params_of(learner), tasks(shape)
    answers_with_the_error(params)
    sends_errors_through_relu(params)
    start = [params[f"{kind}.{layer}"] for kind in "Hb" for layer in range(3)]
    fast = learner.adapt(params, episode)
    adapted = [layer[part].expand(1, 2, *layer[part].shape[2:]) for part in (0, 1) for layer in fast]
    for task in range(2):
        update = [(after[:, task] - before)[0] for after, before in zip(adapted, start, strict=True)]
        gradient = gradients(params, episode, 0, task, shape.loss)
        parts = 6 if update_bias else 3
        assert all(cosine(update[part], -gradient[part]) >= PARALLEL for part in range(parts))
        whole, wanted = (torch.cat([tensor.flatten() for tensor in them[:parts]]) for them in (update, gradient))
        assert cosine(whole, -wanted) >= PARALLEL
        assert not any(tensor.any() for tensor in update[parts:])

    paper = op_lstm(shape, message="previous", **options).adapt(params, episode)
    assert torch.equal(paper[0][0], params["H.0"].unsqueeze(1).expand_as(paper[0][0]))


# What the normalisation of Eq. 14 does to it


def eq_14_cosine(params: dict[str, Tensor], x: Tensor, y: Tensor, loss: str) -> float:
    """cos(sum_i v_i u_i^T / (|v_i| |u_i|), sum_i v_i u_i^T) with v_i = y_i - a_i and u_i the inputs, in numbers."""
    rows, columns = params["H.0"][0].shape
    normalised, plain = ([[0.0] * columns for _ in range(rows)] for _ in range(2))
    for x_i, y_i in zip(x.tolist(), y.tolist(), strict=True):
        weight, bias = params["H.0"][0].tolist(), params["b.0"][0].tolist()
        out = [sum(w * u for w, u in zip(row, x_i, strict=True)) + b for row, b in zip(weight, bias, strict=True)]
        if loss == "cross_entropy":
            out = [math.exp(z) / sum(math.exp(other) for other in out) for z in out]
        error = [wanted - got for wanted, got in zip(y_i, out, strict=True)]
        norm = math.hypot(*error) * math.hypot(*x_i)
        for n in range(rows):
            for k in range(columns):
                plain[n][k] += error[n] * x_i[k]
                normalised[n][k] += error[n] * x_i[k] / norm
    one, other = ([number for row in matrix for number in row] for matrix in (normalised, plain))
    return sum(p * q for p, q in zip(one, other, strict=True)) / (math.hypot(*one) * math.hypot(*other))


@SHAPES
@pytest.mark.parametrize("examples", [2, 5, 25])
def test_under_eq_14_several_examples_are_at_an_angle_to_the_gradient(shape, examples):
    """Each example counts alike, however wrong it is and however large its input; see docs/theory.md."""
    learner = op_lstm(shape, normalisation="example")
    params, episode = params_of(learner), tasks(shape, examples=examples)
    answers_with_the_error(params)
    update = learner.adapt(params, episode)[0][0] - params["H.0"].unsqueeze(1)
    for task in range(2):
        x, y = episode.support_x[0, task], episode.support_y[0, task]
        gradient, _ = gradients(params, episode, 0, task, shape.loss)
        wanted = eq_14_cosine(params, x, y, shape.loss)
        assert cosine(update[0, task], -gradient) == pytest.approx(wanted, abs=1e-6)
        assert 0.7 < wanted < 0.999  # 2.6 to 46 degrees


def test_under_eq_14_examples_of_one_size_are_at_no_angle_to_the_gradient():
    """Equal |y_i - a_i| |u_i|, as with H_0 = b = 0 and inputs of one length: only the scale changes."""
    learner = op_lstm(CLASSIFICATION, normalisation="example")
    params, episode = params_of(learner), tasks(CLASSIFICATION, examples=8)
    answers_with_the_error(params)
    params["H.0"].zero_()
    params["b.0"].zero_()
    episode.support_x[:] = torch.nn.functional.normalize(episode.support_x, dim=3)
    update = learner.adapt(params, episode)[0][0]
    for task in range(2):
        gradient, _ = gradients(params, episode, 0, task, "cross_entropy")
        assert cosine(update[0, task], -gradient) >= PARALLEL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "outputs", "examples", "degrees"),
    [
        ("cross_entropy", 5, 5, 9.6),
        ("cross_entropy", 5, 25, 11.0),
        ("mse", 5, 5, 16.7),
        ("mse", 5, 25, 18.1),
        ("mse", 1, 5, 32.1),
        ("mse", 1, 25, 31.4),
    ],
)
def test_the_angles_in_docs_theory(loss, outputs, examples, degrees):
    """Mean over 100 random tasks: inputs are 64 rectified normals, H_0 and b of torch.nn.Linear's size."""
    shape = TaskShape((64,), outputs, loss)
    learner = op_lstm(shape)
    params, episode = params_of(learner), tasks(shape, count=100, examples=examples)
    answers_with_the_error(params)
    for name in ("H.0", "b.0"):
        params[name] *= 2 / (3 * 64) ** 0.5
    episode.support_x.relu_()
    update = learner.adapt(params, episode)[0][0] - params["H.0"].unsqueeze(1)
    angles = [
        math.degrees(math.acos(cosine(update[0, task], -gradients(params, episode, 0, task, loss)[0])))
        for task in range(100)
    ]
    assert sum(angles) / 100 == pytest.approx(degrees, abs=0.1)


# The prototype classifier


def class_means(x: Tensor, y: Tensor, *, unit: bool) -> list[Tensor]:
    """The mean input of each class of one task, of inputs divided by their length if ``unit``."""
    members: dict[int, list[Tensor]] = {}
    for x_i, y_i in zip(x, y, strict=True):
        members.setdefault(int(y_i.argmax()), []).append(x_i / x_i.norm() if unit else x_i)
    return [sum(members[n], torch.zeros_like(x[0])) / len(members[n]) for n in range(y.shape[1])]


@pytest.mark.parametrize("hidden", [(), (7,)], ids=["inputs", "hidden layer"])
@pytest.mark.parametrize("shots", [1, 3])
def test_one_pass_from_zero_with_the_labels_for_messages_is_the_normalised_prototype_classifier(hidden, shots):
    """By Eq. 14 row n is gamma / M times the sum of class n's unit features: gamma / N times their mean.

    Scores of Prototypical networks are -d(a, c_n) = 2 c_n . a - c_n . c_n - a . a, so gamma = +2 N and b_n = -c_n . c_n
    give the classifier whole; the paper's Eqs. 18-20 expand +d and arrive at gamma = -2, which prefers the farthest.
    """
    ways = CLASSIFICATION.d_y
    learner = op_lstm(CLASSIFICATION, base_widths=hidden, gamma=2.0 * ways)
    params, episode = params_of(learner), tasks(CLASSIFICATION, examples=ways * shots)
    answers_with_the_label(params)
    last = len(hidden)
    params[f"H.{last}"].zero_()
    fast = learner.adapt(params, episode)
    logits = learner.predict(params, fast, episode.query_x)
    for task in range(2):
        support, queries = episode.support_x[0, task], episode.query_x[0, task]
        if hidden:  # h = 0 below the output: these layers stay as they are
            weight, bias = params["H.0"][0], params["b.0"][0]
            support = torch.stack([torch.relu(weight @ x + bias) for x in support])
            queries = torch.stack([torch.relu(weight @ x + bias) for x in queries])
        prototypes = class_means(support, episode.support_y[0, task], unit=True)
        for n, prototype in enumerate(prototypes):
            torch.testing.assert_close(fast[last][0][0, task, n], 2 * prototype, rtol=1e-12, atol=1e-12)
        for q, query in enumerate(queries):
            got = logits[0, task, q] - params[f"b.{last}"][0] - torch.stack([c @ c for c in prototypes])
            wanted = torch.stack([-((query - c) ** 2).sum() for c in prototypes])
            torch.testing.assert_close(got.softmax(0), wanted.softmax(0), rtol=1e-12, atol=1e-12)


def test_the_signs_of_eqs_18_to_20():
    """The softmax of exp(-d) above Eq. 18 is the linear layer with rows +2c and biases -c.c, not that of Eq. 20."""
    episode = tasks(CLASSIFICATION, examples=12)
    rows = prototype_rows(episode.support_x, episode.support_y)
    for task in range(2):
        prototypes = class_means(episode.support_x[0, task], episode.support_y[0, task], unit=False)
        for query in episode.query_x[0, task]:
            scores = torch.stack([-((query - c) ** 2).sum() for c in prototypes])
            biases = torch.stack([-(c @ c) for c in prototypes])
            logits = torch.stack([row @ query for row in rows[0, task]]) + biases
            torch.testing.assert_close(logits.softmax(0), scores.softmax(0), rtol=1e-12, atol=1e-12)
            as_printed = -logits  # Eq. 20
            assert as_printed.argmax() == scores.argmin()
