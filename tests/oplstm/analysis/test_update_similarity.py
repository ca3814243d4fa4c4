"""Section 5.4 and Fig. 6: similarities against a loop over tasks, and cases with known answers."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from oplstm.analysis.update_similarity import last_layer_inputs, prototype_rows, update_similarity
from oplstm.episodes.episode import Episode
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.op_lstm import OPLSTM, OPLSTMConfig
from tests.oplstm.analysis.hand_set import answers_with_the_error, answers_with_the_label, op_lstm, params_of, tasks
from tests.oplstm.learners.comparison import random_params, without_queries

REGRESSION, CLASSIFICATION = TaskShape((5,), 3, "mse"), TaskShape((5,), 4, "cross_entropy")
GD = {"similarity/gd_cosine", "similarity/gd_euclidean"}
PROTOTYPES = {"similarity/proto_cosine", "similarity/proto_euclidean"}


def angle_and_distance(one: Tensor, other: Tensor) -> tuple[float, float]:
    p, q = one.flatten().tolist(), other.flatten().tolist()
    product = sum(a * b for a, b in zip(p, q, strict=True))
    return product / (math.hypot(*p) * math.hypot(*q)), math.dist(p, q)


def reference(
    learner: OPLSTM, params: dict[str, Tensor], support: Episode, run: int, task: int, *, lr: float, authors: bool
) -> dict[str, float]:
    """One task's four numbers from the definitions, with PyTorch's losses and optimiser."""
    last = len(learner.config.base_widths)
    x, y = support.support_x[run, task], support.support_y[run, task]
    for layer in range(last):
        x = functional.linear(x, params[f"H.{layer}"][run], params[f"b.{layer}"][run])
        if learner.config.batch_norm:
            affine = params[f"scale.{layer}"][run], params[f"shift.{layer}"][run]
            x = functional.batch_norm(x, None, None, *affine, training=True)
        x = functional.relu(x)
    start = params[f"H.{last}"][run]
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.SGD([weight], lr=lr)
    for _ in range(learner.config.passes):
        optimiser.zero_grad()
        output = functional.linear(x, weight, params[f"b.{last}"][run])
        loss = functional.mse_loss if learner.shape.loss == "mse" else functional.cross_entropy
        loss(output, y).backward()
        optimiser.step()
    adapted = learner.adapt(params, support)[last][0][run, task]
    found = dict(zip(sorted(GD), angle_and_distance(adapted - start, weight.detach() - start), strict=True))
    if learner.shape.loss == "cross_entropy":
        rows = torch.stack([2 * x[y[:, n] == 1].mean(0) for n in range(y.shape[1])])
        pair = (adapted, rows) if authors else (adapted - start, rows - start)
        found |= zip(sorted(PROTOTYPES), angle_and_distance(*pair), strict=True)
    return found


@pytest.mark.parametrize("convention", ["paper", "authors"])
@pytest.mark.parametrize("shape", [REGRESSION, CLASSIFICATION], ids=["mse", "cross-entropy"])
@pytest.mark.parametrize(
    ("options", "lr"),
    [
        ({"base_widths": (), "passes": 1}, 0.01),
        ({"base_widths": (), "passes": 3, "output_bias": "shared"}, 0.5),
        ({"base_widths": (6, 4), "passes": 4}, 0.01),
        ({"base_widths": (6,), "passes": 2, "batch_norm": True, "message": "current"}, 0.2),
        ({"base_widths": (4,), "passes": 2, "update_bias": True, "normalisation": "all"}, 0.1),
    ],
    ids=["last layer", "shared bias", "hidden layers", "batch norm", "updated biases"],
)
def test_equals_a_loop_over_tasks(shape, convention, options, lr):
    learner = OPLSTM(OPLSTMConfig(cells=(3, 1), **options), shape)
    params, episode = random_params(learner, 2), tasks(shape, runs=2, count=3, examples=8)
    got = update_similarity(learner, params, episode, lr=lr, convention=convention)
    assert got.keys() == (GD | PROTOTYPES if shape.loss == "cross_entropy" else GD)
    assert {tuple(values.shape) for values in got.values()} == {(2, 3)}
    for run in range(2):
        for task in range(3):
            wanted = reference(learner, params, episode, run, task, lr=lr, authors=convention == "authors")
            assert {name: float(values[run, task]) for name, values in got.items()} == pytest.approx(wanted, rel=1e-9)


def test_gradient_descent_is_similar_to_itself():
    """Cells set by hand to descend (Section 6) at a rate of 0.01."""
    learner = op_lstm(CLASSIFICATION, normalisation="none", passes=5, gamma=10.0)  # times a signal of 1e-3
    params, episode = params_of(learner), tasks(CLASSIFICATION, examples=8)
    answers_with_the_error(params)
    got = update_similarity(learner, params, episode)
    assert (got["similarity/gd_cosine"] > 1 - 1e-6).all()
    assert (got["similarity/gd_euclidean"] < 1e-6).all()
    twice = update_similarity(learner, params, episode, lr=0.02)
    assert (twice["similarity/gd_euclidean"] > 1e-2).all()


def test_a_prototype_classifier_is_similar_to_itself():
    """Labels for messages, H_0 = 0, inputs of one length (Section 6): the update is the prototypes'."""
    learner = op_lstm(CLASSIFICATION, gamma=2.0 * CLASSIFICATION.d_y)
    params, episode = params_of(learner), tasks(CLASSIFICATION, examples=8)
    answers_with_the_label(params)
    params["H.0"].zero_()
    episode.support_x[:] = functional.normalize(episode.support_x, dim=3)
    for convention in ("paper", "authors"):
        got = update_similarity(learner, params, episode, convention=convention)
        torch.testing.assert_close(got["similarity/proto_cosine"], torch.ones(1, 2).double())
        torch.testing.assert_close(got["similarity/proto_euclidean"], torch.zeros(1, 2).double(), atol=1e-12, rtol=0)


