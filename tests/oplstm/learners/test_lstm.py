"""The plain LSTM against the reference (Eqs. 1-10), its options, its symmetry and its size."""

from itertools import product
from typing import get_args

import pytest
import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.episode import Episode
from oplstm.episodes.registry import BENCHMARKS
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import Encoding, LSTMConfig
from oplstm.training.evaluation import evaluate, training_losses
from oplstm.training.parameters import Layout
from tests.oplstm.learners.comparison import (
    Sizes,
    check,
    computed,
    distance,
    permuted,
    random_episode,
    random_params,
    without_queries,
)
from tests.oplstm.learners.reference import PlainLSTM

ENCODINGS = get_args(Encoding)
LATE = [encoding for encoding in ENCODINGS if encoding != "current_target"]


def learner_of(sizes=None, /, **options):
    sizes = sizes or Sizes()
    return LSTM(LSTMConfig(**({"widths": (3, 2), "passes": 2} | options)), TaskShape((sizes.d_x,), sizes.d_y))


def check_against_reference(sizes, /, **options):
    learner = learner_of(sizes, **options)
    check(PlainLSTM, learner, random_params(learner, sizes.R), random_episode(sizes))


@pytest.mark.parametrize("convention", ["paper", "authors"])
@pytest.mark.parametrize(
    ("sizes", "widths", "passes"),
    [
        (Sizes(R=1, B=1, k=1, Q=1), (1,), 1),
        (Sizes(R=1, B=1, k=1, Q=1), (1,), 2),
        (Sizes(R=1, B=2, k=3), (4,), 2),
        (Sizes(R=2, B=1, k=2), (3,), 3),
        (Sizes(R=3, B=2, k=1), (2, 3), 2),
        (Sizes(R=3, B=3, k=3, Q=3), (3, 1, 2), 3),
        (Sizes(R=2, B=3, k=2, Q=1, d_x=3), (2, 2), 1),
        (Sizes(R=1, B=2, k=3, Q=2, d_x=2, d_y=3), (3, 2, 1), 2),
        (Sizes(R=2, B=1, k=3, Q=3, d_x=1, d_y=2), (1, 4), 3),
    ],
)
@pytest.mark.parametrize("support", ["batched", "sequential"])
def test_equals_the_reference_over_sizes(convention, sizes, widths, passes, support):
    check_against_reference(sizes, widths=widths, passes=passes, support=support, **LSTMConfig.conventions[convention])


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("loss_on", ["last", "every"])
@pytest.mark.parametrize(
    ("pool_cell", "query_cell", "first_pass_labels", "error"),
    [*product([True, False], ["carried", "zero"], [True], ["difference"]),
     *product([True, False], ["carried", "zero"], [False], ["squared"])],
)  # fmt: skip
def test_batched_equals_the_reference_in_every_combination(
    encoding, loss_on, pool_cell, query_cell, first_pass_labels, error
):
    check_against_reference(
        Sizes(R=2, B=2, k=3, Q=1, d_y=2),
        encoding=encoding,
        loss_on=loss_on,
        pool_cell=pool_cell,
        query_cell=query_cell,
        first_pass_labels=first_pass_labels,
        error=error,
    )


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("loss_on", ["last", "every"])
@pytest.mark.parametrize("query_cell", ["carried", "zero"])
def test_sequential_equals_the_reference_in_every_combination(encoding, loss_on, query_cell):
    options = {"encoding": encoding, "loss_on": loss_on, "query_cell": query_cell}
    check_against_reference(Sizes(R=2, B=2, k=3, d_x=2, d_y=2), support="sequential", **options)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("query_cell", "error"), [("zero", "squared"), ("carried", "difference")])
@pytest.mark.parametrize("k", [1, 3])
def test_closed_chains_equal_the_reference(encoding, query_cell, error, k):
    options = {"encoding": encoding, "query_cell": query_cell, "error": error, "loss_on": "every", "chain": "closed"}
    check_against_reference(Sizes(R=2, B=1, k=k, d_x=2, d_y=2), support="sequential", **options)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("first_pass_labels", [True, False])
def test_the_support_losses_equal_the_reference(encoding, first_pass_labels):
    options = {"encoding": encoding, "first_pass_labels": first_pass_labels, "pool_cell": first_pass_labels}
    check_against_reference(Sizes(R=2, B=2, k=3, d_y=2), passes=3, loss_on="last_and_support", **options)


