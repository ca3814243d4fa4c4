"""OP-LSTM against the reference (Eqs. 11-17), its options, its symmetry, its zero messages and its size."""

from itertools import product

import pytest
import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.op_lstm import OPLSTM, OPLSTMConfig
from oplstm.nets.outer_product import _unit
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
from tests.oplstm.learners.reference import OuterProductLSTM

NORMALISATIONS = ("example", "layer", "all", "none")


def learner_of(sizes=None, /, **options):
    sizes = sizes or Sizes()
    config = OPLSTMConfig(**({"base_widths": (3, 2), "cells": (2, 1), "passes": 2} | options))
    return OPLSTM(config, TaskShape((sizes.d_x,), sizes.d_y))


def check_against_reference(sizes, /, **options):
    learner = learner_of(sizes, **options)
    check(OuterProductLSTM, learner, random_params(learner, sizes.R), random_episode(sizes))


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["paper", "authors"])
@pytest.mark.parametrize(
    ("sizes", "base_widths", "cells", "passes"),
    [
        (Sizes(R=1, B=1, k=1, Q=1), (1,), (1,), 1),
        (Sizes(R=1, B=1, k=1, Q=1), (2,), (1,), 3),
        (Sizes(R=1, B=2, k=3), (4,), (2, 1), 1),
        (Sizes(R=2, B=1, k=2), (3, 2), (1, 1), 3),
        (Sizes(R=3, B=2, k=1), (2, 3), (2, 3, 1), 2),
        (Sizes(R=3, B=3, k=3, Q=3), (2, 1), (2, 1), 2),
        (Sizes(R=2, B=1, k=3, Q=1, d_x=3), (2, 2, 2), (3, 1), 2),
        (Sizes(R=1, B=2, k=2, Q=2, d_x=2, d_y=3), (3,), (1, 2, 1), 3),
    ],
)
def test_equals_the_reference_over_sizes(convention, sizes, base_widths, cells, passes):
    options = OPLSTMConfig.conventions[convention]
    check_against_reference(sizes, base_widths=base_widths, cells=cells, passes=passes, **options)


@pytest.mark.integration
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("message", ["previous", "current"])
@pytest.mark.parametrize(
    ("pool_states", "update_bias", "second_order", "gamma_learned"),
    [(*flags, sum(flags) % 2 == 0) for flags in product([True, False], repeat=3)],
)
def test_equals_the_reference_in_every_combination(
    normalisation, message, pool_states, update_bias, second_order, gamma_learned
):
    check_against_reference(
        Sizes(R=2, B=1, k=2, Q=1, d_y=2),
        base_widths=(2, 2),
        cells=(2, 1),
        passes=3,
        normalisation=normalisation,
        message=message,
        pool_states=pool_states,
        update_bias=update_bias,
        second_order=second_order,
        gamma_learned=gamma_learned,
    )


