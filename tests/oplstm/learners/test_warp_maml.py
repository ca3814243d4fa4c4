"""Warp-MAML against the reference, its options, its evaluation without a graph, and its size."""

import pytest
import torch
from torch.nn import functional

from oplstm.configuration import Problems, build
from oplstm.episodes.images import IMAGE_BENCHMARKS
from oplstm.episodes.sine import SineTasks
from oplstm.learners.signature import signature
from oplstm.learners.warp_maml import WarpMAML, WarpMAMLConfig
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

pytestmark = pytest.mark.integration

OBJECTIVES = ["warped", "every_step", "unrolled"]


@pytest.fixture(autouse=True)
def _few_maps(monkeypatch, request):
    if "published" not in request.fixturenames:
        monkeypatch.setattr(backbone, "MAPS", 3)


@pytest.fixture
def published():
    """The published number of maps."""


def learner_of(**options):
    return WarpMAML(WarpMAMLConfig(**({"passes": 3} | options)), SHAPE)


def network(weights, x):
    for block in range(4):
        x = functional.max_pool2d(normed_block(weights, block, weights[f"conv.{block}.weight"], x), 2)
        if block > 0:
            x = functional.conv2d(x, weights[f"warp.{block}.weight"], weights[f"warp.{block}.bias"], padding=1)
    return functional.linear(x.flatten(1), weights["head.weight"], weights["head.bias"])


def reference(params, config, task, steps):
    """Every step's query loss has a backward pass of its own, and a copy of the warp layers of its own."""
    first = {
        name: p.clone().requires_grad_() for name, p in params.items() if name != "inner_lr" and "warp" not in name
    }
    moving = [name for name in first if config.adapt_first_block or "conv.0" not in name]
    warp = {name: p.clone().requires_grad_() for name, p in params.items() if "warp" in name}
    gradients = {name: torch.zeros_like(p) for name, p in params.items() if name != "inner_lr"}
    weights, logits = first, []
    for step in range(steps):
        if config.objective != "unrolled":
            warp = {name: p.clone().detach().requires_grad_() for name, p in warp.items()}
        loss = functional.cross_entropy(network(weights | warp, task.support_x), task.support_y)
        descents = torch.autograd.grad(loss, [weights[name] for name in moving], create_graph=True)
        if not config.second_order:
            descents = [descent.detach() for descent in descents]
        weights = weights | {
            name: weights[name] - params["inner_lr"] * descent for name, descent in zip(moving, descents, strict=True)
        }
        logits.append(network(weights | warp, task.query_x))
        query_loss = functional.cross_entropy(logits[-1], task.query_y)
        last = step == steps - 1
        if config.objective == "unrolled":
            learning, divisor = (first | warp if last else {}), 1
        else:
            learning, divisor = (first | warp if last or config.objective == "every_step" else warp), steps
            divisor = steps if config.step_losses == "mean" else 1
        if learning:
            found = torch.autograd.grad(query_loss, list(learning.values()), retain_graph=True)
            for name, grad in zip(learning, found, strict=True):
                gradients[name] += grad / divisor
    return TaskAnswer(torch.stack(logits).detach(), gradients)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
@pytest.mark.parametrize("adapt_first_block", [True, False], ids=["all", "not the first"])
def test_equals_the_reference(objective, second_order, adapt_first_block):
    options = {"objective": objective, "second_order": second_order, "adapt_first_block": adapt_first_block}
    check_training(reference, learner_of(**options))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_sum_over_steps_equals_the_reference(objective):
    check_training(reference, learner_of(objective=objective, step_losses="sum", adapt_first_block=False))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_single_step_is_the_same_by_every_objective(objective):
    check_training(reference, learner_of(passes=1, objective=objective))
    gradients, plain = (
        gradients_of(learner, pack_of(learner), pictures())
        for learner in (learner_of(passes=1, objective=objective), learner_of(passes=1, objective="unrolled"))
    )
    assert all(torch.equal(grad, plain[name]) for name, grad in gradients.items())


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("adapt_first_block", [True, False], ids=["all", "not the first"])
def test_evaluation_equals_the_reference_and_builds_no_graph(objective, adapt_first_block):
    check_evaluation(reference, learner_of(objective=objective, adapt_first_block=adapt_first_block, eval_passes=4))