@pytest.mark.parametrize("option", ["pool_cell", "first_pass_labels"])
def test_batched_options_do_nothing_when_sequential(option):
    episode = random_episode(Sizes())
    params = random_params(learner_of(), 2)
    learners = [learner_of(support="sequential", **{option: value}) for value in (True, False)]
    assert torch.equal(*(computed(learner, params, episode).predictions for learner in learners))


@pytest.mark.parametrize(
    "option", [{"pool_cell": False}, {"query_cell": "zero"}, {"first_pass_labels": False}, {"support": "sequential"}]
)
def test_every_option_makes_a_difference(option):
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    paper, other = (computed(learner_of(**options), params, episode) for options in ({}, option))
    assert distance(other.predictions, paper.predictions) > 1e-4


@pytest.mark.parametrize("encoding", LATE)
@pytest.mark.parametrize("option", [{"chain": "closed"}, {"error": "squared"}])
def test_what_of_late_encodings_is_an_option_matters_where_it_can(encoding, option):
    late = {"support": "sequential", "encoding": encoding}
    episode, params = random_episode(Sizes()), random_params(learner_of(**late), 2)
    paper, other = (computed(learner_of(**late, **options), params, episode) for options in ({}, option))
    matters = "chain" in option or "error" in encoding
    assert (distance(other.predictions, paper.predictions) > 1e-4) == matters


def test_a_closed_chain_goes_on_with_its_state_and_begins_anew_with_what_it_is_fed():
    """One example and its closing step, by hand: (x, 0), (x, y), and once more in the second pass."""
    learner = learner_of(support="sequential", encoding="previous_target", chain="closed")
    episode = random_episode(Sizes(k=1))
    params = random_params(learner, 2)
    twice = torch.cat((episode.support_x, episode.support_x), 2)
    labels = torch.cat((torch.zeros_like(episode.support_y), episode.support_y), 2)
    current = learner_of(support="sequential", encoding="current_target")
    wanted = computed(current, params, Episode(twice, labels, episode.query_x, episode.query_y))
    assert distance(computed(learner, params, episode).predictions, wanted.predictions) < 1e-12


def test_loss_on_every_pass_is_the_mean_of_the_losses_of_the_passes():
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    every = computed(learner_of(passes=3, loss_on="every"), params, episode)
    parts = [computed(learner_of(passes=t), params, episode) for t in (1, 2, 3)]
    for name, grad in every.gradients.items():
        assert distance(grad, sum(part.gradients[name] for part in parts) / 3) < 1e-12


def test_the_losses_of_the_support_set_enter_training_alone():
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    with_support, without = (learner_of(loss_on=name) for name in ("last_and_support", "last"))
    assert (
        training_losses(with_support, params, batch=episode) > training_losses(without, params, batch=episode)
    ).all()
    assert torch.equal(*(evaluate(learner, params, episode)["loss"] for learner in (with_support, without)))


def test_runs_that_make_fewer_passes_train_on_the_support_losses_of_theirs():
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    learner = learner_of(passes=3, loss_on="last_and_support")
    losses = training_losses(learner, params, batch=episode, counts=[3, 2])
    for run, passes in enumerate((3, 2)):
        alone = training_losses(learner_of(passes=passes, loss_on="last_and_support"), params, batch=episode)
        torch.testing.assert_close(losses[run], alone[run], rtol=1e-12, atol=0)


# The order of the support set


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_a_batched_lstm_does_not_see_the_order_of_the_support_set(encoding, convention):
    """Eq. 9."""
    learner = learner_of(passes=3, encoding=encoding, **LSTMConfig.conventions[convention])
    episode, params = random_episode(Sizes(k=5)), random_params(learner, 2)
    moved = computed(learner, params, permuted(episode, [3, 1, 4, 0, 2]))
    assert distance(moved.predictions, computed(learner, params, episode).predictions) < 1e-12


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_sequential_lstm_does(encoding):
    learner = learner_of(passes=3, encoding=encoding, support="sequential")
    episode, params = random_episode(Sizes(k=5)), random_params(learner, 2)
    moved = computed(learner, params, permuted(episode, [3, 1, 4, 0, 2]))
    assert distance(moved.predictions, computed(learner, params, episode).predictions) > 1e-4


