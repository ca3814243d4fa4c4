"""Figure 5: which runs it takes, and what it makes of their test scores."""

import math

import pytest
import torch

from jobs.operations.shots import draw_shots
from oplstm.errors import RequestError
from oplstm.training.sealed import write_sealed
from tests.jobs.formula_training import finish, job, new_sweep, state_of

FIXED = {"widths": [4], "lr": 0.02, "meta_batch_size": 2, "passes": 1}
CELLS = [("batched", 5), ("batched", 10), ("sequential", 5)]


@pytest.fixture
def swept(tmp_path, no_waiting_for_the_disk):
    """A sweep of some cells under a seed."""

    def make(name, *, seed=0, cells=CELLS, **changes):
        points = [dict(zip(("support", "shots"), cell, strict=True)) for cell in cells]
        whole = job(None, trials=len(cells), fixed=FIXED | changes, enqueue=points, sampler={"name": "RandomSampler"})
        folder = new_sweep(tmp_path / name, whole.model_copy(update={"seed": seed, "space": "sine-shots"}))
        finish(folder)
        for trial in state_of(folder).trials.values():  # the formula leaves no files
            scores = {"test.safetensors": {"loss": torch.tensor([0.1, 0.2]) + 0.3 * seed**2 + 0.1 * trial.number}}
            write_sealed(folder.trial(trial.name), "run.json", data={"run": trial.run}, tensors=scores)
        return folder

    return make


@pytest.mark.slow
def test_its_points_are_means_over_the_seeds_of_all_sweeps(swept, tmp_path):
    sweeps = [swept("first"), swept("second", seed=1), swept("third", seed=2, cells=CELLS[:2])]
    points = draw_shots(sweeps, tmp_path / "a.svg")
    assert [(one.support, one.shots, len(one.runs), one.published) for one in points] == [
        ("batched", 5, 3, 0.0406),
        ("batched", 10, 3, 0.0141),
        ("sequential", 5, 2, 0.0536),
    ]
    means = [0.15, 0.45, 1.35]
    assert points[0].test.mean == pytest.approx(0.65, rel=1e-6)
    spread = math.sqrt(sum((mean - 0.65) ** 2 for mean in means) / 2)
    assert points[0].test.half_width == pytest.approx(4.302653 * spread / math.sqrt(3), rel=1e-6)
    assert points[0].runs == ("first/trial-0000", "second/trial-0000", "third/trial-0000")
    draw_shots(sweeps, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_runs_that_differ_in_more_have_no_place_in_one_figure(swept, tmp_path):
    one, other = swept("one"), swept("other", lr=0.03)
    with pytest.raises(RequestError, match=r"other/trial-0000 and one/trial-0000 differ in lr: .* support, shots and"):
        draw_shots([one, other], tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


def test_a_run_with_the_same_seed_is_no_second_seed(swept, tmp_path):
    with pytest.raises(RequestError, match="again/trial-0000 and one/trial-0000 are the same run with the same seed"):
        draw_shots([swept("one"), swept("again")], tmp_path / "a.svg")


def test_what_was_not_tested_is_not_drawn(tmp_path, no_waiting_for_the_disk):
    with pytest.raises(RequestError, match="no run of fresh was tested yet"):
        draw_shots([new_sweep(tmp_path / "fresh", job())], tmp_path / "a.svg")
