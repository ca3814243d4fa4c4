"""Sweeps end to end: the command line, Ray Tune, the coordinator, a real MLflow server, read back over its REST API."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs.execution import nodes
from oplstm.training.run import RunConfig
from tests.conftest import ROOT
from tests.jobs.integration import spaces
from tests.jobs.integration.command_line import Done, Oplstm
from tests.jobs.integration.conftest import CPUS
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration

LEARNS = {"lr": 0.01, "hidden": 8, "passes": 2, "meta_batch_size": 4}
DIVERGES = {"lr": 1e6, "hidden": 4, "passes": 1, "meta_batch_size": 3}
STANDS_STILL = {"lr": 1e-7, "hidden": 8, "passes": 1, "meta_batch_size": 4}
LEARNS_IN_THREES = {"lr": 0.01, "hidden": 8, "passes": 2, "meta_batch_size": 3}


def test_workers_have_the_share_of_a_core_that_any_process_has(ray_address: str):
    """Ray's default is the least there is: beside the work of others a sweep took many times as long to begin."""
    import ray

    assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)


@pytest.fixture(scope="module")
def finished(new_oplstm: Callable[[], Oplstm], ray_address: str, server: Server) -> tuple[Oplstm, Done, str]:
    """A sweep one pack at a time, so that the pruner sees the trials in order."""
    oplstm, experiment = new_oplstm(), "sweep-end-to-end"
    job = oplstm.job(
        experiment,
        space="tests.jobs.integration.spaces:rates",
        pruner={"name": "MedianPruner", "options": {"n_startup_trials": 2}, "patience": None},
        enqueue=[LEARNS, LEARNS_IN_THREES, DIVERGES, STANDS_STILL],
        trials=4,
        resources={"cpus": CPUS, "pack": 1},
    )
    address = ("--ray-address", ray_address, "--tracking-uri", server.uri)
    verb = oplstm.start("sweep", job, "--name", "all-ends", *address, "--json", terminal=True, TERM="xterm")
    return oplstm, verb.wait(), experiment


@pytest.fixture(scope="module")
def tracked(finished: tuple[Oplstm, Done, str], rest: Rest) -> TrackedSweep:
    oplstm, _, experiment = finished
    return TrackedSweep(rest, oplstm, "all-ends", experiment)


def test_the_verb_says_what_became_of_it(finished: tuple[Oplstm, Done, str]):
    oplstm, done, _ = finished
    report = done.ok().json
    assert report["state"] == "complete"
    assert report["records_waiting"] == 0
    assert {trial["name"]: trial["state"] for trial in report["trials"]} == {
        "trial-0000": "complete",
        "trial-0001": "complete",
        "trial-0002": "diverged",
        "trial-0003": "pruned",
    }
    assert oplstm.here("status", "all-ends", "--json").ok().json == {
        key: value for key, value in report.items() if key != "records_waiting"
    }


def test_a_terminal_shows_a_bar_that_moves(finished: tuple[Oplstm, Done, str]):
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", finished[1].err)
    assert "all-ends" in shown
    assert re.search(r"[0-3]/4 runs, best \d", shown), "nothing between the start and the end"
    assert re.search(r"4/4 runs, best \d\.\d+, (1 pruned, )?1 diverged", shown)


def test_mlflow_holds_every_trial_and_every_point_once(tracked: TrackedSweep):
    tracked.check()
    ended = [texts(tracked.trials[name], "tags")["oplstm.state"] for name in sorted(tracked.trials)]
    assert ended == ["complete", "complete", "diverged", "pruned"]


def test_a_diverged_trial_says_so_in_mlflow(tracked: TrackedSweep):
    run = tracked.trials["trial-0002"]
    assert run["info"]["status"] == "FAILED"
    assert texts(run, "tags")["mlflow.note.content"].startswith("diverged: ")
    assert texts(run, "params")["lr"] == "1000000.0"
    assert tracked.rest.history(run, "diverged")[0][1] == 1