# What a learner may look at


def test_adaptation_does_not_look_at_the_query_set():
    learner = learner_of()
    episode, params = random_episode(Sizes()), random_params(learner, 2)
    known = [learner.adapt(params, seen) for seen in (episode, without_queries(episode))]
    assert torch.equal(*(learner.predict(params, fast, episode.query_x) for fast in known))


def test_query_points_do_not_see_each_other():
    learner = learner_of()
    episode, params = random_episode(Sizes(Q=4)), random_params(learner, 2)
    fast = learner.adapt(params, episode)
    together = learner.predict(params, fast, episode.query_x)
    apart = [learner.predict(params, fast, episode.query_x[:, :, q : q + 1]) for q in range(4)]
    assert distance(torch.cat(apart, dim=2), together) < 1e-14


@pytest.mark.parametrize("support", ["batched", "sequential"])
def test_a_diverged_run_does_not_touch_its_neighbours(support):
    learner = learner_of(support=support)
    episode, params = random_episode(Sizes(R=3)), random_params(learner, 3)
    healthy = computed(learner, params, episode)
    for tensor in params.values():
        tensor[1] = torch.nan
    beside = computed(learner, params, episode)
    assert beside.predictions[:, 1].isnan().all()
    for run in (0, 2):
        assert torch.equal(beside.predictions[:, run], healthy.predictions[:, run])
        assert all(torch.equal(grad[run], healthy.gradients[name][run]) for name, grad in beside.gradients.items())


# Sizes and configuration


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"widths": (40, 40)}, 20_201),  # Table 1
        ({"widths": (40, 40, 40, 40)}, 46_441),
        ({"widths": (40, 40), "encoding": "previous_target_prediction_error"}, 20_201 + 2 * 160),
    ],
)
def test_parameter_count(options, count):
    learner = LSTM(LSTMConfig(**options), TaskShape((1,), 1))
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == count
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_initial_weights_follow_from_the_generator():
    learner = learner_of()
    first, again, other = (learner.init(learner.config, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_defaults_are_the_papers_equations():
    config = build(LSTMConfig, {}, Problems())
    assert (config.support, config.encoding, config.loss_on) == ("batched", "current_target", "last")
    assert (config.pool_cell, config.query_cell, config.first_pass_labels) == (True, "carried", True)
    assert (config.chain, config.error) == ("continued", "difference")


def test_authors_convention():
    config = build(LSTMConfig, {"convention": "authors"}, Problems())
    assert (config.pool_cell, config.query_cell, config.chain, config.error) == (False, "zero", "closed", "squared")


@pytest.mark.parametrize(("benchmark", "labels"), [("sine", False), ("omniglot", True), ("cub", True)])
def test_authors_leave_out_the_labels_of_the_first_pass_on_sine_alone(benchmark, labels):
    definition = BENCHMARKS[benchmark]()
    for convention, wanted in (("authors", labels), ("paper", True)):
        further = LSTM.conventions_on(definition)
        config = build(LSTMConfig, {"convention": convention}, Problems(), further=further)
        assert config.first_pass_labels is wanted
    given = {"convention": "authors", "first_pass_labels": not labels}
    config = build(LSTMConfig, given, Problems(), further=LSTM.conventions_on(definition))
    assert config.first_pass_labels is not labels


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"passes": 0}, "passes"),
        ({"widths": []}, "widths"),
        ({"support": "sequential", "loss_on": "last_and_support"}, "loss_on"),
        ({"widths": [4, 0]}, "widths"),
        ({"first_pass_labels": False, "passes": 1}, "passes"),
        *(({"encoding": encoding, "passes": 1}, "passes") for encoding in LATE),
    ],
)
def test_impossible_values_are_refused(values, place):
    problems = Problems()
    assert build(LSTMConfig, values, problems) is None
    assert [path for path, _ in problems.found] == [(place,)]


@pytest.mark.parametrize(
    "values",
    [{}, *({"support": "sequential", "encoding": encoding, "first_pass_labels": False} for encoding in ENCODINGS)],
)
def test_one_pass_is_enough_where_the_labels_are_seen(values):
    problems = Problems()
    assert build(LSTMConfig, values | {"passes": 1}, problems) is not None, problems.lines()
