"""SAP against the reference, its evaluation without a graph, what it is before training, and its size."""

import pytest
import torch
from torch.nn import functional

from oplstm.configuration import Problems, build
from oplstm.episodes.images import IMAGE_BENCHMARKS
from oplstm.episodes.sine import SineTasks
from oplstm.learners.sap import SAP, SAPConfig
from oplstm.learners.signature import signature
from oplstm.nets import backbone
from oplstm.nets.conv import conv4
from oplstm.nets.linear import linear
from oplstm.training.parameters import Layout
from tests.oplstm.learners.adaptation import (
    SHAPE,
    TaskAnswer,
    check_evaluation,
    check_neighbours,
    check_training,
    gradients_of,
    normed_block,
    pack_of,
    pictures,
)
from tests.oplstm.learners.comparison import distance, without_queries

CLIP = 0.02


@pytest.fixture(autouse=True)
def _few_maps(monkeypatch, request):
    if "published" not in request.fixturenames:
        monkeypatch.setattr(backbone, "MAPS", 3)


@pytest.fixture
def published():
    """The published number of maps."""


def learner_of(**options):
    return SAP(SAPConfig(**options), SHAPE)


def transform(weights, place, x):
    """Of one task's maps ``(M, c, height, width)``: every operation by itself."""
    name = f"maps.{place}"
    u, s, v = (weights[f"{name}.{part}"] for part in "usv")
    channels = range(x.shape[1])
    separable = [[torch.outer(u[o, i], v[o, i]) * s[o, i] for i in channels] for o in channels]
    padded = functional.pad(x, (0, 2, 0, 2))
    operations = [
        x,
        functional.conv2d(x, weights[f"{name}.pointwise"][:, :, None, None]),
        functional.conv2d(padded, weights[f"{name}.weight"]),
        functional.conv2d(padded, torch.stack([torch.stack(row) for row in separable])),
    ]
    mix = functional.softmax(weights[f"mix.{name}.convolution"], dim=0)
    x = sum(share * operation for share, operation in zip(mix, operations, strict=True))
    operations = [x, x + weights[f"{name}.shift"], x + weights[f"{name}.shifts"][:, None, None]]
    mix = functional.softmax(weights[f"mix.{name}.shift"], dim=0)
    return sum(share * operation for share, operation in zip(mix, operations, strict=True))


def network(weights, x):
    x = transform(weights, 0, x)
    for block in range(4):
        kernel = weights[f"conv.{block}.weight"]
        mix = functional.softmax(weights[f"mix.kernel.{block}"], dim=0)
        by_pair = kernel * weights[f"kernel.{block}.pairs"][:, :, None, None]
        by_output = kernel * weights[f"kernel.{block}.outputs"][:, None, None, None]
        kernel = mix[0] * kernel + mix[1] * by_pair + mix[2] * by_output
        x = functional.max_pool2d(transform(weights, block + 1, normed_block(weights, block, kernel, x)), 2)
    logits = functional.linear(x.flatten(1), weights["head.weight"], weights["head.bias"])
    share = torch.sigmoid(weights["mix.logits"])
    transformed = functional.linear(logits, weights["logits.weight"], weights["logits.bias"])
    return (1 - share) * logits + share * transformed


