"""One run's configuration: budgets and milestones, plain data and back, what may share a pack, digests."""

import hashlib
import json
import math
from dataclasses import replace

import pytest

from oplstm.configuration import Problems, build
from oplstm.learners.registry import LEARNERS
from oplstm.training.budget import Budget
from oplstm.training.run import RunConfig, build_run

DATA = {
    "learner": "op_lstm",
    "hyperparameters": {"base_widths": [4, 4], "cells": [2, 1], "passes": 2, "gamma": 0.2},
    "benchmark": {"name": "sine", "shots": 5},
    "meta_batch_size": 4,
    "lr": 1e-3,
    "budget": {"tasks": 100, "validate_every": 30},
    "seed": 1,
    "evaluation_seed": 2,
}


def run_of(changes=None, /, **more):
    """The run of DATA with changes by dotted path."""
    data = json.loads(json.dumps(DATA))
    for path, value in ((changes or {}) | more).items():
        *above, last = path.split(".")
        place = data
        for key in above:
            place = place[key]
        place[last] = value
    problems = Problems()
    return build_run(data, problems), problems.lines()


def ok(changes=None, /, **more):
    run, lines = run_of(changes, **more)
    assert lines == []
    return run


# Budgets


def budget(**values):
    problems = Problems()
    return build(Budget, {"validate_every": 10} | values, problems), problems.lines()


def brute_milestones(unit, total, every, size):
    """Meta-update by meta-update: the multiples reached by it that the one before had not reached."""
    reached, found = 0, {}
    for update in range(1, total + 1):
        seen = min(update * size if unit == "tasks" else update, total)
        while reached + every <= seen:
            reached += every
            found[update] = reached
    return found


@pytest.mark.parametrize("unit", ["tasks", "updates"])
@pytest.mark.parametrize("total", [10, 24, 70])
@pytest.mark.parametrize("every", [1, 3, 10])
@pytest.mark.parametrize("size", [1, 3, 4, 25, 100])
def test_milestones_are_the_first_updates_to_reach_each_multiple(unit, total, every, size):
    plan, lines = budget(**{unit: total, "validate_every": every})
    assert lines == []
    assert plan.milestones(size) == brute_milestones(unit, total, every, size)
    assert plan.update_count(size) == (total if unit == "updates" else math.ceil(total / size))
    assert max(plan.milestones(size)) <= plan.update_count(size)


def test_milestones_of_the_papers_sine_budget():
    plan, _ = budget(tasks=70_000, validate_every=2_500)
    assert plan.update_count(4) == 17_500
    assert list(plan.milestones(4).items())[:2] == [(625, 2_500), (1_250, 5_000)]
    assert len(plan.milestones(3)) == 28
    assert plan.milestones(3)[834] == 2_500  # 833 updates are 2,499 tasks


def test_one_update_can_pass_several_multiples():
    plan, _ = budget(tasks=70, validate_every=10)
    assert plan.milestones(30) == {1: 30, 2: 60, 3: 70}


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({}, ["tasks"]),
        ({"tasks": 100, "updates": 100}, ["tasks"]),
        ({"tasks": 0}, ["tasks"]),
        ({"updates": -1}, ["updates"]),
        ({"tasks": 9}, ["validate_every"]),
        ({"updates": 9}, ["validate_every"]),
        ({"tasks": 100, "validate_every": 0}, ["validate_every"]),
        ({"tasks": 100, "validation_tasks": 0, "max_hours": 0}, ["validation_tasks", "max_hours"]),
        ({"tasks": 100, "test_tasks": -1}, ["test_tasks"]),
        ({"tasks": 100, "max_hours": "long"}, ["max_hours"]),
    ],
)
def test_impossible_budgets_are_refused(values, places):
    plan, lines = budget(**values)
    assert plan is None
    assert [line.partition(":")[0] for line in lines] == places


def test_possible_budgets():
    assert budget(tasks=10, test_tasks=0, max_hours=None)[1] == []
    assert (budget(tasks=10)[0].unit, budget(updates=12)[0].unit) == ("tasks", "updates")
    assert (budget(tasks=10)[0].total, budget(updates=12)[0].total) == (10, 12)