def test_the_conventions_differ_where_h_0_is_not_zero():
    learner = op_lstm(CLASSIFICATION)
    params, episode = params_of(learner), tasks(CLASSIFICATION, examples=8)
    answers_with_the_label(params)
    paper, authors = (update_similarity(learner, params, episode, convention=name) for name in ("paper", "authors"))
    assert all(torch.equal(paper[name], authors[name]) for name in GD)
    assert ((paper["similarity/proto_cosine"] - authors["similarity/proto_cosine"]).abs() > 1e-2).all()
    # H_T - H_Proto and (H_T - H_0) - (H_Proto - H_0) are one vector
    torch.testing.assert_close(paper["similarity/proto_euclidean"], authors["similarity/proto_euclidean"])


def test_conv_4_features_are_the_inputs_and_stay_fixed():
    shape = TaskShape((1, 16, 16), 3, "cross_entropy")
    learner = OPLSTM(OPLSTMConfig(backbone="conv4", base_widths=(), cells=(2, 1), passes=2), shape)
    params, episode = random_params(learner, 1), tasks(shape, count=2, examples=6)
    got = update_similarity(learner, params, episode)
    for task in range(2):
        x = episode.support_x[0, task]
        for block in range(4):
            weight, bias, scale, shift = (params[f"conv.{block}.{of}"][0] for of in "weight bias scale shift".split())
            x = functional.batch_norm(functional.conv2d(x, weight, bias, padding=1), None, None, scale, shift, True)
            x = functional.max_pool2d(functional.relu(x), 2)
        features = x.flatten(1)
        torch.testing.assert_close(last_layer_inputs(learner, params, episode.support_x)[0, task], features)
        head = OPLSTM(OPLSTMConfig(base_widths=(), cells=(2, 1), passes=2), TaskShape((64,), 3, "cross_entropy"))
        labels = episode.support_y[:, task : task + 1]
        alone = Episode(features[None, None], labels, features[None, None], labels)
        wanted = reference(head, params, alone, 0, 0, lr=0.01, authors=False)
        assert {name: float(values[0, task]) for name, values in got.items()} == pytest.approx(wanted, rel=1e-9)


def test_no_update_has_a_cosine_of_zero():
    learner = op_lstm(CLASSIFICATION)  # cells that answer zero
    got = update_similarity(learner, params_of(learner), tasks(CLASSIFICATION))
    assert not got["similarity/gd_cosine"].any()
    assert all(values.isfinite().all() for values in got.values())


def test_a_class_without_examples_has_the_prototype_zero():
    features, labels = torch.ones(1, 1, 2, 3), torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert prototype_rows(features, labels)[0, 0].tolist() == [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]


def test_builds_no_graph_and_does_not_look_at_queries():
    learner = op_lstm(CLASSIFICATION)
    params, episode = params_of(learner), tasks(CLASSIFICATION)
    answers_with_the_error(params)
    for tensor in params.values():
        tensor.requires_grad_()
    hidden = without_queries(episode)
    assert all(values.isfinite().all() for values in update_similarity(learner, params, hidden).values())
    assert not any(values.requires_grad for values in update_similarity(learner, params, episode).values())


def test_an_unknown_convention_is_refused():
    learner = op_lstm(CLASSIFICATION)
    with pytest.raises(ValueError, match="convention must be paper or authors, got code"):
        update_similarity(learner, params_of(learner), tasks(CLASSIFICATION), convention="code")
