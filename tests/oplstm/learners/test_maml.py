"""MAML against the reference, a step by hand, its evaluation without a graph, and its size."""

import pytest
import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.episode import Episode
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.maml import MAML, MAMLConfig
from oplstm.learners.signature import signature
from oplstm.nets import backbone
from oplstm.training.evaluation import evaluate
from oplstm.training.parameters import Layout
from tests.oplstm.learners.comparison import distance, random_params, training_loss, without_queries
from tests.oplstm.learners.maml_reference import Answer, answer

TOLERANCE = 1e-9  # relative, in norm, per tensor
ROUNDING = 1e-14  # of the whole gradient: a bias before batch norm has none, but for rounding
R, B, M, Q = 3, 2, 6, 5
INNER_LRS = (0.05, 0.2, 0.1)
CLIP = 0.04

NETWORKS = {
    "linear": {"base_widths": ()},
    "relu": {"base_widths": (5, 4)},
    "tanh": {"base_widths": (5, 4), "activation": "tanh"},
    "relu-norm": {"base_widths": (5, 4), "batch_norm": True},
    "tanh-norm": {"base_widths": (4,), "activation": "tanh", "batch_norm": True},
    "conv4": {"backbone": "conv4", "base_widths": ()},
    "conv4-hidden": {"backbone": "conv4", "base_widths": (4,), "batch_norm": True},
}
SHAPES = {"mse": ((2,), 2), "cross_entropy": ((2,), 3)}
DESCENTS = {
    "T1": {"passes": 1},
    "T2-clip": {"passes": 2, "clip": CLIP},
    "T3": {"passes": 3},
    "T3-every-clip": {"passes": 3, "clip": CLIP, "loss_on": "every"},
}


@pytest.fixture(autouse=True)
def _few_maps(monkeypatch, request):
    if "published" not in request.fixturenames:
        monkeypatch.setattr(backbone, "MAPS", 3)


@pytest.fixture
def published():
    """The published number of maps."""


def learner_of(loss="mse", /, **options):
    config = MAMLConfig(**({"base_widths": (5, 4), "passes": 2} | options))
    x, d_y = SHAPES[loss]
    return MAML(config, TaskShape((2, 16, 16) if config.backbone == "conv4" else x, d_y, loss))


def pack_of(learner, runs=R):
    params = random_params(learner, runs)
    return params | {"inner_lr": torch.tensor(INNER_LRS[:runs]).double()}


def episode_for(shape, seed=0):
    """Standard normal inputs; targets that are normal too, or one-hot."""
    g = torch.Generator().manual_seed(seed)

    def drawn(*size):
        return torch.randn(size, generator=g, dtype=torch.float64)

    def targets(count):
        values = drawn(R, B, count, shape.d_y)
        if shape.loss == "mse":
            return values
        return torch.nn.functional.one_hot(values.argmax(3), shape.d_y).double()

    return Episode(drawn(R, B, M, *shape.x), targets(M), drawn(R, B, Q, *shape.x), targets(Q))


