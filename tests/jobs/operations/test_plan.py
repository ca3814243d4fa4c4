"""`oplstm plan`: trials, packs and signatures exactly, time and disk about."""

import json
from pathlib import Path

import pytest

from jobs.cli.display.plan import plan_lines
from jobs.jobfile.reading import load_job
from jobs.operations.plan import make_plan
from jobs.operations.planning import hours
from jobs.sweep import proposals
from tests.jobs.formula_training import finish, job, new_sweep, signatures

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

ONE = {"lr": 0.1, "meta_batch_size": 1}
GRID = {"sampler": {"name": "grid"}, "trials": None}


@pytest.mark.slow
@pytest.mark.parametrize("pack", [1, 2, 4])
def test_a_plan_is_what_the_sweep_then_does(pack, tmp_path):
    of = job("mixed", resources={"pack": pack}, **GRID)
    plan = make_plan(of, Path(), slots=1)
    state = finish(new_sweep(tmp_path / "s", of))
    assert plan.trials == len(state.trials) == 9
    assert plan.packs == len(signatures(state))
    assert plan.signatures == len(set.union(*signatures(state).values())) == 3


@pytest.mark.slow
def test_an_exhausted_space_has_fewer_trials_than_were_asked_for():
    assert make_plan(job("six_cells", trials=50), Path()).trials == 6
    assert make_plan(job("rates", trials=7), Path()).trials == 7


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["TPESampler", "NSGAIISampler"])
def test_a_sampler_that_learns_is_planned_at_random_and_the_plan_says_so(sampler, monkeypatch):
    made = []
    make = proposals.make_sampler
    monkeypatch.setattr(proposals, "make_sampler", lambda name, *a, **k: made.append(name) or make(name, *a, **k))
    of = job("mixed", trials=5, sampler={"name": sampler})
    plan = make_plan(of, Path())
    assert (plan.trials, plan.learns_from_results) == (5, sampler)
    assert made.count(sampler) <= 2, "one to see that it can be made, one for the disk"
    assert plan_lines(plan)[-1].split() == f"drawn at random: what {sampler} proposes depends on results".split()


@pytest.mark.parametrize("of", [job("rates", trials=3), job("six_cells", **GRID), job(None, fixed=ONE, seeds=3)])
def test_a_plan_of_what_the_sweep_will_try_says_nothing_of_results(of):
    plan = make_plan(of, Path())
    assert plan.learns_from_results is None
    assert not any("results" in line for line in plan_lines(plan))


@pytest.mark.slow
def test_pinned_dimensions_of_the_grid_of_op_lstm_leave_the_conventions():
    pinned = ["base_widths=[2]", "cells=[1]", "passes=1", "meta_batch_size=1", "lr=.01"]
    plan = make_plan(load_job("sine-op-lstm", pinned), Path())
    assert (plan.trials, plan.signatures) == (3, 1)


def test_time_is_that_of_a_few_updates_times_all_of_them(monkeypatch):
    monkeypatch.setattr(hours, "_seconds", lambda runs, data: 0.5)
    of = job("rates", trials=7, budget={"updates": 600, "validate_every": 1})
    plan = make_plan(of, Path(), slots=1)
    assert [plan.cpu_hours, plan.packed_hours] == pytest.approx([7 * 600 * 0.5 / 3600] * 2)
    assert plan.planned_packs == ()
    assert "about 35 min on one core, without validation and pruning" in plan_lines(plan)[3]


def test_a_plan_shows_its_packs_and_the_time_that_they_save(monkeypatch):
    monkeypatch.setattr(hours, "_seconds", lambda runs, data: 0.5)
    of = job("rates", trials=7, budget={"updates": 600, "validate_every": 1}, resources={"pack": 3})
    plan = make_plan(of, Path(), slots=2)
    assert (plan.packs, [pack.runs for pack in plan.planned_packs]) == (3, [3, 3, 1])
    assert plan.packed_hours == pytest.approx(3 * 600 * 0.5 / 3600)
    lines = plan_lines(plan)
    assert lines[2:5] == [
        "packs       3",
        "            3 runs in 5 min, 3 runs in 5 min, 1 run in 5 min",
        "time        about 35 min on one core one by one, 15 min in packs, without validation and pruning: estimates "
        "from a few updates",
    ]
    data = json.loads(json.dumps(plan.to_json()))
    assert data["planned_packs"][0] == {"runs": 3, "hours": pytest.approx(300 / 3600)}
    assert data["packed_hours"] == pytest.approx(0.25)


def test_a_plan_whose_packs_take_too_long_to_be_timed_says_so(monkeypatch):
    monkeypatch.setattr(hours, "ALL_SECONDS", -1.0)
    plan = make_plan(job("rates", trials=9, resources={"pack": 9}), Path(), slots=1)
    assert plan.packed_hours is None
    assert plan_lines(plan)[3] == "            9 runs"
    assert plan_lines(plan)[4].endswith("; packs take too long an update to be timed here")


@pytest.mark.slow
def test_seeds_of_one_configuration_are_planned_on_all_slots():
    plan = make_plan(job(None, fixed=ONE, seeds=5, trials=None), Path(), slots=2)
    assert (plan.packs, [pack.runs for pack in plan.planned_packs]) == (2, [3, 2])


def test_a_plan_of_many_packs_shows_the_first(monkeypatch):
    monkeypatch.setattr(hours, "_seconds", lambda runs, data: 0.5)
    plan = make_plan(job("rates", trials=20, resources={"pack": 2}), Path(), slots=2)
    assert len(plan.planned_packs) == 10
    assert plan_lines(plan)[3].endswith(", and 4 more")
