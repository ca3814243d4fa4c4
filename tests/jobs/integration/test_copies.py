"""A sweep's folder that was copied or restored doubles nothing in MLflow, and `doctor` sees and mends what differs."""

import shutil
from collections.abc import Callable

import pytest

from jobs.store.header import Header
from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import Run, TrackedSweep
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

TRAINING = {
    "space": None,
    "fixed": {"widths": [8], "passes": 2, "meta_batch_size": 2, "lr": 0.005},
    "budget": {"tasks": 4000, "validate_every": 500},
}


def stopped_training(oplstm: Oplstm, job: str, server: Server) -> None:
    verb = oplstm.start("train", oplstm.job(job, **TRAINING), "--name", "s", "--tracking-uri", server.uri)
    oplstm.await_points("s", 2, verb=verb)
    oplstm.here("stop", "s").ok()
    verb.wait().incomplete()


def copied(one: Oplstm, other: Oplstm) -> None:
    """The home as a whole, as a person copies it."""
    shutil.rmtree(other.home.path, ignore_errors=True)
    shutil.copytree(one.home.path, other.home.path)


def losses(oplstm: Oplstm) -> list[tuple[int, float]]:
    return [(point["update"], point["metrics"]["val/loss"]) for point in oplstm.events("s", "point")]


def runs_of(rest: Rest, oplstm: Oplstm, experiment: str) -> dict[str, list[Run]]:
    """The runs of a home's sweep by key; none of them is running, and each point is there once."""
    key = Header.read(oplstm.sweep("s")).id
    found = {name: runs for name, runs in rest.runs(experiment).items() if name.startswith(key)}
    assert all(run["info"]["status"] == "FINISHED" for runs in found.values() for run in runs)
    [trial] = found[f"{key}/trial-0000"]
    assert rest.history(trial, "val/loss") == losses(oplstm)
    assert texts(trial, "tags")["oplstm.sweep_id"] == key
    assert f"/runs/{found[key][0]['info']['run_id']}?" in texts(trial, "tags")["mlflow.note.content"]
    return found


@pytest.mark.long
def test_two_homes_with_one_sweep_on_one_server_double_nothing(
    oplstm: Oplstm, new_oplstm: Callable[[], Oplstm], server: Server, rest: Rest, unique: str
):
    stopped_training(oplstm, unique, server)
    other, backup = new_oplstm(), new_oplstm()
    copied(oplstm, other)
    copied(oplstm, backup)
    for verb, code in (("resume", 2), ("doctor", 1)):
        refused = other.here(verb, "s")
        assert refused.code == code
        [line] = [line for line in (refused.err + refused.out).splitlines() if "copy" in line]
        assert f"{other.sweep('s').path} is a copy of {oplstm.sweep('s').path} on " in line
        assert "oplstm doctor s --adopt" in line and "oplstm doctor s --moved" in line
    oplstm.here("resume", "s").ok()
    other.here("doctor", "s", "--adopt").ok()
    other.here("resume", "s").ok()
    assert losses(other) == losses(oplstm)
    assert {len(runs) for home in (oplstm, other) for runs in runs_of(rest, home, unique).values()} == {1}
    assert len(rest.runs(unique)) == 4
    for home in (oplstm, other):
        home.here("doctor", "s").ok()

    shutil.rmtree(oplstm.home.path)
    copied(backup, oplstm)  # restored at the very place
    refused = oplstm.here("resume", "s")
    assert (refused.code, refused.out) == (2, "")
    [line] = refused.err.splitlines()
    assert "s cannot go on: run " in line
    assert "of which nothing is known here: this is an older copy of the sweep; oplstm doctor s --adopt" in line
    oplstm.here("doctor", "s", "--adopt").ok()
    oplstm.here("resume", "s").ok()
    runs_of(rest, oplstm, unique)
    assert len(rest.runs(unique)) == 6


@pytest.mark.integration
def test_doctor_finds_and_mends_what_differs_in_mlflow(oplstm: Oplstm, server: Server, rest: Rest, unique: str):
    job = oplstm.job(unique, **{**TRAINING, "budget": {"tasks": 400, "validate_every": 200}})
    oplstm.here("train", job, "--name", "s", "--tracking-uri", server.uri).ok()
    oplstm.here("doctor", "s").ok()
    tracked = TrackedSweep(rest, oplstm, "s", unique)
    run_id = tracked.trials["trial-0000"]["info"]["run_id"]
    model = oplstm.sweep("s").trial("trial-0000") / "model.safetensors"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    key = texts(tracked.trials["trial-0000"], "tags")["oplstm.key"]
    made = rest.post(
        "runs/create", experiment_id=rest.experiment_id(unique), tags=[{"key": "oplstm.key", "value": key}]
    )
    twin = made["run"]["info"]["run_id"]
    rest.post("runs/update", run_id=run_id, status="KILLED")

    of_all = oplstm.here("doctor")
    empty = f"{key} has an empty run {twin} in MLflow beside {run_id}: oplstm doctor s --repair deletes it"
    assert f"LOOK  s: {empty}" in of_all.out.splitlines()
    kept = oplstm.here("doctor", "s", "--rebuild")
    assert kept.code == 1
    assert f"LOOK  MLflow: {model.parent} is damaged, and would be uploaded in place of MLflow's copy: " in kept.out
    found = oplstm.here("doctor", "s")
    assert found.code == 1
    wrong = [line for line in found.out.splitlines() if line.startswith("LOOK")]
    assert wrong == [
        f"LOOK  models: {model} is damaged: its SHA-256 is not the one in run.json",
        f"LOOK  MLflow: {empty}",
        f"LOOK  MLflow: run {run_id} of {key} is KILLED in MLflow and FINISHED here: oplstm doctor s --repair ships it "
        "again",
    ]
    mended = oplstm.here("doctor", "s", "--repair").ok()
    done = [line for line in mended.out.splitlines() if line.startswith("repair: ")]
    assert done[0] == f"repair: deleted the empty run {twin} of {key}"
    assert done[1] == f"repair: {model.parent}: put back from run {run_id} in MLflow"
    assert done[2].startswith("repair: shipped the whole journal of s again, ")
    assert model.read_bytes() == whole
    TrackedSweep(rest, oplstm, "s", unique).check()
    oplstm.here("doctor", "s").ok()
    assert "ok    s: everything is in MLflow" in oplstm.here("doctor").out.splitlines()