def reference(params, config, task, steps):
    """Gradient descent of one task."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items() if name != "inner_lr"}
    moving = [name for name in leaves if not name.startswith(("conv.", "mix."))]
    weights, logits = leaves, []
    for _ in range(steps):
        loss = functional.cross_entropy(network(weights, task.support_x), task.support_y)
        descents = torch.autograd.grad(loss, [weights[name] for name in moving], create_graph=True)
        weights = dict(weights)
        for name, descent in zip(moving, descents, strict=True):
            if not config.second_order:
                descent = descent.detach()
            if config.clip is not None:
                limit = torch.full_like(descent, config.clip)
                descent = torch.maximum(torch.minimum(descent, limit), -limit)
            weights[name] = weights[name] - params["inner_lr"] * descent
        logits.append(network(weights, task.query_x))
    functional.cross_entropy(logits[-1], task.query_y).backward()
    return TaskAnswer(torch.stack(logits).detach(), {name: leaf.grad for name, leaf in leaves.items()})


@pytest.mark.integration
@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
@pytest.mark.parametrize("clip", [None, CLIP])
def test_equals_the_reference(passes, second_order, clip):
    check_training(reference, learner_of(passes=passes, second_order=second_order, clip=clip))


@pytest.mark.slow
@pytest.mark.parametrize("clip", [None, CLIP])
def test_evaluation_equals_the_reference_and_builds_no_graph(clip):
    check_evaluation(reference, learner_of(eval_passes=3, clip=clip))


@pytest.mark.slow
def test_every_option_makes_a_difference():
    episode, params = pictures(), pack_of(learner_of())
    plain = gradients_of(learner_of(), params, episode)
    for option in ({"passes": 2}, {"second_order": False}, {"clip": CLIP}):
        assert (
            distance(gradients_of(learner_of(**option), params, episode)["conv.1.weight"], plain["conv.1.weight"])
            > 1e-3
        )


def test_steps_change_transforms_and_the_output_layer_alone():
    params = pack_of(learner_of())
    fast = learner_of(clip=None).adapt(params, pictures())
    assert fast.keys() == {n for n in params if n.startswith(("maps.", "kernel.", "logits.", "head."))}
    assert all((weight != params[name].unsqueeze(1)).any() for name, weight in fast.items())


def test_adaptation_does_not_look_at_the_query_set():
    learner = learner_of()
    params, episode = pack_of(learner), pictures()
    known, blind = (learner.adapt(params, seen) for seen in (episode, without_queries(episode)))
    assert all(torch.equal(weight, blind[name]) for name, weight in known.items())


@pytest.mark.slow
def test_a_diverged_run_does_not_touch_its_neighbours():
    check_neighbours(learner_of())


def test_before_training_it_is_conv4_whatever_the_activations():
    learner, x = learner_of(), pictures().query_x
    one = learner.init(learner.config, torch.Generator().manual_seed(0))
    params = {name: tensor.double().expand(len(x), *tensor.shape).contiguous() for name, tensor in one.items()}
    g = torch.Generator().manual_seed(0)
    for name in params:
        if name.startswith("mix."):
            assert not params[name].any()
            params[name] = torch.randn(params[name].shape, generator=g, dtype=torch.float64)
    fast = {name: p.unsqueeze(1).expand(-1, x.shape[1], *p.shape[1:]) for name, p in params.items()
            if not name.startswith(("conv.", "mix."))}  # fmt: skip
    weight, bias = fast["head.weight"], fast["head.bias"]
    wanted = linear(conv4(params, x), weight, bias)
    torch.testing.assert_close(learner.predict(params, fast, x), wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("published")
def test_parameter_count():
    """Table 3."""
    learner = SAP(SAPConfig(), IMAGE_BENCHMARKS["miniimagenet"]().shape)
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == 412_852
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_runs_of_one_pack_may_differ_in_the_step_size_alone():
    config = SAPConfig(inner_lr=0.3)
    constants = learner_of().constants(config)
    assert {name: value.item() for name, value in constants.items()} == {"inner_lr": pytest.approx(0.3)}
    assert signature(config) == signature(SAPConfig())
    assert signature(config) != signature(SAPConfig(clip=None))


@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_both_conventions_are_what_was_run(convention):
    config = build(SAPConfig, {"convention": convention}, Problems())
    assert (config.passes, config.eval_passes, config.inner_lr, config.clip) == (1, 10, 0.0360775, 10.0)


@pytest.mark.parametrize(
    ("values", "place"),
    [({"passes": 0}, "passes"), ({"eval_passes": 0}, "eval_passes"), ({"inner_lr": 0}, "inner_lr"),
     ({"clip": 0}, "clip")],
)  # fmt: skip
def test_impossible_values_are_refused(values, place):
    problems = Problems()
    assert build(SAPConfig, values, problems) is None
    assert [path for path, _ in problems.found] == [(place,)]


def test_it_wants_images():
    SAP.check_benchmark(SAPConfig(), SineTasks(), problems := Problems())
    assert problems.lines() == ["backbone: conv4 wants images of at least 16 x 16, and sine has none"]
