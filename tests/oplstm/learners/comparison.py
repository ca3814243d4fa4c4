"""Random packs for a learner, and their comparison with the reference, one run at a time."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.learners.learner import AnyLearner
from oplstm.training.evaluation import training_losses
from tests.oplstm.learners.reference import Answer, answer

TOLERANCE = 1e-10  # relative, in norm, per tensor
ROUNDING = 1e-14  # of the whole gradient: a tensor this small is zero by symmetry and holds rounding alone


class Sizes(NamedTuple):
    """R runs, B tasks, k support points, Q queries."""

    R: int = 2
    B: int = 2
    k: int = 3
    Q: int = 2
    d_x: int = 1
    d_y: int = 1


def random_episode(sizes: Sizes, seed: int = 0) -> Episode:
    """Standard normal inputs and targets in float64."""
    g = torch.Generator().manual_seed(seed)
    R, B, k, Q, d_x, d_y = sizes
    shapes = ((R, B, k, d_x), (R, B, k, d_y), (R, B, Q, d_x), (R, B, Q, d_y))
    return Episode(*(torch.randn(shape, generator=g, dtype=torch.float64) for shape in shapes))


def random_classes(ways: int, k: int, Q: int, *, R: int = 2, B: int = 2, x: tuple[int, ...] = (3,)) -> Episode:
    """Standard normal inputs of the shape x in float64, k support examples and Q queries of each of N classes."""
    g = torch.Generator().manual_seed(0)
    parts = []
    for each in (k, Q):
        parts.append(torch.randn((R, B, ways * each, *x), generator=g, dtype=torch.float64))
        parts.append(torch.eye(ways).double().repeat_interleave(each, 0).expand(R, B, -1, -1))
    return Episode(*parts)


def random_params(learner: AnyLearner, runs: int, seed: int = 0) -> dict[str, Tensor]:
    """The parameters and constants of a pack in float64, moved away from their initial values; gamma differs by run."""
    g = torch.Generator().manual_seed(seed)
    one_by_one = []
    for run in range(runs):
        params = {
            name: tensor.double() + 0.3 * torch.randn(tensor.shape, generator=g, dtype=torch.float64)
            for name, tensor in learner.init(learner.config, g).items()
        }
        for name in ("gamma",):
            if name in params or name in learner.constants(learner.config):
                params[name] = torch.tensor(0.4 + 0.3 * run).double()
        one_by_one.append(params)
    return {name: torch.stack([params[name] for params in one_by_one]) for name in one_by_one[0]}


def training_loss(learner: AnyLearner, params: dict[str, Tensor], batch: Episode) -> Tensor:
    """The meta-training loss of each run, ``(R,)``: the mean over its tasks."""
    return training_losses(learner, params, batch=batch).mean(1)


def computed(learner: AnyLearner, params: dict[str, Tensor], episode: Episode) -> Answer:
    """Predictions after each pass ``(T, R, B, Q, d_y)`` and gradients ``(R, ...)`` of the code under test."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    with torch.no_grad():
        predictions = [learner.predict(leaves, fast, episode.query_x) for fast in learner.passes(leaves, episode)]
    loss = training_loss(learner, leaves, episode)
    found = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), found, strict=True)
    }
    return Answer(torch.stack(predictions), gradients)


def distance(got: Tensor, wanted: Tensor) -> float:
    """|got - wanted| / |wanted|; absolute where ``wanted`` is zero."""
    assert got.shape == wanted.shape
    error, size = (got - wanted).norm(), wanted.norm()
    return float(error / size if size > 0 else error)


def check(method: Any, learner: AnyLearner, params: dict[str, Tensor], episode: Episode) -> None:
    """Predictions after every pass and all gradients are the reference's."""
    got = computed(learner, params, episode)
    assert len(got.predictions) == learner.config.passes
    loss = learner.shape.loss
    for run in range(episode.support_x.shape[0]):
        reference = method({name: tensor[run] for name, tensor in params.items()}, learner.config)
        support = episode.support_x[run], episode.support_y[run]
        wanted = answer(reference, support, (episode.query_x[run], episode.query_y[run]), loss)
        assert distance(got.predictions[:, run], wanted.predictions) <= TOLERANCE
        assert got.gradients.keys() == wanted.gradients.keys()
        whole = torch.cat([grad.flatten() for grad in wanted.gradients.values()]).norm()
        for name, grad in wanted.gradients.items():
            error = (got.gradients[name][run] - grad).norm()
            assert error <= TOLERANCE * grad.norm() + ROUNDING * whole, f"{name}: {error:g} of {grad.norm():g}"


def without_queries(episode: Episode) -> Episode:
    """The same support sets; whoever looks at the queries gets nan."""
    hidden = (torch.full_like(part, torch.nan) for part in (episode.query_x, episode.query_y))
    return Episode(episode.support_x, episode.support_y, *hidden)


def permuted(episode: Episode, order: list[int]) -> Episode:
    """The same tasks with their support sets in another order."""
    return Episode(episode.support_x[:, :, order], episode.support_y[:, :, order], episode.query_x, episode.query_y)
