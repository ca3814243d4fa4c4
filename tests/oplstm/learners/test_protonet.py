"""Prototypical networks against the reference, by hand, with another number of classes, and their size."""

import pytest
import torch
from torch.nn import functional

from oplstm.configuration import Problems, build
from oplstm.episodes.episode import Episode
from oplstm.episodes.images import IMAGE_BENCHMARKS
from oplstm.episodes.sine import SineTasks
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.protonet import ProtoNet, ProtoNetConfig
from oplstm.nets import backbone
from oplstm.training.evaluation import evaluate
from oplstm.training.parameters import Layout
from tests.oplstm.learners.comparison import (
    distance,
    permuted,
    random_classes,
    random_params,
    training_loss,
    without_queries,
)

TOLERANCE = 1e-9  # relative, in norm, per tensor
ROUNDING = 1e-14  # of the whole gradient: a bias before batch norm has none, but for rounding
R, B = 3, 2
VECTOR, PICTURE = (3,), (2, 16, 16)
NETWORKS = {
    "norm": ({"base_widths": (5, 4)}, VECTOR),
    "plain": ({"base_widths": (5, 4), "batch_norm": False}, VECTOR),
    "conv4": ({"base_widths": (), "backbone": "conv4"}, PICTURE),
    "conv4-hidden": ({"base_widths": (4,), "backbone": "conv4"}, PICTURE),
}


@pytest.fixture(autouse=True)
def _few_maps(monkeypatch, request):
    if "published" not in request.fixturenames:
        monkeypatch.setattr(backbone, "MAPS", 3)


@pytest.fixture
def published():
    """The published number of maps."""


def learner_of(network="norm", ways=3):
    options, x = NETWORKS[network]
    return ProtoNet(ProtoNetConfig(**options), TaskShape(x, ways, "cross_entropy"))


def embedding(params, config, x):
    """Of one task: ``(M, d)``."""

    def norm(name, x):
        return functional.batch_norm(x, None, None, params[f"{name}.scale"], params[f"{name}.shift"], training=True)

    if config.backbone == "conv4":
        for name in (f"conv.{block}" for block in range(4)):
            x = functional.conv2d(x, params[f"{name}.weight"], params[f"{name}.bias"], padding=1)
            x = functional.max_pool2d(functional.relu(norm(name, x)), 2)
    x = x.flatten(1)
    for name in (f"layer.{layer}" for layer in range(len(config.base_widths))):
        x = functional.linear(x, params[f"{name}.weight"], params[f"{name}.bias"])
        x = functional.relu(norm(name, x) if config.batch_norm else x)
    return x


def reference(params, config, support_x, support_y, query_x):
    """Of one task: logits, one query and one class after the other."""
    support, queries = embedding(params, config, support_x), embedding(params, config, query_x)
    labels = support_y.argmax(1)
    prototypes = [support[labels == label].mean(0) for label in range(support_y.shape[1])]
    return torch.stack([torch.stack([-(query - c).dot(query - c) for c in prototypes]) for query in queries])