def test_objectives_and_orders_differ_in_gradients_alone():
    episode, params = pictures(), pack_of(learner_of())
    options = [{"objective": o, "second_order": s} for o in OBJECTIVES for s in (True, False)]
    fasts = [learner_of(**each).adapt(params, episode) for each in options]
    assert all(torch.equal(weight, fasts[0][name]) for fast in fasts for name, weight in fast.items())
    gradients = [gradients_of(learner_of(**each), params, episode) for each in options]
    for name in ("conv.1.weight", "warp.2.weight"):
        for first in range(len(options)):
            for second in range(first):
                if name == "warp.2.weight" and {first // 2, second // 2} == {0, 1} and first % 2 == second % 2:
                    continue  # the warp layers learn alike
                assert distance(gradients[first][name], gradients[second][name]) > 1e-3


def test_steps_change_the_task_layers_alone():
    episode, params = pictures(), pack_of(learner_of())
    for adapt_first_block in (True, False):
        fast = learner_of(adapt_first_block=adapt_first_block).adapt(params, episode)
        assert fast.keys() == {name for name in params if name.startswith(("conv.", "head."))}
        fixed = {name for name, weight in fast.items() if weight.ndim == params[name].ndim}
        assert fixed == ({name for name in fast if "conv.0" in name} if not adapt_first_block else set())
        assert all(torch.equal(fast[name], params[name]) for name in fixed)


def test_adaptation_does_not_look_at_the_query_set():
    learner = learner_of()
    params, episode = pack_of(learner), pictures()
    known, blind = (learner.adapt(params, seen) for seen in (episode, without_queries(episode)))
    assert all(torch.equal(weight, blind[name]) for name, weight in known.items())


def test_a_diverged_run_does_not_touch_its_neighbours():
    check_neighbours(learner_of())


def test_warp_layers_start_as_the_identity_or_at_zero():
    x = pictures().query_x.float()
    for warp_init in ("identity", "zero"):
        learner = learner_of(warp_init=warp_init)
        one = learner.init(learner.config, torch.Generator().manual_seed(0))
        params = {name: tensor.expand(len(x), *tensor.shape) for name, tensor in one.items()}
        head = {name: params[name].unsqueeze(1) for name in ("head.weight", "head.bias")}
        features = conv4(params, x) * (warp_init == "identity")
        torch.testing.assert_close(learner.predict(params, head, x), linear(features, *head.values()))


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_parameter_count(convention):
    """Table 3."""
    learner = WarpMAML(
        build(WarpMAMLConfig, {"convention": convention}, Problems()), IMAGE_BENCHMARKS["miniimagenet"]().shape
    )
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == 231_877
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_runs_of_one_pack_may_differ_in_the_step_size_alone():
    config = WarpMAMLConfig(inner_lr=0.3)
    constants = learner_of().constants(config)
    assert {name: value.item() for name, value in constants.items()} == {"inner_lr": pytest.approx(0.3)}
    assert signature(config) == signature(WarpMAMLConfig())
    assert signature(config) != signature(WarpMAMLConfig(second_order=False))


def test_conventions():
    paper, authors = (build(WarpMAMLConfig, {"convention": name}, Problems()) for name in ("paper", "authors"))
    assert (paper.warp_init, paper.objective, paper.adapt_first_block) == ("identity", "warped", True)
    assert (authors.warp_init, authors.objective, authors.adapt_first_block) == ("zero", "every_step", False)
    assert (paper.step_losses, authors.step_losses) == ("mean", "sum")
    for config in (paper, authors):
        assert (config.passes, config.eval_passes, config.inner_lr, config.second_order) == (5, None, 0.1, True)


@pytest.mark.parametrize(
    ("values", "place"),
    [({"passes": 0}, "passes"), ({"eval_passes": 0}, "eval_passes"), ({"inner_lr": 0}, "inner_lr"),
     ({"objective": "leap"}, "objective")],
)  # fmt: skip
def test_impossible_values_are_refused(values, place):
    problems = Problems()
    assert build(WarpMAMLConfig, values, problems) is None
    assert [path for path, _ in problems.found] == [(place,)]


def test_it_wants_images():
    WarpMAML.check_benchmark(WarpMAMLConfig(), SineTasks(), problems := Problems())
    assert problems.lines() == ["backbone: conv4 wants images of at least 16 x 16, and sine has none"]