# Runs from data and back


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"final": True},
        {"learner": "lstm", "hyperparameters": {"widths": [3], "support": "sequential"}},
        {"learner": "lstm", "hyperparameters": {"encoding": "previous_target_error", "loss_on": "every"}},
        {"hyperparameters": {"convention": "authors"}, "benchmark.convention": "authors", "budget.max_hours": None},
        {"budget": {"updates": 50, "validate_every": 5, "test_tasks": 0}},
        {"lr": 0.1 + 0.2, "hyperparameters.gamma": 1 / 3},
    ],
    ids=lambda changes: "-".join(changes) or "none",
)
def test_to_dict_and_back(changes):
    run = ok(changes)
    data = run.to_dict()
    through_json = json.loads(json.dumps(data, allow_nan=False))
    assert through_json == data
    assert RunConfig.from_dict(through_json) == run
    assert RunConfig.from_dict(through_json).to_dict() == data
    assert RunConfig.from_dict(through_json).digest() == run.digest()


def test_a_convention_is_resolved_when_written():
    data = ok({"hyperparameters": {"convention": "authors"}}).to_dict()
    assert "convention" not in data["hyperparameters"]
    assert data["hyperparameters"]["normalisation"] == "all"
    assert data["benchmark"]["name"] == "sine"


@pytest.mark.parametrize(("benchmark", "labels"), [({"name": "sine"}, False), ({"name": "omniglot"}, True)])
def test_a_convention_depends_on_the_benchmark(benchmark, labels):
    changes = {"learner": "lstm", "hyperparameters": {"convention": "authors"}, "benchmark": benchmark}
    data = ok(changes).to_dict()
    assert data["hyperparameters"]["first_pass_labels"] is labels
    assert RunConfig.from_dict(data).to_dict() == data
    old = {key: value for key, value in data["hyperparameters"].items() if key not in ("chain", "error")}
    assert RunConfig.from_dict(data | {"hyperparameters": old}).hyperparameters.chain == "continued"


def test_a_run_written_before_an_option_means_the_same_run():
    data = ok().to_dict()
    loaded = RunConfig.from_dict({key: value for key, value in data.items() if key != "meta_gradient"})
    assert loaded == ok()
    assert loaded.meta_gradient == "mean"


def test_from_dict_names_every_problem():
    with pytest.raises(ValueError, match=r"lr: is required.*seed: must be a whole number") as caught:
        RunConfig.from_dict({key: value for key, value in DATA.items() if key != "lr"} | {"seed": "one"})
    assert "evaluation_seed" not in str(caught.value)


def test_configuration_is_what_was_searched_over():
    flat = ok().configuration()
    assert (flat["learner"], flat["lr"], flat["meta_batch_size"], flat["gamma"]) == ("op_lstm", 1e-3, 4, 0.2)
    assert (flat["meta_gradient"], ok({"meta_gradient": "sum"}).configuration()["meta_gradient"]) == ("mean", "sum")
    assert not {"seed", "evaluation_seed", "budget", "benchmark", "final", "hyperparameters"} & flat.keys()


@pytest.mark.parametrize(
    ("changes", "places"),
    [
        ({"learner": "oplstm"}, ["learner"]),
        ({"benchmark.name": "sin"}, ["benchmark.name"]),
        ({"benchmark": {}}, ["benchmark.name"]),
        ({"meta_batch_size": 0}, ["meta_batch_size"]),
        ({"lr": 0}, ["lr"]),
        ({"lr": -1e-3}, ["lr"]),
        ({"lr": "fast"}, ["lr"]),
        ({"meta_gradient": "total"}, ["meta_gradient"]),
        ({"seed": -1}, ["seed"]),
        ({"seed": 1.5}, ["seed"]),
        ({"evaluation_seed": None}, ["evaluation_seed"]),
        ({"sede": 3}, ["sede"]),
        ({"hyperparameters.pases": 3}, ["hyperparameters.pases"]),
        ({"hyperparameters.cells": [5, 5], "benchmark.shots": 0}, ["hyperparameters.cells", "benchmark.shots"]),
        ({"sede": 3, "budget.validate_every": 200}, ["sede", "budget.validate_every"]),
        ({"hyperparameters": {"gamma": "x", "passes": 0}}, ["hyperparameters.gamma", "hyperparameters.passes"]),
        (
            {"meta_batch_size": 0, "lr": "x", "budget.tasks": 0, "benchmark.phase": "up", "hyperparameters.passes": 0},
            ["hyperparameters.passes", "benchmark.phase", "budget.tasks", "meta_batch_size", "lr"],
        ),
    ],
    ids=lambda value: "-".join(value),
)
def test_impossible_runs_are_refused_with_every_place(changes, places):
    run, lines = run_of(changes)
    assert run is None
    assert [line.partition(":")[0] for line in lines] == places


