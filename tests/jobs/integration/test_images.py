"""Images end to end, on made-up pictures in the real layouts: sweep, promotion, cross-domain, a partial dataset."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from jobs.operations.promote import Promotion
from oplstm.episodes.datasets.importing import import_dataset
from oplstm.episodes.split import Split
from oplstm.training.checkpoint import load_model
from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.oplstm.episodes.datasets.made_up import as_folder, files, imported, tiny
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration

JOB: dict[str, Any] = {
    "learner": "op_lstm",
    "benchmark": {"name": "miniimagenet", "ways": 2, "shots": 1, "queries": 1, "cross_domain": ["cub"]},
    "fixed": {"backbone": "conv4", "base_widths": [], "cells": [2, 1], "passes": 1},
    "space": "tests.jobs.integration.spaces:image_rates",
    "budget": {"tasks": 8, "validate_every": 4, "validation_tasks": 6, "test_tasks": 6},
    "promotion": {"leaders": 2, "tasks": 8},
}


def partial_cub(data: Path) -> None:
    """CUB without one class of each split."""
    source = as_folder(files(tiny("cub")), data / ".source")
    dataset = import_dataset("cub", source, data, listed=tiny("cub", classes=3), partial=True)
    assert dataset.partial


@pytest.fixture(scope="module")
def swept(new_oplstm: Callable[[], Oplstm], ray_address: str, server: Server) -> Oplstm:
    oplstm = new_oplstm()
    imported("miniimagenet", oplstm.home.data)
    partial_cub(oplstm.home.data)
    job = Path(oplstm.job("images-end-to-end"))
    job.write_text(_yaml(JOB))
    oplstm.here("sweep", str(job), "--name", "images", "--tracking-uri", server.uri, "--json").ok()
    return oplstm


def _yaml(job: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump({"version": 1, **job})


def test_trials_are_compared_by_accuracy_and_tested_across_domains(swept: Oplstm, rest: Rest, tmp_path: Path):
    tracked = TrackedSweep(rest, swept, "images", "images-end-to-end")
    tracked.check()
    assert len(tracked.trials) == 2
    for name, run in tracked.trials.items():
        tags, params = texts(run, "tags"), texts(run, "params")
        assert tags["digest.dataset"].startswith("sha256:") and len(tags["digest.split"]) == 64
        # 112,576 + 512 of Conv-4, H and b, one LSTM of 2 and 1
        conv4 = 3 * 64 * 9 + 64 + 3 * (64 * 64 * 9 + 64) + 4 * 128
        assert int(params["parameters"]) == conv4 + 2 * 1600 + 2 + (4 * 2 * (2 + 2 + 2)) + (4 * (2 + 1 + 2))
        accuracy = [value for _, value in rest.history(run, "val/accuracy")]
        assert [value for _, value in rest.history(run, "val/best")] == [
            max(accuracy[: i + 1]) for i in range(len(accuracy))
        ]
        scores = load_file(swept.sweep("images").trials / name / "test.safetensors")
        assert set(scores) == {"loss", "accuracy", "cross/cub/loss", "cross/cub/accuracy"}
        for metric, score in (("test/accuracy", "accuracy"), ("cross/cub/accuracy", "cross/cub/accuracy")):
            [(_, value)] = rest.history(run, metric)
            assert value == pytest.approx(scores[score].mean().item())
        assert rest.history(run, "test/ci95") and rest.history(run, "cross/cub/ci95")
        tracked.check_picture(name)
    best = swept.here("status", "images", "--json").ok().json
    assert best["best"] == max(rest.history(run, "val/best")[-1][1] for run in tracked.trials.values())


def test_the_winner_is_the_most_accurate_and_its_final_run_crosses_domains(swept: Oplstm, rest: Rest):
    fresh = Promotion.of(swept.sweep("images")).rescorer()
    report = swept.here("promote", "images", "--json").ok().json
    scores = {leader["trial"]: leader["score_a"]["mean"] for leader in report["leaders"]}
    assert scores[report["picked"]] == max(scores.values())
    again = fresh(report["picked"], Split.PROMOTION_A)
    assert again.shape == (8,)
    assert again.mean() == pytest.approx(scores[report["picked"]])
    result = report["result"]
    assert set(result) >= {"final/test_accuracy", "final/cross/cub/accuracy", "final/ci95_tasks", "final/seeds"}
    assert "final/test_loss" not in result
    [parent] = [
        run for [run] in rest.runs("images-end-to-end").values() if texts(run, "tags")["oplstm.kind"] == "final"
    ]
    assert rest.history(parent, "final/cross/cub/accuracy")[0][1] == result["final/cross/cub/accuracy"]


def test_what_is_made_on_a_part_of_a_dataset_says_so(swept: Oplstm, rest: Rest, server: Server):
    job = Path(swept.job("on-a-part"))
    benchmark = {**JOB["benchmark"], "name": "cub", "cross_domain": []}
    config = {"lr": 0.01, "meta_batch_size": 1}
    job.write_text(_yaml({**JOB, "benchmark": benchmark, "space": None, "fixed": {**JOB["fixed"], **config}}))
    swept.here("train", str(job), "--name", "part", "--tracking-uri", server.uri).ok()
    [run] = [run for [run] in rest.runs("on-a-part").values() if texts(run, "tags")["oplstm.kind"] == "train-trial"]
    assert texts(run, "tags")["oplstm.partial_dataset"] == "CUB, 6 of 9 classes"


def test_a_registered_image_model_learns_from_pictures_alone(swept: Oplstm):
    """No dataset is needed to predict."""
    name = swept.here("status", "images", "--json").ok().json["leader"]
    model = load_model(swept.sweep("images").trials / name)
    images = torch.rand(2, 3, 84, 84)
    assert model.predict(images, torch.eye(2), images).shape == (2, 2)
    with pytest.raises(ValueError, match=r"support_x must have the shape \(n, 3, 84, 84\) .* got \(2, 84, 84\)"):
        model.predict(images[:, 0], torch.eye(2), images)


def test_a_missing_dataset_is_one_clear_line_and_nothing_starts(oplstm: Oplstm):
    for verb in ("plan", "train", "sweep"):
        job = "omniglot-op-lstm-small" if verb == "train" else "omniglot-op-lstm"
        done = oplstm.here(verb, job)
        assert (done.code, done.out) == (2, "")
        assert "oplstm data import omniglot PATH" in done.err and len(done.err.strip().splitlines()) == 1
    assert not oplstm.home.sweeps.exists()
