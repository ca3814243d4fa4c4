"""Damage to a checkpoint or a model is seen, whatever bit it is, and training goes on from what is left."""

import random
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from oplstm.errors import WorkError
from oplstm.testing.packs import files, train
from oplstm.testing.recorder import Recorder
from oplstm.training import checkpoint
from oplstm.training.checkpoint import load_model, load_pack, load_test_scores, load_validation_values
from oplstm.training.pack import Pack
from oplstm.training.sealed import Damaged, read_sealed
from tests.oplstm.training.damage import flip, truncate
from tests.oplstm.training.runs import run
from tests.oplstm.training.test_checkpoint import OLD, trained

SMALL = {"widths": [2], "validation_tasks": 2, "test_tasks": 2}
FILES = {
    "update-15/pack.json": "state.safetensors",
    "update-15/state.safetensors": "state.safetensors",
    "r/run.json": "model.safetensors",
    "r/model.safetensors": "model.safetensors",
    "r/validation.safetensors": "validation.safetensors",
    "r/test.safetensors": "test.safetensors",
}
"""Of a checkpoint and of a model, and what is read when one is looked at."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A checkpoint and a model."""
    folder = tmp_path_factory.mktemp("sound")
    trained(folder / "stopped", stop_at=15, **SMALL)
    trained(folder / "ended", **SMALL)
    shutil.move(folder / "stopped" / "pack" / "update-15", folder / "update-15")
    shutil.move(folder / "ended" / "runs" / "r", folder / "r")
    return folder


def read(path):
    """As readers do: the manifest first, then the tensors."""
    manifest = path.with_name("pack.json" if path.parent.name.startswith("update") else "run.json")
    return read_sealed(manifest).tensors(FILES[f"{path.parent.name}/{path.name}"])


def assert_seen(path, content):
    path.write_bytes(content)
    with pytest.raises(Damaged):
        read(path)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_one_flipped_bit_in_any_byte_is_seen(file, sound):
    """tests/jobs/operations/test_every_bit.py flips them all."""
    path = sound / file
    content = path.read_bytes()
    try:
        for place, byte in enumerate(content):
            flipped = bytes([byte ^ 1 << random.randrange(8)])
            assert_seen(path, content[:place] + flipped + content[place + 1 :])
    finally:
        path.write_bytes(content)
    assert read(path)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_every_lost_end_is_seen(file, sound):
    """Of the tensors at some lengths, of the manifests at all; and a byte too much, and no file at all."""
    path = sound / file
    content = path.read_bytes()
    every = 1 if path.suffix == ".json" or len(content) < 300 else 97
    try:
        for length in [*range(10), *range(10, len(content), every)]:
            assert_seen(path, content[:length])
        assert_seen(path, content + b"\n")
        path.unlink()
        with pytest.raises(Damaged, match=rf"{path} is damaged: it is missing"):
            read(path)
        path.mkdir()
        with pytest.raises(Damaged, match=rf"{path} is damaged: it cannot be read \(Is a directory\)"):
            read(path)
        path.rmdir()
    finally:
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("load", "file"),
    [
        (load_model, "run.json"),
        (load_model, "model.safetensors"),
        (load_validation_values, "run.json"),
        (load_validation_values, "validation.safetensors"),
        (load_test_scores, "run.json"),
        (load_test_scores, "test.safetensors"),
    ],
)
def test_who_reads_a_model_or_its_scores_sees_damage_and_names_the_file(load, file, sound, tmp_path):
    shutil.copytree(sound / "r", tmp_path / "r")
    load(tmp_path / "r")
    flip(tmp_path / "r" / file, -1, 0)
    with pytest.raises(Damaged, match=rf"{tmp_path / 'r' / file} is damaged: it"):
        load(tmp_path / "r")


def test_the_files_of_two_models_are_not_mixed_up(sound, tmp_path):
    """Each is sound; together they are not."""
    trained(tmp_path, **SMALL, seed=1)
    shutil.copy(sound / "r" / "model.safetensors", tmp_path / "runs" / "r")
    with pytest.raises(Damaged, match=r"its SHA-256 is not the one in run\.json"):
        load_model(tmp_path / "runs" / "r")