def test_nearest_names_are_told():
    assert run_of({"learner": "oplstm"})[1] == ["learner: unknown 'oplstm'; did you mean 'op_lstm'?"]
    assert run_of({"sede": 3})[1] == ["sede: unknown 'sede'; did you mean 'seed'?"]


# What may share a pack


@pytest.mark.parametrize(
    "changes",
    [
        {"lr": 2e-3},
        {"seed": 5},
        {"evaluation_seed": 5},
        {"hyperparameters.gamma": 0.7},
        {"hyperparameters.passes": 3},
        {"meta_batch_size": 3},
        {"meta_gradient": "sum"},
        {"grad_clip": 1.0},
        {"lr_half_life": 100},
        {"hyperparameters": {"convention": "paper", "base_widths": [4, 4], "cells": [2, 1], "passes": 2}},
    ],
    ids=str,
)
def test_runs_that_differ_in_rates_passes_or_meta_batch_size_are_of_one_kind(changes):
    assert (ok(changes).signature, ok(changes).kind) == (ok().signature, ok().kind)
    assert hash(ok(changes).signature) == hash(ok().signature)


@pytest.mark.parametrize(
    "changes",
    [
        {"base_widths": [4, 5]},
        {"cells": [3, 1]},
        {"gamma_learned": True},
        {"pool_states": False},
        {"normalisation": "all"},
        {"message": "current"},
        {"update_bias": True},
        {"second_order": False},
        {"loss_on": "every"},
    ],
    ids=str,
)
def test_different_shapes_and_options_are_kinds_that_share_a_pack_without_a_backbone(changes):
    changes = {f"hyperparameters.{name}": value for name, value in changes.items()}
    assert ok(changes).signature == ok().signature
    assert ok(changes).kind != ok().kind


@pytest.mark.parametrize("learner", ["maml", "op_lstm", "protonet"])
def test_with_a_backbone_they_do_not(learner):
    family, configuration = LEARNERS[learner].family, LEARNERS[learner].config_class
    plain, deep = (configuration(backbone=backbone) for backbone in ("none", "conv4"))
    others = [replace(one, base_widths=(3,)) for one in (plain, deep)]
    assert family(plain) == family(others[0]) != family(deep) != family(others[1])


@pytest.mark.parametrize(
    "changes",
    [
        {"learner": "lstm", "hyperparameters": {}},
        {"benchmark.shots": 10},
        {"benchmark.queries": 10},
        {"benchmark.phase": "plus"},
        {"budget.tasks": 99},
        {"budget.validate_every": 31},
        {"budget.validation_tasks": 10},
        {"budget.test_tasks": 10},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_other_learners_tasks_budgets_or_precisions_have_a_pack_of_their_own(changes):
    assert ok(changes).signature != ok().signature


# Digests


def test_digest_is_of_everything():
    changes = [
        {},
        {"lr": 2e-3},
        {"seed": 5},
        {"evaluation_seed": 5},
        {"final": True},
        {"meta_batch_size": 3},
        {"precision": "tf32"},
        {"meta_gradient": "sum"},
        {"lr_half_life": 100},
        {"hyperparameters.gamma": 0.3},
        {"benchmark.shots": 10},
        {"budget.max_hours": 1},
        {"learner": "lstm", "hyperparameters": {}},
    ]
    assert len({ok(change).digest() for change in changes}) == len(changes)


def test_digest_is_that_of_the_version_that_had_fewer_options():
    assert ok().digest() == "559664d4c55ccbf4dbb975b14bc1ff63dc09c11b3306cc449e7d0f1efc6098cb"
    assert RunConfig.from_dict(ok({"lr_half_life": 100}).to_dict()).lr_half_life == 100.0


def test_digest_does_not_depend_on_how_the_run_was_written():
    backwards = dict(reversed(DATA.items())) | {"lr": "1e-3", "final": False}
    run = build_run(backwards | {"hyperparameters": {"convention": "paper", **DATA["hyperparameters"]}}, Problems())
    assert run.digest() == ok().digest()
    in_order = json.dumps(run.to_dict(), sort_keys=True).encode()
    assert run.digest() == hashlib.sha256(in_order).hexdigest()
