"""A point of a user's own that begins with another trial's weights: the same after a kill, and never ranked."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from jobs.operations.copies import moved
from jobs.operations.promote import Promotion
from jobs.operations.status import sweep_status
from jobs.operations.study_check import study_problems
from jobs.operations.sweep_check import check_sweep, repair
from jobs.promotion.selection import configurations
from jobs.store import requests
from jobs.store.events import Asked
from jobs.store.header import Header
from jobs.store.requests import Add
from oplstm.errors import RequestError, WorkError
from oplstm.training.warm_start import load_start
from tests.jobs.cli.verbs import the_complaint
from tests.jobs.execution.test_pack_worker import Killed, results, run
from tests.jobs.formula_training import events, job, new_sweep, opened, state_of
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

BUDGET = {"updates": 24, "validate_every": 6, "validation_tasks": 20, "test_tasks": 4}
AGAIN = Add(like="trial-0000", values={"lr": 0.03}, warm_start=True)
JOB = job("rates", trials=2, enqueue=[{"lr": 0.02}], budget=BUDGET)


def killed_in_its_second_pack(folder):
    """The first trial has ended, and the second has begun."""
    made = []

    def tick(update, runs):
        made.append(update)
        if len(made) == 24 + 8:
            raise Killed

    run(folder, tick)
    return folder


@pytest.fixture(scope="module")
def begun(tmp_path_factory, no_waiting_for_the_disk):
    """A sweep that has taken up two such points: one with a model's weights, one with those of a checkpoint."""
    folder = killed_in_its_second_pack(new_sweep(tmp_path_factory.mktemp("begun") / "sweeps" / "s", JOB))
    requests.ask(folder, AGAIN)
    requests.ask(folder, Add(like="trial-0001", values={}, warm_start=True))
    coordinator = opened(folder)
    coordinator.progress()
    coordinator.close(flush_seconds=0)
    return folder


@pytest.fixture
def sweep(begun, tmp_path, monkeypatch):
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path))
    shutil.copytree(begun.path, tmp_path / "sweeps" / "s")
    return type(begun)(tmp_path / "sweeps" / "s")


def added(folder):
    return [event for event in events(folder) if isinstance(event, Asked) and event.added is not None]


@pytest.mark.slow
def test_the_weights_are_those_at_the_best_update_so_far_and_are_kept(sweep):
    state = state_of(sweep)
    assert [(event.added.like, event.added.from_update) for event in added(sweep)] == [
        ("trial-0000", state.trials[0].best_update), ("trial-0001", 6)
    ]  # fmt: skip
    model, kept = (
        load_file(path / "model.safetensors") for path in (sweep.trial("trial-0000"), sweep.start("trial-0002"))
    )
    assert kept.keys() == model.keys() and all(torch.equal(kept[name], model[name]) for name in model)
    assert list(load_start(sweep.start("trial-0002"), state.trials[2].config)) != sorted(kept), "in a run's own order"


@pytest.mark.slow
def test_it_goes_on_to_the_bit_after_a_kill_whatever_became_of_the_other(sweep, tmp_path):
    never = shutil.copytree(sweep.path, tmp_path / "never" / "s")
    run(type(sweep)(never))
    shutil.rmtree(sweep.trial("trial-0000"))
    for count in (20, 4, 14):  # in the last of them no checkpoint is left

        def tick(update, runs, left=[count]):  # noqa: B006
            left[0] -= 1
            if not left[0]:
                raise Killed

        run(sweep, tick)
    shutil.rmtree(sweep.path / "packs")
    run(sweep)
    told, models = results(sweep)
    wanted, wanted_models = results(type(sweep)(never))
    assert told == wanted
    assert {name: bits for name, bits in wanted_models.items() if "trial-0000" not in name} == models
    warm = state_of(sweep).trials[2]
    assert warm.points[0]["val/loss"] == pytest.approx(state_of(sweep).trials[0].best, rel=1e-5), "on the same tasks"


@pytest.mark.slow
def test_it_is_no_result_of_its_configuration(sweep):
    run(sweep)
    state, header = state_of(sweep), Header.read(sweep)
    assert state.finished and list(study_problems(sweep, header, state)) == []
    fresh = {"trial-0000", "trial-0001"}
    assert min(state.trials.values(), key=lambda trial: trial.cost).is_warm
    assert state.leader().name in fresh and sweep_status(sweep).leader in fresh
    assert {one.name for one in configurations(sweep, state, header.measure)} == fresh
    assert "began with the weights of trial-0000 at update" in the_complaint("promote", "s", "--trial", "trial-0002")
    assert Promotion.of(sweep, 0).plan.wanted == {}
    tags = {}
    for record in Journal.read(sweep.journal):
        tags |= record.get("tags", {}) if record.get("key") == "id-of-s/trial-0003" else {}
    assert (tags["oplstm.kind"], tags["oplstm.warm_start"]) == (
        "sweep-warm-start", "the weights of trial-0001 at update 6"
    )  # fmt: skip
    assert (
        "which began with the weights of trial-0001 at update 6 and not with fresh ones" in tags["mlflow.note.content"]
    )
    [warm] = [trial for trial in sweep_status(sweep).trials if trial.name == "trial-0003"]
    assert warm.began_with == "the weights of trial-0001 at update 6"


