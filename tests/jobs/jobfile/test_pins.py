"""What a job pins wins over its space, and over what the space derives from it."""

import pytest

from jobs.jobfile.given import given_point
from jobs.jobfile.reading import load_job, parse_job
from jobs.sweep.proposals import proposed
from oplstm.errors import RequestError
from tests.jobs.jobfile.job_texts import the_problem

GRID = """
learner: op_lstm
benchmark: {name: omniglot, ways: 5, shots: 1, queries: 15}
fixed: {base_widths: [16], batch_norm: true, meta_batch_size: 64}
space: omniglot-op-lstm
sampler: {name: grid}
enqueue: [{passes: 3, cells: 20-1}]
budget: {updates: 1000, validate_every: 500}
"""
BUDGET = "{updates: 1000, validate_every: 500}"


def test_a_grid_searches_what_is_not_pinned_at_rates_of_what_is():
    found = list(proposed(load_job("omniglot-op-lstm", ["passes=1", "meta_batch_size=8"])))
    assert [one.params for one in found] == [
        {"cells": cells} for cells in ("5-5-1", "20-1", "10-10-1", "40-1", "40-20-1", "20-20-20-1")
    ]
    assert {(one.run.lr, one.run.meta_batch_size, one.run.hyperparameters.passes) for one in found} == {(1.25e-4, 8, 1)}


@pytest.mark.parametrize("rate", [".25", "25e-2"])
def test_a_random_search_does_not_record_what_it_did_not_choose(rate):
    found = list(proposed(load_job("sine-lstm", [f"lr={rate}", "meta_batch_size=9", "trials=5"])))
    assert all({"lr", "meta_batch_size"}.isdisjoint(one.params) for one in found)
    assert {(one.run.lr, one.run.meta_batch_size) for one in found} == {(0.25, 9)}


def test_what_the_benchmark_says_wins_over_a_space_that_varies_it():
    found = list(proposed(load_job("sine-shots", ["shots=7"])))
    assert sorted(one.params["support"] for one in found) == ["batched", "sequential"]
    assert {one.run.benchmark.shots for one in found} == {7}


@pytest.mark.parametrize(("pin", "ways"), [("null", None), ("7", 7)])
def test_what_is_pinned_to_nothing_is_not_searched_either(pin, ways):
    found = list(proposed(load_job("omniglot-protonet", [f"train_ways={pin}", "trials=6"])))
    assert all("train_ways" not in one.params for one in found)
    assert {one.run.benchmark.train_ways for one in found} == {ways}


def names_widths(trial):
    widths = {"small": [10], "large": [20, 20]}[trial.suggest_categorical("widths", ["small", "large"])]
    return {"widths": widths, "lr": 0.1, "meta_batch_size": trial.suggest_int("meta_batch_size", 1, 4)}


def test_a_list_is_pinned_where_the_choices_of_a_space_are_names():
    space = f"{names_widths.__module__}:{names_widths.__name__}"
    text = f"learner: lstm\nbenchmark: {{name: sine}}\nspace: {space}\nbudget: {BUDGET}\nfixed: {{widths: [7]}}\n"
    found = list(proposed(parse_job(text, "job.yaml")))
    assert sorted(one.params["meta_batch_size"] for one in found) == [1, 2, 3, 4]
    assert {(*one.params, one.run.hyperparameters.widths) for one in found} == {("meta_batch_size", (7,))}


def derives_shots(trial):
    """A space that gives shots and has no dimension of that name."""
    return {"widths": [2], "lr": 0.1, "meta_batch_size": 1, "shots": 3 * trial.suggest_int("third", 1, 2)}


@pytest.mark.parametrize(("benchmark", "shots"), [("{name: sine, shots: 5}", [5]), ("{name: sine}", [3, 6])])
def test_it_wins_over_what_the_space_derives_too(benchmark, shots):
    space = f"{derives_shots.__module__}:{derives_shots.__name__}"
    text = f"learner: lstm\nbenchmark: {benchmark}\nspace: {space}\nsampler: {{name: grid}}\nbudget: {BUDGET}\n"
    assert [one.run.benchmark.shots for one in proposed(parse_job(text, "job.yaml"))] == shots


def test_an_enqueued_point_leaves_out_what_is_pinned_or_yields_to_it():
    job = parse_job(GRID, "job.yaml", ["passes=5"])
    assert next(iter(proposed(job))).run.hyperparameters.passes == 5
    first = next(iter(proposed(parse_job(GRID, "job.yaml"))))
    assert (first.params, first.run.lr) == ({"passes": 3, "cells": "20-1"}, 0.001 / 64)


def test_a_wrong_value_among_what_is_pinned_is_said_where_it_stands():
    text = GRID.replace("ways: 5", "ways: 0")
    assert the_problem(text) == "benchmark.ways: must be >= 2, got 0 (job.yaml, line 3)"
    with pytest.raises(RequestError) as error:
        parse_job(GRID.replace("cells", "cell"), "job.yaml")
    required, unknown = error.value.problems
    assert required.startswith("enqueue.0.cells: is required, one of '5-5-1', '20-1', ")
    assert unknown == "enqueue.0.cell: unknown 'cell'; did you mean 'cells'? (job.yaml, line 7)"


def test_a_place_inside_of_what_the_command_line_replaced_is_the_command_line():
    assert the_problem(GRID, "enqueue=[{passes: 2, cells: 20-1}]") == (
        "enqueue.0.passes: must be one of 1, 3, 5, 10, got 2 (--set enqueue=[{passes: 2, cells: 20-1}])"
    )


def test_who_adds_a_point_is_told_what_the_job_pins():
    job = parse_job(GRID, "job.yaml")
    with pytest.raises(RequestError, match=r"^meta_batch_size: is pinned to 64 by the job$"):
        given_point(job, {"meta_batch_size": 4}, like={"passes": 3, "cells": "20-1"})
    params, run = given_point(job, {"passes": 1}, like={"passes": 3, "cells": "20-1", "meta_batch_size": 4})
    assert (params, run.meta_batch_size) == ({"passes": 1, "cells": "20-1"}, 64)


def test_who_adds_a_point_is_told_what_is_not_asked_for_there():
    job = load_job("sine-op-lstm")
    like = {"passes": 3, "meta_batch_size": 4, "convention": "authors", "pool_states": True, "rate": "high"}
    with pytest.raises(RequestError) as caught:
        given_point(job, {"convention": "paper", "pool_states": True, "pool": True}, like=like)
    first, second = sorted(caught.value.problems)
    assert first.startswith("pool: unknown 'pool'; known: ")
    assert second == "pool_states: is not asked for at this point of sine-op-lstm"
