"""How many packs `oplstm plan` foresees where their sizes are measured: what is remembered, or that it is not yet."""

import pytest
import torch

from jobs.cli.display.plan import plan_lines
from jobs.execution.devices import size_key
from jobs.operations.plan import make_plan, planned_packs
from jobs.store.pack_sizes import PackSizes
from jobs.sweep.proposals import Proposals
from oplstm.training.machine.cost import representatives
from tests.jobs.formula_training import job

pytestmark = pytest.mark.unit

AUTO = {"trials": None, "sampler": {"name": "grid"}, "resources": {"pack": "auto"}}


def key_of(runs, of):
    return size_key(representatives(runs), torch.device("cpu"), of.resources)


def test_a_plan_says_that_sizes_are_measured_or_what_is_remembered(tmp_path):
    of, sizes = job("six_cells", **AUTO), PackSizes(tmp_path / "pack-sizes.json")
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (None, ())
    assert plan_lines(plan)[2] == "packs       of as many runs as pay, measured at the start"
    firsts = {proposal.run.signature: proposal.run for proposal in iter(Proposals(of).ask, None)}
    keys = [key_of([run], of) for run in firsts.values()]
    sizes.remember(keys[0], 2, 256)
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (None, (2,))
    assert plan_lines(plan)[2].endswith("measured at the start but for those of up to 2 runs")
    sizes.remember(keys[1], 8, 256)
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (3, (2, 8))
    assert plan_lines(plan)[2] == "packs       3, of up to 2, 8 runs, as measured on this machine"


def test_a_plan_looks_for_the_size_of_packs_of_such_runs(tmp_path):
    of, path = job("heavy_and_light", **AUTO), tmp_path / "pack-sizes.json"
    runs = [proposal.run for proposal in iter(Proposals(of).ask, None)]
    PackSizes(path).remember(key_of(runs, of), 4, 256)
    for order in (runs, runs[::-1]):
        assert planned_packs(of, order, path) == (2, (4,))
