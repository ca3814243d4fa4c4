"""The benchmark on images: noise in the layout of a dataset, and a row for every learner and pack."""

import json

import pytest
from click.testing import CliRunner

from jobs import image_benchmark
from jobs.image_benchmark import SETTINGS, main, pack_of, random_pixels
from oplstm.episodes.images import OmniglotTasks
from oplstm.training.run import RunConfig


@pytest.mark.integration
def test_every_learner_has_its_rows(tmp_path, monkeypatch):
    learners = SETTINGS["omniglot"].items()
    tiny = {"base_widths": [4], "widths": [4]}
    small = {
        "omniglot": {
            name: (learner, config | {key: width for key, width in tiny.items() if key in config})
            for name, (learner, config) in learners
        }
    }
    monkeypatch.setattr(image_benchmark, "SETTINGS", small)
    monkeypatch.setattr(image_benchmark, "VALIDATE_EVERY", 100)
    file = tmp_path / "rows.json"
    done = CliRunner().invoke(main, ["--json", str(file), "--seconds", "0.01", "--runs", "1", "--runs", "2"])
    assert done.exit_code == 0, done.output
    rows = json.loads(file.read_text())["rows"]
    assert [(row["learner"], row["runs"]) for row in rows] == [
        (name, size) for name in small["omniglot"] for size in (1, 2)
    ]
    for row in rows:
        assert row["tasks_per_second"] == pytest.approx(4e3 * row["runs"] / row["ms_per_update"])
        assert 0 < row["sampling"] < 1
        assert row["validation"] > 0


@pytest.mark.integration
def test_noise_has_the_classes_of_the_dataset(tmp_path):
    random_pixels("omniglot", tmp_path)
    dataset = OmniglotTasks().open(tmp_path).dataset
    assert {split: len(classes) for split, classes in dataset.splits.items()} == {
        "train": 1028,
        "val": 172,
        "test": 423,
    }
    assert dataset.pixels.shape == (32_460, 28, 28, 1)
    assert dataset.partial


@pytest.mark.unit
@pytest.mark.parametrize("dataset", SETTINGS)
def test_the_settings_are_runs(dataset, tmp_path):
    for learner, config in SETTINGS[dataset].values():
        pack = pack_of(dataset, learner, config, 2, tmp_path)
        assert all(isinstance(run, RunConfig) for run in pack.runs)