def test_scores_of_format_version_1_are_read(tmp_path):
    assert load_validation_values(OLD / "model").shape == (9,)
    assert load_test_scores(OLD / "model")["loss"].shape == (11,)
    shutil.copytree(OLD / "model", tmp_path / "model")
    truncate(tmp_path / "model" / "test.safetensors", -1)
    with pytest.raises(Damaged, match=r"test\.safetensors is damaged: it holds no tensors"):
        load_test_scores(tmp_path / "model")


@pytest.mark.parametrize("length", [0, 1, 500, -1])
@pytest.mark.parametrize("file", ["pack.json", "state.safetensors"])
def test_a_checkpoint_of_format_version_1_that_cannot_be_read_is_damaged_too(file, length, tmp_path):
    shutil.copytree(OLD / "pack", tmp_path / "pack")
    truncate(tmp_path / "pack" / "update-15" / file, length)
    with pytest.warns(UserWarning, match=rf"update-15/{file} is damaged: .*; pack begins anew, for no other is left"):
        assert load_pack(tmp_path / "pack", Pack([run()], ["r"])) is None


@pytest.mark.parametrize(
    "content", [b"{}", b'{"version": 0}', b"[]", b"3", b'{"version": 1}', b'{"version": 1, "names": 3, "runs": []}']
)
def test_a_checkpoint_of_format_version_1_that_says_too_little_is_damaged_too(content, tmp_path):
    shutil.copytree(OLD / "pack", tmp_path / "pack")
    (tmp_path / "pack" / "update-15" / "pack.json").write_bytes(content)
    with pytest.warns(UserWarning, match=r"update-15/pack\.json is damaged: .*; pack begins anew"):
        assert load_pack(tmp_path / "pack", Pack([run()], ["r"])) is None


def test_a_checkpoint_of_format_version_1_without_a_tensor_is_damaged_too(tmp_path):
    shutil.copytree(OLD / "pack", tmp_path / "pack")
    path = tmp_path / "pack" / "update-15" / "state.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "weights"}, path)
    with pytest.warns(UserWarning, match=r"update-15/pack\.json is damaged: KeyError: 'weights'; pack begins anew"):
        assert load_pack(tmp_path / "pack", Pack([run()], ["r"])) is None


RUNS = [run(seed=1), run(seed=2), run(seed=3, passes=3), run(seed=4, meta_batch_size=1)]
STORY = {"prune": {10: {"run-0"}}, "join": {10: [("run-2", RUNS[2])], 30: [("run-3", RUNS[3])]}}
"""Two begin, one is pruned at 10 and another joins there, and one more at 30 where the second has ended."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder, listener = tmp_path_factory.mktemp("whole"), Recorder(**STORY)
    final = train(folder, RUNS, listener, initial=2)
    return folder / "runs", listener, final


def left(folder):
    """Names of a pack's checkpoints, the newest first."""
    return sorted((path.name for path in folder.glob("update-*")), key=lambda name: -int(name.partition("-")[2]))


