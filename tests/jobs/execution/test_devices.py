"""Devices: which one, what it is called, and how many runs a pack on it can hold, measured once a shape."""

from dataclasses import replace

import pytest
import torch

from jobs.execution import devices
from jobs.execution.devices import choose_device, device_tags, measured_size, require_local_gpu, size_key
from jobs.jobfile.sections import Resources
from jobs.sweep.proposals import Proposals
from oplstm.errors import RequestError
from oplstm.training.device import Device
from oplstm.training.machine.pack_size import LARGEST, Size
from tests.jobs.formula_training import job

CPU, ONE = torch.device("cpu"), Resources(cpus=1)


@pytest.fixture
def run():
    return Proposals(job("rates")).ask().run


def test_a_gpu_is_used_when_asked_for_and_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(0.5).type == "cuda"
    assert choose_device(0).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(1).type == "cpu"


def test_a_gpu_that_this_machine_lacks_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    require_local_gpu(0)
    require_local_gpu(0.5)
    require_local_gpu(1)
    with pytest.raises(RequestError, match=r"resources.gpus: 2 asked for, this machine has 1; use --set gpus=0"):
        require_local_gpu(2)


def test_device_tags(monkeypatch):
    tags = device_tags(CPU, "3")
    assert tags["oplstm.device"].startswith("cpu: ")
    assert (tags["oplstm.gpu_ids"], tags["oplstm.threads"]) == ("3", str(torch.get_num_threads()))
    assert device_tags(CPU)["oplstm.gpu_ids"] == "none"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A GPU")
    assert device_tags(torch.device("cuda"))["oplstm.device"] == "cuda: A GPU"


def test_a_key_is_of_the_device_the_shape_and_the_versions(run, monkeypatch):
    key = size_key([run], CPU, ONE)
    assert size_key([replace(run, seed=5, lr=0.5)], CPU, ONE) == key
    others = [
        size_key([run], CPU, Resources(cpus=2)),
        size_key([replace(run, meta_batch_size=3)], CPU, ONE),
        size_key([replace(run, hyperparameters=replace(run.hyperparameters, passes=7))], CPU, ONE),
        size_key([replace(run, hyperparameters=replace(run.hyperparameters, widths=(9,)))], CPU, ONE),
    ]
    monkeypatch.setattr(devices, "version", lambda package: "9.9")
    others.append(size_key([run], CPU, ONE))
    assert len({key, *others}) == 6


def test_a_share_of_a_gpu_has_a_size_of_its_own(run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some GPU")
    keys = [size_key([run], torch.device("cuda"), Resources(gpus=gpus)) for gpus in (0.5, 1.0, 2.0)]
    assert keys[0].startswith("Some GPU, 0.5 GPU, ")
    assert keys[0] != keys[1] == keys[2]


def test_a_size_is_measured_once(run, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(
        devices,
        "probe",
        lambda like, device, limit, *, gpu_share: tried.append((limit, gpu_share)) or Size(16, sure=True),
    )
    path, resources = tmp_path / "pack-sizes.json", Resources(gpus=0.5)
    for limit in (30, 400, 7):
        assert measured_size(path, [run], Device(), limit=limit, resources=resources) == 16
    assert tried == [(30, 0.5)]
    other = replace(run, meta_batch_size=3)
    assert measured_size(path, [other], Device(), limit=10 * LARGEST, resources=Resources(gpus=2)) == 16
    assert tried[1:] == [(LARGEST, 1.0)]


def test_what_was_measured_in_a_hurry_holds_for_no_more_work_than_there_was(run, tmp_path, monkeypatch):
    tried = []
    monkeypatch.setattr(
        devices, "probe", lambda like, device, limit, **share: tried.append(limit) or Size(2, sure=False)
    )
    for limit in (30, 12, 31, 30):
        assert measured_size(tmp_path / "sizes.json", [run], Device(), limit=limit, resources=ONE) == 2
    assert tried == [30, 31]
    other = replace(run, meta_batch_size=3)
    assert measured_size(tmp_path / "sizes.json", [other], Device(), limit=9, resources=ONE) == 2
    assert tried == [30, 31], "what is left of the same sweep is not measured anew with every pack"
