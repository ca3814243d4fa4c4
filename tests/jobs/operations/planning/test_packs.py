"""How many packs `oplstm plan` foresees where their sizes are measured: what is remembered, or that it is not yet."""

import pytest
import torch

from jobs.cli.display.plan import plan_lines
from jobs.execution.devices import size_key
from jobs.operations.plan import make_plan
from jobs.operations.planning.packs import foresee_packs, slots_for
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.proposals import Proposals
from oplstm.training.machine.cost import cost, representatives
from tests.jobs.formula_training import job, new_sweep

AUTO = {"trials": None, "sampler": {"name": "grid"}, "resources": {"pack": "auto"}}


def key_of(runs, of):
    return size_key(representatives(runs), torch.device("cpu"), of.resources)


@pytest.mark.slow
def test_a_plan_says_that_sizes_are_measured_or_what_is_remembered(tmp_path):
    of, sizes = job("six_cells", **AUTO), PackSizes(tmp_path / "pack-sizes.json")
    plan = make_plan(of, tmp_path / "data", slots=1)
    assert (plan.packs, plan.pack_sizes) == (None, ())
    assert plan_lines(plan)[2] == "packs       of as many runs as pay, measured at the start"
    assert plan_lines(plan)[3].startswith("            if all pay: 3 runs in ")
    firsts = {proposal.run.signature: proposal.run for proposal in iter(Proposals(of).ask, None)}
    keys = [key_of([run], of) for run in firsts.values()]
    sizes.remember(keys[0], 2, 256)
    plan = make_plan(of, tmp_path / "data", slots=1)
    assert (plan.packs, plan.pack_sizes) == (None, (2,))
    assert plan_lines(plan)[2].endswith("measured at the start but for those of up to 2 runs")
    sizes.remember(keys[1], 8, 256)
    plan = make_plan(of, tmp_path / "data", slots=1)
    assert (plan.packs, plan.pack_sizes) == (3, (2, 8))
    assert plan_lines(plan)[2] == "packs       3, of up to 2, 8 runs, as measured on this machine"


def test_a_plan_looks_for_the_size_of_packs_of_such_runs(tmp_path):
    of, path = job("heavy_and_light", **AUTO), tmp_path / "pack-sizes.json"
    runs = [proposal.run for proposal in iter(Proposals(of).ask, None)]
    PackSizes(path).remember(key_of(runs, of), 4, 256)
    for order in (runs, runs[::-1]):
        found = foresee_packs(of, order, path=path, slots=1)
        assert ([len(pack) for pack in found.packs], found.sizes, found.known) == ([4, 2], (4,), True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pack", "slots", "sizes"),
    [(25, 2, [25, 25, 10]), (60, 2, [60]), (35, 2, [30, 30]), ("auto", 1, [60]), ("auto", 3, [20, 20, 20])],
)
def test_packs_are_those_of_the_sweep(pack, slots, sizes, tmp_path, coordinators):
    of = job("many_costs", trials=60, resources={"pack": pack})
    coordinator = coordinators(new_sweep(tmp_path / "sweep", of))
    given = [coordinator.next_pack(slots) for _ in sizes]
    for each in given if pack == "auto" else ():
        coordinator.sized(each.pack, 256)
        coordinator.started(each.pack, {})
    made = [[trial.config for trial in each.trials] for each in coordinator.state.packs.values()]
    found = foresee_packs(
        of, [run for runs in made for run in runs], path=tmp_path / "pack-sizes.json", slots=slots
    ).packs
    assert list(map(len, found)) == pytest.approx(sizes, abs=2)
    assert list(map(len, made)) == pytest.approx(sizes, abs=2)
    for one, other in zip(found, made, strict=True):
        assert sum(map(cost, one)) == pytest.approx(sum(map(cost, other)), rel=0.02)


def test_packs_of_one_run_are_as_many_as_runs(tmp_path):
    of = job("many_costs", trials=9)
    runs = [proposal.run for proposal in iter(Proposals(of).ask, None)]
    assert list(map(len, foresee_packs(of, runs, path=tmp_path / "none", slots=2).packs)) == [1] * 9


@pytest.mark.parametrize(
    ("space", "cpus", "gpus", "slots"),
    [("rates", 1, 0.0, 8), ("rates", 3, 0.0, 2), ("rates", 16, 0.0, 1), (None, 2, 0.0, 4),
     ("rates", 1, 1.0, 4), ("rates", 1, 0.5, 8), ("rates", 1, 2.0, 2), ("rates", 1, 8.0, 1), (None, 1, 0.5, 1)],
)  # fmt: skip
def test_slots_are_those_of_this_machines_cores_and_gpus(space, cpus, gpus, slots, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(8), raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert slots_for(job(space, resources={"cpus": cpus, "gpus": gpus})) == slots
