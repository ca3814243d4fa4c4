"""Files of packs and models: complete or absent, versioned, and never pickle."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from oplstm.errors import WorkError
from oplstm.testing.recorder import Recorder
from oplstm.training import sealed
from oplstm.training.checkpoint import load_model, load_pack
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from tests.oplstm.training.runs import next_tasks, run

OLD = Path(__file__).parent / "data" / "v1"


def trained(folder, stop_at=None, **changes):
    pack = Pack([run(**changes)], ["r"])
    Trainer(pack, Recorder(stop_at=stop_at), folder=folder / "pack", run_folder=folder / "runs").train()
    return pack


@pytest.mark.slow
def test_a_model_predicts_what_its_pack_predicts(tmp_path):
    pack = trained(tmp_path, learner="op_lstm")
    tasks = next_tasks(pack)
    params = pack.params(pack.state.best_weights)
    expected = pack.learner.predict(params, pack.learner.adapt(params, tasks), tasks.query_x)[0, 0]
    model = load_model(tmp_path / "runs" / "r")
    predicted = model.predict(tasks.support_x[0, 0], tasks.support_y[0, 0], tasks.query_x[0, 0])
    torch.testing.assert_close(predicted, expected.detach(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shapes", "line"),
    [
        (((3, 2), (3, 1), (4, 1)), r"support_x must have the shape \(n, 1\) with n >= 1, got \(3, 2\)"),
        (((3, 1), (2, 1), (4, 1)), "equally long, got 3 and 2"),
        (((3, 1), (3, 1), (0, 1)), r"query_x must have the shape \(n, 1\)"),
        (((3,), (3, 1), (4, 1)), r"support_x must have the shape \(n, 1\)"),
    ],
)
def test_a_model_refuses_data_of_the_wrong_shape(tmp_path, shapes, line):
    trained(tmp_path)
    with pytest.raises(ValueError, match=line):
        load_model(tmp_path / "runs" / "r").predict(*(torch.zeros(shape) for shape in shapes))


@pytest.mark.slow
def test_every_file_is_safetensors_or_json(tmp_path):
    trained(tmp_path, stop_at=15)
    trained(tmp_path / "ended")
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} == {".safetensors", ".json"}
    for path in found:
        if path.suffix == ".json":
            assert json.loads(path.read_text())["version"] == 2
        else:
            with safe_open(path, "pt") as file:
                assert list(file.keys())


@pytest.mark.slow
def test_two_checkpoints_are_kept_and_no_drafts(tmp_path):
    trained(tmp_path)
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == ["update-20", "update-30"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["r"]


def test_a_model_of_format_version_1_loads():
    model = load_model(OLD / "model")
    x = torch.tensor([[-1.0], [0.5], [2.0]])
    expected = torch.tensor(json.loads((OLD / "prediction.json").read_text()))
    torch.testing.assert_close(model.predict(x, x.sin(), x), expected, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_of_format_version_1_loads():
    pack = Pack([run()], ["r"])
    counters = load_pack(OLD / "pack", pack)
    assert counters is not None
    assert pack.update == 15
    assert counters["last_point"] == {"r": 10}


@pytest.mark.slow
@pytest.mark.parametrize("digests", ["these", "others"])
@pytest.mark.parametrize("file", ["ended/runs/r/run.json", "pack/update-15/pack.json"])
def test_files_of_a_later_version_are_refused_by_name(tmp_path, file, digests, monkeypatch):
    """Whether or not it has the digests of this version."""
    with monkeypatch.context() as patch:
        patch.setattr(sealed, "VERSION", 3)
        trained(tmp_path / "ended")
        trained(tmp_path, stop_at=15)
    path = tmp_path / file
    if digests == "others":
        path.write_text(path.read_text().replace('"sha256"', '"sha512"'))
    with pytest.raises(WorkError, match=rf"{path} has format version 3, this oplstm reads 1 to 2"):
        load_model(path.parent) if "run" in file else load_pack(tmp_path / "pack", Pack([run()], ["r"]))


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(WorkError, match=r"holds no model"):
        load_model(tmp_path)


def test_a_full_disk_is_one_clear_line_and_leaves_no_draft(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        with pytest.raises(WorkError, match=r"cannot write .*update-0.*free some space"):
            trained(disk, widths=[60, 60])
        assert [path for path in (disk / "pack").iterdir()] == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)