def test_a_run_says_what_was_trained_and_by_what(tracked: TrackedSweep, rest: Rest, tmp_path: Path):
    commit, changes = (
        subprocess.run(["git", "-C", str(ROOT), *command], capture_output=True, text=True, check=False).stdout.strip()
        for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
    )
    seeds, validation, test = set(), set(), set()
    for name, run in tracked.trials.items():
        tags, params = texts(run, "tags"), texts(run, "params")
        if commit:
            assert tags["mlflow.source.git.commit"] == commit
            assert tags["oplstm.git_dirty"] == str(bool(changes)).lower()
        for package in ("torch", "ray", "optuna", "mlflow", "numpy", "oplstm"):
            assert tags[f"version.{package}"] == version(package)
        assert tags["oplstm.device"].startswith("cpu: ")
        assert tags["oplstm.threads"] == str(CPUS)
        assert (tags["oplstm.kind"], tags["oplstm.learner"], tags["oplstm.mode"]) == ("sweep-trial", "lstm", "batched")
        config = json.loads((tracked.download(name, tmp_path / name) / "run.json").read_text())["run"]
        assert tags["digest.configuration"] == RunConfig.from_dict(config).digest()
        assert params["widths"] == "-".join(map(str, config["hyperparameters"]["widths"]))
        assert (params["lr"], params["seed"]) == (str(config["lr"]), str(config["seed"]))
        assert params["space.hidden"] == params["widths"]
        seeds.add(params["seed"])
        validation.add(tags["digest.validation_tasks"])
        test.add(tags["digest.test_tasks"])
    assert len(seeds) == len(tracked.trials), "a seed a trial"
    assert len(validation) == len(test) == 1, "trials are judged on the same tasks"
    assert validation != test


def test_mlflow_holds_the_best_weights_and_the_curve(tracked: TrackedSweep, tmp_path: Path):
    for name in ("trial-0000", "trial-0001"):
        tracked.check_model(name, tmp_path / name)
    for name in tracked.trials:
        tracked.check_picture(name)
        assert "model/model.safetensors" in tracked.rest.artifacts(tracked.trials[name], "model")


def test_a_grid_runs_every_cell_once_and_ends(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, unique: str, monkeypatch: pytest.MonkeyPatch
):
    """In packs of two, several at once, with a cell enqueued as well; more trials are allowed than there are cells.

    A Ray of our own is not asked for its nodes while it may be ended: who asks then is ended too.
    """
    monkeypatch.setattr(nodes, "WATCH_SECONDS", 0.05)
    looks, check = [], nodes.Nodes.check
    monkeypatch.setattr(nodes.Nodes, "check", lambda self: (looks.append(1), check(self))[1])
    job = oplstm.job(
        unique,
        space="tests.jobs.integration.spaces:grid",
        sampler={"name": "grid"},
        enqueue=[{"passes": 2, "hidden": 8, "lr": 0.003}],
        trials=50,
        budget={"tasks": 80, "validate_every": 40},
        resources={"pack": 2},
    )
    report = oplstm.here("sweep", job, "--name", "grid", "--tracking-uri", server.uri, "--json").ok().json
    assert report["counts"] == {"complete": len(spaces.CELLS)}
    assert len(looks) == 1, "before the sweep, and not in it"
    tracked = TrackedSweep(rest, oplstm, "grid", unique)
    tracked.check()
    cells = {name: cell(texts(run, "params")) for name, run in tracked.trials.items()}
    assert sorted(cells.values(), key=str) == sorted(spaces.CELLS, key=str)
    assert cells["trial-0000"] == (2, 8, 0.003), "what is enqueued comes first"
    assert {texts(run, "tags")["oplstm.pack_size"] for run in tracked.trials.values()} == {"2"}


def test_packs_measure_their_size_and_share_the_cluster(oplstm: Oplstm, ray_address: str, server: Server, unique: str):
    job = oplstm.job(
        unique,
        space="tests.jobs.integration.spaces:grid",
        sampler={"name": "grid"},
        trials=None,
        budget={"tasks": 80, "validate_every": 40},
        resources={"pack": "auto"},
    )
    verb = ("sweep", job, "--name", "auto", "--tracking-uri", server.uri, "--json")
    assert oplstm.here(*verb).ok().json["counts"] == {"complete": len(spaces.CELLS)}
    started = {event["pack"] for event in oplstm.events("auto", "started")}
    sized = oplstm.events("auto", "sized")
    assert {event["pack"] for event in sized} == started
    assert len(started) >= 2, "a pack a width: one of two cells, one of four"
    remembered = json.loads(oplstm.home.pack_sizes.read_text())["sizes"].values()
    assert {event["capacity"] for event in sized} <= {entry["size"] for entry in remembered}


def cell(params: dict[str, str]) -> tuple[int, int | None, float]:
    hidden = params.get("space.hidden")
    return int(params["space.passes"]), hidden and int(hidden), float(params["space.lr"])
