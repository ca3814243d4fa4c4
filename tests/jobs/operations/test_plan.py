"""`oplstm plan`: trials, packs and signatures exactly, time and disk about."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.cli.display.plan import plan_lines
from jobs.jobfile.reading import load_job
from jobs.operations.plan import PROBE_UPDATES, make_plan
from jobs.sweep import proposals
from tests.jobs.formula_training import finish, job, new_sweep, signatures

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

ONE = {"lr": 0.1, "meta_batch_size": 1}
GRID = {"sampler": {"name": "grid"}, "trials": None}


@pytest.mark.parametrize("pack", [1, 2, 4])
def test_a_plan_is_what_the_sweep_then_does(pack, tmp_path):
    of = job("mixed", resources={"pack": pack}, **GRID)
    plan = make_plan(of, Path())
    state = finish(new_sweep(tmp_path / "s", of))
    assert plan.trials == len(state.trials) == 9
    assert plan.packs == len(signatures(state))
    assert plan.signatures == len(set.union(*signatures(state).values())) == 3


def test_an_exhausted_space_has_fewer_trials_than_were_asked_for():
    assert make_plan(job("six_cells", trials=50), Path()).trials == 6
    assert make_plan(job("rates", trials=7), Path()).trials == 7


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


def test_pinned_dimensions_of_the_grid_of_op_lstm_leave_the_conventions():
    pinned = ["base_widths=[2]", "cells=[1]", "passes=1", "meta_batch_size=1", "lr=.01"]
    plan = make_plan(load_job("sine-op-lstm", pinned), Path())
    assert (plan.trials, plan.signatures) == (3, 3)


def test_time_is_that_of_a_few_updates_times_all_of_them(monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr("jobs.operations.plan.time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    plan = make_plan(job("rates", trials=7, budget={"updates": 600, "validate_every": 1}), Path())
    assert plan.cpu_hours == pytest.approx(7 * 600 * (1 / PROBE_UPDATES) / 3600)