@pytest.mark.slow
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("message", ["previous", "current"])
def test_biases_that_no_norm_counts_equal_the_reference(normalisation, message):
    options = {"update_bias": True, "bias_normalised": False, "gamma_learned": message == "current"}
    check_against_reference(
        Sizes(R=2, B=2, k=3, d_y=2), passes=3, normalisation=normalisation, message=message, **options
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_biases_are_normalised_unless_told(normalisation):
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    options = {"update_bias": True, "normalisation": normalisation}
    with_norm, without = (
        computed(learner_of(bias_normalised=value, **options), params, episode).predictions for value in (True, False)
    )
    if normalisation == "none":  # nothing to differ in
        torch.testing.assert_close(with_norm, without, rtol=1e-12, atol=1e-14)
    else:
        assert distance(without, with_norm) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("convention", ["paper", "authors"])
def test_loss_on_every_pass_equals_the_reference(convention):
    check_against_reference(Sizes(R=2, B=2, k=2), passes=3, loss_on="every", **OPLSTMConfig.conventions[convention])


@pytest.mark.parametrize(
    "option",
    [
        {"pool_states": False},
        {"normalisation": "layer"},
        {"normalisation": "all"},
        {"normalisation": "none"},
        {"message": "current"},
        {"update_bias": True},
    ],
)
def test_every_option_makes_a_difference(option):
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    paper, other = (computed(learner_of(**options), params, episode) for options in ({}, option))
    assert distance(other.predictions, paper.predictions) > 1e-4


def test_first_order_changes_gradients_and_nothing_else():
    episode, params = random_episode(Sizes()), random_params(learner_of(), 2)
    second, first = (computed(learner_of(second_order=value), params, episode) for value in (True, False))
    assert torch.equal(first.predictions, second.predictions)
    assert distance(first.gradients["H.1"], second.gradients["H.1"]) > 1e-4


def test_eq_14_by_hand():
    """With cells that answer a constant mu > 0 to everything, h a^T / |h a^T| is [1 1]^T a^T / (sqrt(2) |a|)."""
    learner = learner_of(base_widths=(2,), cells=(1,), passes=1)
    params = {name: torch.zeros_like(tensor) for name, tensor in random_params(learner, 1).items()}
    params["gamma"] += 0.5
    params["H.0"] += torch.tensor([[2.0], [-1.0]])
    params["H.1"] += torch.tensor([[1.0, 3.0]])
    for part in ("output", "body"):
        params[f"{part}.0.b_x"] += 1  # every gate open a little, the candidate positive
    episode = random_episode(Sizes(R=1, B=1, k=2, Q=1))
    episode.support_x[0, 0] = torch.tensor([[4.0], [-3.0]])  # a_1 = (8, 0) and (0, 3)
    ((h_0, b_0), (h_1, b_1)) = learner.adapt(params, episode)
    gone = 0.5 * (1 - 1) / 2  # +1 and -1 average out
    assert h_0[0, 0].tolist() == [[2 + gone], [-1 + gone]]
    assert h_1[0, 0, 0].tolist() == pytest.approx([1 + 0.5 / 2, 3 + 0.5 / 2], rel=1e-15)
    assert not b_0.any()
    assert not b_1.any()


@pytest.mark.parametrize("outputs", [1, 2])
def test_of_a_single_output_node_eq_14_keeps_the_sign_alone(outputs):
    """h a^T / |h a^T| of a number h is its sign times a / |a|, so that no gradient reaches h through it."""
    sizes = Sizes(k=4, d_y=outputs)
    learner = learner_of(sizes, passes=1)
    got = computed(learner, random_params(learner, 2), random_episode(sizes))
    size = {name: grad.norm() for name, grad in got.gradients.items()}
    assert (size["output.1.w_x"] > 1e-9 * size["H.2"]) == (outputs > 1)
    assert size["body.1.w_x"] > 1e-9 * size["H.2"]


# Eq. 14 where an outer product is zero


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("update_bias", [False, True])
@pytest.mark.parametrize("bias", [-100.0, 0.0], ids=["all dead", "some examples dead"])
def test_a_dead_relu_contributes_zero_with_a_finite_gradient(normalisation, update_bias, bias):
    sizes = Sizes(R=1, B=2, k=3)
    learner = learner_of(sizes, base_widths=(3,), normalisation=normalisation, update_bias=update_bias)
    params, episode = random_params(learner, 1), random_episode(sizes)
    params["H.0"] = params["H.0"].abs()  # negative x: no node answers
    params["b.0"] = torch.full_like(params["b.0"], bias)
    episode.support_x[:] = torch.tensor([[1.0], [-1.0], [0.5]])
    got = computed(learner, params, episode)
    assert all(part.isfinite().all() for part in (got.predictions, *got.gradients.values()))
    check(OuterProductLSTM, learner, params, episode)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("parts", [("output",), ("body",), ("output", "body")], ids="-".join)
def test_a_zero_message_contributes_zero_with_a_finite_gradient(normalisation, parts):
    sizes = Sizes(R=1, B=2, k=2)
    learner = learner_of(sizes, normalisation=normalisation)
    params, episode = random_params(learner, 1), random_episode(sizes)
    for name in params:
        if name.split(".")[0] in parts:
            params[name] = torch.zeros_like(params[name])
    got = computed(learner, params, episode)
    assert all(part.isfinite().all() for part in (got.predictions, *got.gradients.values()))
    if len(parts) == 2:  # nothing is learned
        assert distance(got.predictions[1], got.predictions[0]) == 0
    check(OuterProductLSTM, learner, params, episode)


# The order of the support set


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("pool_states", [True, False])
@pytest.mark.parametrize("message", ["previous", "current"])
def test_op_lstm_does_not_see_the_order_of_the_support_set(normalisation, pool_states, message):
    """Eq. 9."""
    learner = learner_of(passes=3, normalisation=normalisation, pool_states=pool_states, message=message)
    episode, params = random_episode(Sizes(k=5)), random_params(learner, 2)
    moved = computed(learner, params, permuted(episode, [3, 1, 4, 0, 2]))
    assert distance(moved.predictions, computed(learner, params, episode).predictions) < 1e-12


# What a learner may look at


def test_adaptation_does_not_look_at_the_query_set():
    learner = learner_of()
    episode, params = random_episode(Sizes()), random_params(learner, 2)
    known = [learner.adapt(params, seen) for seen in (episode, without_queries(episode))]
    assert torch.equal(*(learner.predict(params, fast, episode.query_x) for fast in known))


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_diverged_run_does_not_touch_its_neighbours(normalisation):
    learner = learner_of(normalisation=normalisation)
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
    [({"convention": "authors"}, 17_923), ({}, 17_922)],  # Table 1's 18,107 counts 2 x 92 unused parameters
    ids=["authors", "paper"],
)
def test_parameter_count(options, count):
    learner = OPLSTM(build(OPLSTMConfig, options, Problems()), TaskShape((1,), 1))
    params = learner.init(learner.config, torch.Generator())
    assert Layout(params).size == count
    assert {tensor.dtype for tensor in params.values()} == {torch.float32}