@pytest.mark.parametrize(("ways", "k"), [(3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("network", NETWORKS)
def test_equals_the_reference(network, ways, k):
    """``ways`` 5 is not what the learner was built for."""
    learner = learner_of(network)
    episode = permuted(random_classes(ways, k, 2, R=R, B=B, x=learner.shape.x), list(reversed(range(ways * k))))
    leaves = {name: tensor.requires_grad_() for name, tensor in random_params(learner, R).items()}
    (prototypes,) = learner.passes(leaves, episode)
    logits = learner.predict(leaves, prototypes, episode.query_x)
    assert logits.shape == (R, B, ways * 2, ways)
    losses = training_loss(learner, leaves, episode)
    found = dict(zip(leaves, torch.autograd.grad(losses.sum(), list(leaves.values())), strict=True))
    for run in range(R):
        params = {name: tensor[run].detach().requires_grad_() for name, tensor in leaves.items()}
        loss = 0
        for task in range(B):
            parts = (part[run, task] for part in (episode.support_x, episode.support_y, episode.query_x))
            wanted = reference(params, learner.config, *parts)
            assert distance(logits[run, task].detach(), wanted.detach()) <= TOLERANCE
            loss += functional.cross_entropy(wanted, episode.query_y[run, task].argmax(1)) / B
        gradients = dict(zip(params, torch.autograd.grad(loss, list(params.values())), strict=True))
        whole = torch.cat([grad.flatten() for grad in gradients.values()]).norm()
        for name, grad in gradients.items():
            error = (found[name][run] - grad).norm()
            assert error <= TOLERANCE * grad.norm() + ROUNDING * whole, f"{name}: {error:g} of {grad.norm():g}"


def test_by_hand():
    """Weights of one: prototypes are (1, 0) and the mean of (0, 2) and (2, 4), which is (1, 3)."""
    learner = ProtoNet(ProtoNetConfig(base_widths=(2,), batch_norm=False), TaskShape((2,), 2, "cross_entropy"))
    params = {"layer.0.weight": torch.eye(2)[None], "layer.0.bias": torch.zeros(1, 2)}
    support_y = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    support_x = torch.tensor([[0.0, 2.0], [1.0, -7.0], [2.0, 4.0]])  # the ReLU makes -7 zero
    episode = Episode(*(part[None, None] for part in (support_x, support_y, torch.tensor([[3.0, 1.0]]), support_y[:1])))
    prototypes = learner.adapt(params, episode)
    assert prototypes[0, 0].tolist() == [[1, 0], [1, 3]]
    assert learner.predict(params, prototypes, episode.query_x)[0, 0].tolist() == [[-5, -8]]


def test_adaptation_does_not_look_at_the_query_set():
    learner = learner_of()
    episode, params = random_classes(3, 2, 2), random_params(learner, 2)
    assert torch.equal(learner.adapt(params, episode), learner.adapt(params, without_queries(episode)))


def test_evaluation_builds_no_graph():
    learner = learner_of()
    params = {name: tensor.requires_grad_() for name, tensor in random_params(learner, 2).items()}
    assert not any(score.requires_grad for score in evaluate(learner, params, random_classes(3, 2, 2)).values())


def test_a_diverged_run_does_not_touch_its_neighbours():
    learner = learner_of("conv4")
    episode, params = random_classes(3, 2, 2, R=3, x=PICTURE), random_params(learner, 3)
    healthy = evaluate(learner, params, episode)["loss"]
    for tensor in params.values():
        tensor[1] = torch.nan
    beside = evaluate(learner, params, episode)["loss"]
    assert beside[1].isnan().all()
    assert torch.equal(beside[[0, 2]], healthy[[0, 2]])


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("options", "benchmark", "count"),
    [({}, "omniglot", 247_296), ({"backbone": "conv4", "base_widths": []}, "miniimagenet", 113_088)],
)
def test_parameter_count(options, benchmark, count):
    """Tables 2 and 3; the authors' 247,621 and 121,093 count an output layer that is not used."""
    learner = ProtoNet(build(ProtoNetConfig, options, Problems()), IMAGE_BENCHMARKS[benchmark]().shape)
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == count
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"base_widths": [3, 0]}, "base_widths: must be widths >= 1, got [3, 0]"),
        ({"base_widths": []}, "base_widths: must be one or more widths where there is no backbone, got []"),
    ],
)
def test_impossible_values_are_refused(values, message):
    problems = Problems()
    assert build(ProtoNetConfig, values, problems) is None
    assert problems.lines() == [message]


def test_prototypes_want_classes():
    problems = Problems(("hyperparameters",))
    ProtoNet.check_benchmark(ProtoNetConfig(), SineTasks(), problems)
    assert problems.lines() == ["hyperparameters: prototypes are of classes, and sine has none"]
    ProtoNet.check_benchmark(ProtoNetConfig(backbone="conv4"), IMAGE_BENCHMARKS["omniglot"](), empty := Problems())
    assert not empty