def test_a_grid_tries_the_same_cell_from_fresh_weights_too(tmp_path):
    folder = new_sweep(tmp_path / "g", job("six_cells", sampler={"name": "grid"}, trials=None, budget=BUDGET))
    coordinator = opened(folder)
    coordinator._write_each(coordinator._asking.until(1, coordinator.give_up))
    proposals = coordinator._proposals
    point = {"hidden": 2, "lr": 0.1}
    warm = proposals.add(point, warm=True)
    assert not proposals.decide(warm.number, 0.1, 10, total=24)
    left = [proposals.ask() for _ in range(6)]
    assert [one.params for one in left if one is not None].count(point) == 1
    coordinator.close(flush_seconds=0)


DECLINED = {
    "--warm-start begins with the weights of the trial that --like names: give that too": Add(
        values={"hidden": 2, "lr": 0.1}, warm_start=True
    ),
    "trial-0001, which is waiting, has no trained weights yet for --warm-start": Add(
        like="trial-0001", values={"lr": 0.1}, warm_start=True
    ),
}


@pytest.mark.parametrize("line", DECLINED)
def test_what_cannot_be_is_one_line(line, tmp_path):
    folder = new_sweep(tmp_path / "d", job("six_cells", sampler={"name": "grid"}, trials=None, budget=BUDGET))
    coordinator = opened(folder)
    coordinator._write_each(coordinator._asking.until(2, coordinator.give_up))
    requests.ask(folder, DECLINED[line])
    coordinator.progress()
    assert coordinator.progress().lines[-1] == f"declined: {line}"
    assert not folder.start("trial-0002").exists()
    coordinator.close(flush_seconds=0)


@pytest.mark.slow
def test_weights_of_other_shapes_are_one_line(tmp_path):
    space = job("three_runs", sampler={"name": "grid"}, trials=None, budget=BUDGET)
    folder = killed_in_its_second_pack(new_sweep(tmp_path / "f", space))
    requests.ask(folder, Add(like="trial-0000", values={"hidden": 3}, warm_start=True))
    coordinator = opened(folder)
    coordinator.progress()
    [line] = coordinator.progress().lines
    assert line.startswith("declined: the weights of trial-0000 do not fit this configuration: ")
    assert line.endswith("; --warm-start takes one of the same sizes") and " there and " in line
    coordinator.close(flush_seconds=0)


def test_weights_that_are_damaged_end_it_with_a_line(sweep):
    path = sweep.start("trial-0002") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(WorkError, match=r"trial-0002/model\.safetensors"):
        load_start(sweep.start("trial-0002"), state_of(sweep).trials[2].config)
    with pytest.raises(RequestError):
        Promotion.of(sweep, 0, chosen="trial-0002")


@pytest.mark.slow
def test_what_they_begin_with_is_looked_at_and_put_back(sweep):
    def wrong():
        return [check.found for check in check_sweep(sweep) if check.check == "starts" and not check.ok]

    moved(sweep)
    [of_model, of_checkpoint] = (sweep.start(f"trial-000{number}") for number in (2, 3))
    kept = {path: path.read_bytes() for place in (of_model, of_checkpoint) for path in place.iterdir()}
    assert wrong() == []
    tensors = of_model / "model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"x")
    shutil.rmtree(of_checkpoint)
    first, second = wrong()
    assert first.startswith(f"{tensors} is damaged: ")
    assert first.endswith(
        f"; trial-0002 begins with {state_of(sweep).trials[2].began_with}: --repair puts them back from there"
    )
    assert second.startswith(
        f"{of_checkpoint} holds no model (run.json is missing); trial-0003 begins with the weights"
    )
    done = repair(sweep)
    assert done[-2:] == [f"{of_model}: put back from trial-0000", f"{of_checkpoint}: put back from trial-0001"]
    assert wrong() == []
    assert {path: path.read_bytes() for path in kept if path.suffix == ".safetensors"} == {
        path: written for path, written in kept.items() if path.suffix == ".safetensors"
    }

    shutil.rmtree(sweep.trial("trial-0000"))
    shutil.copytree(of_checkpoint, of_model, dirs_exist_ok=True)
    [line] = wrong()
    assert line.startswith(f"{of_model} is of update 6 and not of ")
    assert repair(sweep)[-1] == (
        f"{of_model}: left as it is, for {state_of(sweep).trials[2].began_with} are no more, whole, in {sweep.path}"
    )
    run(sweep)
    assert wrong() == [], "they have ended, and nothing begins with it any more"