def computed(learner, params, episode):
    """As the reference answers, for all runs."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    predictions = [learner.predict(leaves, fast, episode.query_x) for fast in learner.passes(leaves, episode)]
    losses = training_loss(learner, leaves, episode)
    if not learner.config.second_order:
        leaves.pop("inner_lr")  # gets no gradient
    found = torch.autograd.grad(losses.sum(), list(leaves.values()))
    return Answer(torch.stack(predictions).detach(), losses.detach(), dict(zip(leaves, found, strict=True)))


def reference(learner, params, episode, run, steps):
    of_run = {name: tensor[run] for name, tensor in params.items()}
    return answer(of_run, learner.config, learner.shape.loss, episode, run, steps)


# Against the reference


@pytest.mark.integration
@pytest.mark.parametrize("descent", DESCENTS)
@pytest.mark.parametrize("second_order", [True, False], ids=["second", "first"])
@pytest.mark.parametrize("loss", SHAPES)
@pytest.mark.parametrize("network", NETWORKS)
def test_equals_the_reference(network, loss, second_order, descent):
    learner = learner_of(loss, second_order=second_order, **NETWORKS[network], **DESCENTS[descent])
    params, episode = pack_of(learner), episode_for(learner.shape)
    got = computed(learner, params, episode)
    assert len(got.predictions) == learner.config.passes
    for run in range(R):
        wanted = reference(learner, params, episode, run, learner.config.passes)
        assert distance(got.predictions[:, run], wanted.predictions) <= TOLERANCE
        assert distance(got.loss[run], wanted.loss) <= TOLERANCE
        assert got.gradients.keys() | {"inner_lr"} == wanted.gradients.keys()
        whole = torch.cat([grad.flatten() for grad in wanted.gradients.values()]).norm()
        for name, of_pack in got.gradients.items():
            grad = wanted.gradients[name]
            error = (of_pack[run] - grad).norm()
            assert error <= TOLERANCE * grad.norm() + ROUNDING * whole, f"{name}: {error:g} of {grad.norm():g}"


@pytest.mark.parametrize("loss", SHAPES)
@pytest.mark.parametrize("network", NETWORKS)
def test_evaluation_equals_the_reference_and_builds_no_graph(network, loss):
    learner = learner_of(loss, passes=1, eval_passes=3, clip=CLIP, **NETWORKS[network])
    params, episode = pack_of(learner), episode_for(learner.shape)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    with torch.no_grad():
        fasts = list(learner.passes(leaves, episode))
        predictions = torch.stack([learner.predict(leaves, fast, episode.query_x) for fast in fasts])
    assert not any(tensor.requires_grad for tensor in (predictions, *(w for fast in fasts for w in fast.values())))
    scores = evaluate(learner, leaves, episode)["loss"]
    assert not scores.requires_grad
    for run in range(R):
        wanted = reference(learner, params, episode, run, steps=3).predictions
        assert distance(predictions[:, run], wanted) <= TOLERANCE
        last = task_losses(wanted[-1:], episode.query_y[run : run + 1], loss)[0]
        assert distance(scores[run], last) <= TOLERANCE


def test_inner_gradients_are_differentiable_in_second_order_training_alone(monkeypatch):
    grad, asked = torch.autograd.grad, []

    def spied(*args, create_graph=False, **kwargs):
        asked.append(create_graph)
        return grad(*args, create_graph=create_graph, **kwargs)

    monkeypatch.setattr(torch.autograd, "grad", spied)
    for second_order in (True, False):
        learner = learner_of(passes=1, second_order=second_order)
        params, episode = pack_of(learner), episode_for(learner.shape)
        for enabled in (True, False):
            with torch.set_grad_enabled(enabled):
                learner.adapt(params, episode)
    assert asked == [True, False, False, False]


@pytest.mark.parametrize("eval_passes", [None, 1, 4])
def test_eval_passes_count_where_gradients_are_disabled_alone(eval_passes):
    learner = learner_of(passes=2, eval_passes=eval_passes)
    params, episode = pack_of(learner), episode_for(learner.shape)
    assert len(list(learner.passes(params, episode))) == 2
    with torch.no_grad():
        assert len(list(learner.passes(params, episode))) == (eval_passes or 2)


# By hand


def test_a_step_and_its_meta_gradient_by_hand():
    """Of y = w x: w' = w - lr * 2 x (w x - y), so dL/dw = (1 - 2 lr x^2) dL/dw', and dL/dw' in the first order."""
    gradients = []
    for second_order in (True, False):
        learner = MAML(MAMLConfig(base_widths=(), second_order=second_order), TaskShape((1,), 1))
        weight, zero = torch.tensor([[[3.0]]], requires_grad=True), torch.zeros(1, 1)
        params = {"layer.0.weight": weight, "layer.0.bias": zero.requires_grad_(), "inner_lr": torch.tensor([0.125])}
        x, y = torch.tensor([[[[1.0], [-1.0]]]]), torch.tensor([[[[1.0], [-1.0]]]])  # the bias stays where it is
        episode = Episode(x, y, torch.tensor([[[[2.0]]]]), torch.tensor([[[[0.0]]]]))
        fast = learner.adapt(params, episode)
        assert fast["layer.0.weight"].item() == 3 - 0.125 * 2 * (3 - 1)
        assert fast["layer.0.bias"].item() == 0
        (gradient,) = torch.autograd.grad(training_loss(learner, params, episode).sum(), weight)
        gradients.append(gradient.item())
    after = 2 * 2 * (2.5 * 2)
    assert gradients == [(1 - 2 * 0.125) * after, after]


# What the options do


@pytest.mark.parametrize(
    "option",
    [{"activation": "tanh"}, {"batch_norm": True}, {"passes": 3}, {"clip": CLIP}],
    ids=lambda option: next(iter(option)),
)
def test_every_option_makes_a_difference(option):
    learners = [learner_of(**options) for options in ({}, option)]
    episode = episode_for(learners[0].shape)
    plain, other = (computed(learner, pack_of(learner), episode) for learner in learners)
    assert distance(other.predictions[-1], plain.predictions[-1]) > 1e-3


def test_first_order_changes_gradients_and_nothing_else():
    learners = [learner_of(second_order=value) for value in (True, False)]
    params, episode = pack_of(learners[0]), episode_for(learners[0].shape)
    second, first = (computed(learner, params, episode) for learner in learners)
    assert torch.equal(first.predictions, second.predictions)
    assert distance(first.gradients["layer.1.weight"], second.gradients["layer.1.weight"]) > 1e-2