def test_initial_weights():
    learner = OPLSTM(OPLSTMConfig(gamma=0.3, gamma_learned=True), TaskShape((1,), 1))
    first, again, other = (learner.init(learner.config, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if torch.equal(first[name], other[name])} == {"b.0", "b.1", "b.2", "gamma"}
    assert not any(first[f"b.{layer}"].any() for layer in range(3))
    assert first["b.3"].any()
    assert first["gamma"].item() == pytest.approx(0.3)
    assert first["H.1"].shape == (91, 91)
    assert first["H.1"].abs().max() <= 91**-0.5


def test_gamma_is_trained_or_constant_never_both():
    for learned in (True, False):
        config = OPLSTMConfig(gamma=0.3, gamma_learned=learned)
        learner = OPLSTM(config, TaskShape((1,), 1))
        trained, constant = learner.init(config, torch.Generator()), learner.constants(config)
        assert ("gamma" in trained, "gamma" in constant) == (learned, not learned)


def test_defaults_are_the_papers_equations():
    config = build(OPLSTMConfig, {}, Problems())
    assert (config.normalisation, config.message, config.loss_on) == ("example", "previous", "last")
    assert (config.pool_states, config.second_order) == (True, True)
    assert (config.gamma_learned, config.update_bias, config.bias_normalised) == (False, False, True)


def test_authors_convention():
    config = build(OPLSTMConfig, {"convention": "authors", "passes": 3}, Problems())
    assert (config.normalisation, config.message, config.pool_states) == ("all", "current", False)
    assert (config.gamma, config.gamma_learned, config.passes) == (0.025, True, 3)
    assert (config.update_bias, config.bias_normalised) == (False, False)


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"passes": 0}, "passes"),
        ({"base_widths": [0]}, "base_widths"),
        ({"base_widths": [3, 0]}, "base_widths"),
        ({"cells": []}, "cells"),
        ({"cells": [5, 5]}, "cells"),
        ({"normalisation": "frobenius"}, "normalisation"),
    ],
)
def test_impossible_values_are_refused(values, place):
    problems = Problems()
    assert build(OPLSTMConfig, values, problems) is None
    assert [path for path, _ in problems.found] == [(place,)]


def test_normalisation_is_exact_where_squares_leave_float32():
    vector = torch.tensor([[3e-14, 4e-14]], requires_grad=True)
    unit = _unit(vector)
    torch.testing.assert_close(unit.detach(), torch.tensor([[0.6, 0.8]]))
    (gradient,) = torch.autograd.grad(unit[0, 0], vector)
    torch.testing.assert_close(gradient, torch.tensor([[0.64, -0.48]]) / 5e-14)