WAYS = {
    "a bit of the manifest": lambda folder: flip(folder / "pack.json", 200, 0),
    "a bit of the last tensor": lambda folder: flip(folder / "state.safetensors", -1, 0),
    "half a manifest": lambda folder: truncate(folder / "pack.json", 1000),
    "half the tensors": lambda folder: truncate(folder / "state.safetensors", 1000),
    "no tensors": lambda folder: (folder / "state.safetensors").unlink(),
    "nothing": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.integration
@pytest.mark.parametrize(
    ("stop", "count", "way"),
    [
        *((stop, count, "half the tensors") for stop in (10, 14, 25, 31, 40) for count in (1, 2)),
        *((31, count, way) for way in WAYS if way != "half the tensors" for count in (1, 2)),
    ],
)
def test_training_goes_on_from_what_is_left_to_the_same_bits(stop, count, way, whole, tmp_path):
    """From the one before the damaged one, or from the beginning; damaged ones are named once each, and set aside."""
    runs, listener, final = whole
    train(tmp_path, RUNS, Recorder(**STORY, stop_at=stop), initial=2)
    damaged = left(tmp_path / "pack")[:count]
    intact = next(iter(left(tmp_path / "pack")[count:]), None)
    for name in damaged:
        WAYS[way](tmp_path / "pack" / name)
    again = Recorder(**STORY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pack = train(tmp_path, RUNS, again, initial=2)
    lines = [str(warning.message) for warning in caught]
    instead = "pack begins anew, for no other is left" if intact is None else f"pack goes on from {intact}"
    assert len(lines) == count
    for name, line in zip(damaged, lines, strict=True):
        assert line.startswith(f"{tmp_path / 'pack' / name}/")
        assert " is damaged: it" in line
        assert line.endswith(f"; {instead}, which costs time and nothing else")
        assert "\n" not in line
    assert {path.name for path in (tmp_path / "pack").glob("damaged-*")} == {f"damaged-{name}" for name in damaged}
    assert len(left(tmp_path / "pack")) == 2, "as many sound ones are kept as ever"
    assert again.metrics().items() <= listener.metrics().items()
    assert files(tmp_path / "runs") == files(runs)
    for name, tensor in final.state.tensors().items():
        assert torch.equal(tensor, pack.state.tensors()[name]), name


def test_of_those_that_are_sound_the_newest_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "KEPT", 4)
    trained(tmp_path, stop_at=25, **SMALL)
    assert left(tmp_path / "pack") == ["update-25", "update-20", "update-10", "update-0"]
    for name in ("update-25", "update-10"):
        flip(tmp_path / "pack" / name / "pack.json", 5, 1)
    pack = Pack([run(**SMALL)], ["r"])
    with pytest.warns(UserWarning, match="update-25/.* goes on from update-20") as caught:
        load_pack(tmp_path / "pack", pack)
    assert (len(caught), pack.update) == (1, 20)


@pytest.mark.integration
def test_checkpoints_that_are_damaged_again_and_again(whole, tmp_path):
    """Sound ones are pruned as if none had been damaged."""
    for stop in (15, 15, 24, 31):
        train(tmp_path, RUNS, Recorder(**STORY, stop_at=stop), initial=2)
        newest = left(tmp_path / "pack")[0]
        flip(tmp_path / "pack" / newest / "pack.json", 5, 1)
        with pytest.warns(UserWarning, match=rf"{newest}/pack\.json is damaged"):
            train(tmp_path, RUNS, Recorder(**STORY, stop_at=stop), initial=2)
        assert len(left(tmp_path / "pack")) == 2
    train(tmp_path, RUNS, Recorder(**STORY), initial=2)
    assert files(tmp_path / "runs") == files(whole[0])


def test_one_that_is_damaged_twice_is_set_aside_twice(sound, tmp_path):
    for byte in (5, 6):
        shutil.copytree(sound / "update-15", tmp_path / "update-15")
        flip(tmp_path / "update-15" / "pack.json", byte, 1)
        content = (tmp_path / "update-15" / "pack.json").read_bytes()
        with pytest.warns(UserWarning, match=r"update-15/pack\.json is damaged"):
            load_pack(tmp_path, Pack([run(**SMALL)], ["r"]))
        assert [path.name for path in tmp_path.iterdir()] == ["damaged-update-15"]
        assert (tmp_path / "damaged-update-15" / "pack.json").read_bytes() == content


def test_what_one_of_the_wrong_runs_or_version_says_is_no_damage(sound, tmp_path):
    """It is refused, though an older one would do: nothing is set aside."""
    shutil.copytree(sound / "update-15", tmp_path / "update-15")
    with pytest.raises(WorkError, match=r"update-15 holds another configuration of r"):
        load_pack(tmp_path, Pack([run(lr=0.5)], ["r"]))
    assert left(tmp_path) == ["update-15"]


def test_a_damaged_one_that_cannot_be_set_aside_is_one_line(sound, tmp_path, monkeypatch):
    shutil.copytree(sound / "update-15", tmp_path / "update-15")
    flip(tmp_path / "update-15" / "pack.json", 5, 1)

    def refuse(self, target):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(WorkError, match=r"cannot rename .*update-15, which is damaged: .*Read-only.*; remove it"):
        load_pack(tmp_path, Pack([run(**SMALL)], ["r"]))


def test_permissions_are_no_damage(sound, tmp_path, monkeypatch):
    shutil.copytree(sound / "update-15", tmp_path / "update-15")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(PermissionError):
        load_pack(tmp_path, Pack([run(**SMALL)], ["r"]))
    assert left(tmp_path) == ["update-15"]
