"""What was measured about packs: remembered per device and shape, whatever becomes of the file."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from jobs.cli.display import plan_lines
from jobs.operations.plan import make_plan
from jobs.sweep import pack_sizes
from jobs.sweep.pack_sizes import PackSizes, choose_device, measured_size, planned_packs, size_key, weight
from jobs.sweep.proposals import Proposals
from oplstm.training.device import Device
from tests.jobs.formula_training import job

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")
WRITTEN_BY_VERSION_1 = '{"version": 1, "sizes": {"a cpu, 1 threads, 0123": {"size": 32, "limit": 256}}}'


@pytest.fixture
def run():
    return Proposals(job("rates")).ask().run


def test_a_file_of_version_1_is_read(tmp_path):
    path = tmp_path / "pack-sizes.json"
    path.write_text(WRITTEN_BY_VERSION_1)
    assert PackSizes(path).find("a cpu, 1 threads, 0123", 256) == 32
    assert PackSizes(path).find("another", 256) is None


BROKEN = ["", "{", "[]", '{"sizes": {}}', '{"version": 2, "sizes": {}}', '{"version": 1, "sizes": []}',
          '{"version": 1, "sizes": {"a": 3}}', '{"version": 1, "sizes": {"a": {"size": 0, "limit": 3}}}',
          '{"version": 1, "sizes": {"a": {"size": 1}}}', "\udcff"]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_or_foreign_file_counts_as_empty_and_is_written_anew(text, tmp_path):
    path = tmp_path / "pack-sizes.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    sizes = PackSizes(path)
    assert sizes.find("a", 1) is None
    sizes.remember("a", 8, 256)
    assert sizes.find("a", 256) == 8
    assert json.loads(path.read_text()) == {"version": 1, "sizes": {"a": {"size": 8, "limit": 256}}}


def test_a_size_that_stopped_at_the_number_of_runs_says_nothing_about_more(tmp_path):
    sizes = PackSizes(tmp_path / "pack-sizes.json")
    sizes.remember("a", 4, 3)
    assert [sizes.find("a", limit) for limit in (1, 3, 4)] == [4, 4, None]
    sizes.remember("a", 4, 8)
    assert sizes.find("a", 256) == 4


def test_a_home_that_cannot_be_written_costs_another_measurement_only(tmp_path):
    (tmp_path / "file").write_text("")
    PackSizes(tmp_path / "file" / "pack-sizes.json").remember("a", 8, 256)
    assert PackSizes(tmp_path / "file" / "pack-sizes.json").find("a", 256) is None


def remember_many(path: Path, writer: int) -> None:
    for number in range(20):
        PackSizes(path).remember(f"{writer}-{number}", 1 + number, 256)


def test_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "pack-sizes.json"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(remember_many, [path] * 3, range(3)))
    assert len(json.loads(path.read_text())["sizes"]) == 60
    assert [file.name for file in tmp_path.iterdir() if file.suffix not in (".json", ".lock")] == []


def test_a_key_is_of_the_device_the_shape_and_the_versions(run, monkeypatch):
    key = size_key(run, CPU, cpus=1, gpus=0.0)
    assert size_key(replace(run, seed=5, lr=0.5), CPU, cpus=1, gpus=0.0) == key
    others = [size_key(run, CPU, cpus=2, gpus=0.0)]
    others.append(size_key(replace(run, meta_batch_size=3), CPU, cpus=1, gpus=0.0))
    others.append(size_key(replace(run, hyperparameters=replace(run.hyperparameters, passes=7)), CPU, cpus=1, gpus=0.0))
    others.append(
        size_key(replace(run, hyperparameters=replace(run.hyperparameters, widths=(9,))), CPU, cpus=1, gpus=0)
    )
    monkeypatch.setattr(pack_sizes, "version", lambda package: "9.9")
    others.append(size_key(run, CPU, cpus=1, gpus=0.0))
    assert len({key, *others}) == 6


def test_a_share_of_a_gpu_has_a_size_of_its_own(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    keys = [size_key(run, torch.device("cuda"), cpus=1, gpus=gpus) for gpus in (0.5, 1.0, 2.0)]
    assert keys[0].startswith("Some GPU, 0.5 GPU, ")
    assert keys[0] != keys[1] == keys[2]


def test_a_size_is_measured_once(run, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(pack_sizes, "probe", lambda run, device, limit, *, gpu_share: tried.append(limit) or 16)
    path = tmp_path / "pack-sizes.json"
    for limit in (30, 400, 7):
        assert measured_size(path, run, Device(), limit, cpus=1, gpus=0.0) == 16
    assert tried == [30]


def test_more_passes_and_larger_meta_batches_are_heavier(run):
    heavier = replace(run, hyperparameters=replace(run.hyperparameters, passes=3))
    assert weight(run) < weight(replace(run, meta_batch_size=5)) < weight(replace(heavier, meta_batch_size=5))


def test_a_plan_says_that_sizes_are_measured_or_what_is_remembered(tmp_path):
    of = job("six_cells", trials=None, sampler={"name": "grid"}, resources={"pack": "auto"})
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (None, ())
    assert plan_lines(plan)[2] == "packs       of as many runs as pay, measured at the start"
    firsts = {proposal.run.signature: proposal.run for proposal in iter(Proposals(of).ask, None)}
    keys = [size_key(run, CPU, cpus=1, gpus=0.0) for run in firsts.values()]
    PackSizes(tmp_path / "pack-sizes.json").remember(keys[0], 2, 256)
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (None, (2,))
    assert plan_lines(plan)[2].endswith("measured at the start but for those of up to 2 runs")
    PackSizes(tmp_path / "pack-sizes.json").remember(keys[1], 8, 256)
    plan = make_plan(of, tmp_path / "data")
    assert (plan.packs, plan.pack_sizes) == (3, (2, 8))
    assert plan_lines(plan)[2] == "packs       3, of up to 2, 8 runs, as measured on this machine"


def test_a_plan_looks_for_the_size_of_the_heaviest_run(tmp_path):
    of = job("heavy_and_light", trials=None, sampler={"name": "grid"}, resources={"pack": "auto"})
    runs = [proposal.run for proposal in iter(Proposals(of).ask, None)]
    heavy = max(runs, key=lambda run: run.hyperparameters.passes * run.meta_batch_size)
    PackSizes(tmp_path / "pack-sizes.json").remember(size_key(heavy, CPU, cpus=1, gpus=0.0), 4, 256)
    for order in (runs, runs[::-1]):
        assert planned_packs(of, order, tmp_path / "pack-sizes.json") == (2, (4,))


def test_a_gpu_is_used_when_asked_for_and_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(0.5).type == "cuda"
    assert choose_device(0).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(1).type == "cpu"