@torch.no_grad()
def test_support_and_queries_have_batch_statistics_of_their_own():
    learner = learner_of(batch_norm=True)
    params, episode = pack_of(learner), episode_for(learner.shape)
    fast = learner.adapt(params, episode)
    together, fewer = (learner.predict(params, fast, x) for x in (episode.query_x, episode.query_x[:, :, :2]))
    assert distance(fewer, together[:, :, :2]) > 1e-3  # transductive
    moved = Episode(episode.support_x, episode.support_y, 9 * episode.query_x, episode.query_y)
    assert all(torch.equal(fast[name], weight) for name, weight in learner.adapt(params, moved).items())


# What a learner may look at


@pytest.mark.parametrize("network", ["relu-norm", "conv4"])
def test_adaptation_does_not_look_at_the_query_set(network):
    learner = learner_of(**NETWORKS[network])
    params, episode = pack_of(learner), episode_for(learner.shape)
    known, blind = (learner.adapt(params, seen) for seen in (episode, without_queries(episode)))
    assert all(torch.equal(known[name], blind[name]) for name in params if name != "inner_lr")


@pytest.mark.parametrize("network", ["relu-norm", "conv4"])
def test_a_diverged_run_does_not_touch_its_neighbours(network):
    learner = learner_of(clip=CLIP, **NETWORKS[network])
    params, episode = pack_of(learner), episode_for(learner.shape)
    healthy = computed(learner, params, episode)
    for tensor in params.values():
        tensor[1] = torch.nan
    beside = computed(learner, params, episode)
    assert beside.predictions[:, 1].isnan().all()
    for run in (0, 2):
        assert torch.equal(beside.predictions[:, run], healthy.predictions[:, run])
        assert all(torch.equal(grad[run], healthy.gradients[name][run]) for name, grad in beside.gradients.items())


# Sizes and configuration


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("options", "shape", "count"),
    [
        ({}, TaskShape((1,), 1), 17_018),
        ({"base_widths": (256, 128, 64, 64), "batch_norm": True}, TaskShape((1, 28, 28), 5), 247_621),
        ({"backbone": "conv4", "base_widths": ()}, TaskShape((3, 84, 84), 5), 121_093),
    ],
    ids=["sine", "omniglot", "conv4"],
)
def test_parameter_count(options, shape, count):
    """Tables 1 to 3."""
    learner = MAML(MAMLConfig(**options), shape)
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == count
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_initial_weights():
    learner = MAML(MAMLConfig(batch_norm=True), TaskShape((1,), 1))
    first, again, other = (learner.init(learner.config, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = {"layer.3.bias", *(f"layer.{layer}.weight" for layer in range(4))}
    assert {name for name in first if not torch.equal(first[name], other[name])} == drawn
    assert not any(first[f"layer.{layer}.{name}"].any() for layer in range(3) for name in ("bias", "shift"))
    assert all((first[f"layer.{layer}.scale"] == 1).all() for layer in range(3))
    assert first["layer.1.weight"].abs().max() <= 91**-0.5


def test_runs_of_one_pack_may_differ_in_the_step_size_alone():
    config = MAMLConfig(inner_lr=0.3)
    constants = MAML(config, TaskShape((1,), 1)).constants(config)
    assert {name: value.item() for name, value in constants.items()} == {"inner_lr": pytest.approx(0.3)}
    assert signature(config) == signature(MAMLConfig(inner_lr=0.1))
    assert signature(config) != signature(MAMLConfig(inner_lr=0.3, eval_passes=3))


def test_conventions():
    paper, authors = (build(MAMLConfig, {"convention": name}, Problems()) for name in ("paper", "authors"))
    assert (paper.clip, authors.clip) == (None, 10.0)
    assert (paper.second_order, paper.loss_on, paper.eval_passes) == (True, "last", None)
    assert build(MAMLConfig, {"convention": "authors", "clip": None}, Problems()).clip is None


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"passes": 0}, "passes"),
        ({"eval_passes": 0}, "eval_passes"),
        ({"inner_lr": 0}, "inner_lr"),
        ({"clip": -1}, "clip"),
        ({"base_widths": [3, 0]}, "base_widths"),
        ({"activation": "gelu"}, "activation"),
        ({"backbone": "resnet"}, "backbone"),
    ],
)
def test_impossible_values_are_refused(values, place):
    problems = Problems()
    assert build(MAMLConfig, values, problems) is None
    assert [path for path, _ in problems.found] == [(place,)]
