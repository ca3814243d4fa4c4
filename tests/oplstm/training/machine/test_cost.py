"""The predicted cost of a run: what makes it larger, and which runs stand for many."""

from dataclasses import replace

import pytest

from oplstm.training.machine import cost as module
from oplstm.training.machine.cost import cost, parameters_of, representatives, update_cost
from oplstm.training.parameters import parameter_count
from tests.oplstm.training.runs import LEARNERS, run


def test_an_update_costs_its_passes_and_what_its_parameters_cost():
    """T (1 + P B / 50,000) + P / 5,000."""
    one = run("lstm", widths=[40, 40], passes=3, meta_batch_size=4)
    parameters = parameter_count(one)
    assert update_cost(one) == pytest.approx(3 * (1 + 4 * parameters / 50_000) + parameters / 5_000)
    assert update_cost(replace(one, lr=0.5, seed=9)) == update_cost(one)


def test_the_lstms_of_nodes_cost_their_units():
    """T (1 + B (P / 50,000 + units / 1,300)) + P / 5,000, for 12 nodes of 4 units."""
    one = run("op_lstm", base_widths=[6, 5], cells=[3, 1], passes=2, meta_batch_size=4)
    parameters = parameter_count(one)
    expected = 2 * (1 + 4 * (parameters / 50_000 + 48 / 1_300)) + parameters / 5_000
    assert update_cost(one) == pytest.approx(expected)


def test_a_run_costs_its_updates():
    assert cost(run(tasks=60, meta_batch_size=2)) == pytest.approx(30 * update_cost(run(meta_batch_size=2)))
    assert cost(run(updates=60, meta_batch_size=2)) == pytest.approx(60 * update_cost(run(meta_batch_size=2)))


def test_small_meta_batches_take_longer_to_the_same_number_of_tasks():
    costs = [cost(run(widths=[40, 40], meta_batch_size=size)) for size in (1, 2, 4)]
    assert costs == sorted(costs, reverse=True)


@pytest.mark.parametrize("learner", LEARNERS)
def test_parameters_are_those_of_the_run(learner):
    assert parameters_of(run(learner)) == parameter_count(run(learner))


def test_the_size_of_a_learner_without_widths_is_found_once(monkeypatch):
    made = []
    monkeypatch.setattr(module, "counted_parameters", lambda *_: None)
    monkeypatch.setattr(module, "parameter_count", lambda run: made.append(run) or 7)
    module._initialised.cache_clear()
    one = run("maml")
    assert [parameters_of(each) for each in (one, replace(one, seed=3, lr=0.5), run("lstm"))] == [7, 7, 7]
    assert [each.learner for each in made] == ["maml", "lstm"]
    module._initialised.cache_clear()


def sizes(runs):
    return [each.meta_batch_size for each in runs]


def test_alike_runs_have_one_representative():
    assert len(representatives([run(seed=seed, lr=0.01 * (seed + 1)) for seed in range(9)])) == 1


def test_representatives_are_the_heaviest_and_quantiles_of_the_updates():
    runs = [run(tasks=20_000, meta_batch_size=size) for size in range(1, 101)]
    assert sizes(representatives(runs)) == sizes(representatives(runs[::-1])) == [100, 67, 34, 1]
    few_heavy = [run(meta_batch_size=size) for size in (9, *[2] * 20)]
    assert sizes(representatives(few_heavy)) == [9, 2]
    assert sizes(representatives(runs[:1])) == [1]
    assert sizes(representatives(runs[:2])) == [2, 1]
