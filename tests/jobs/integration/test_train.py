"""``oplstm train``: one configuration without Ray, stopped and resumed, and every job that ships."""

import pytest

from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.jobs.jobfile.jobs_that_ship import ON_SINE
from tracking.server.client import connect
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration
SHORT = ("tasks=80", "validate_every=40", "validation_tasks=10", "test_tasks=10")


def short() -> list[str]:
    return [part for setting in SHORT for part in ("--set", setting)]


def models(oplstm: Oplstm, name: str) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in oplstm.sweep(name).trials.glob("*/model.safetensors")}


def test_a_training_interrupted_and_resumed_ends_with_the_same_bits(oplstm: Oplstm, server: Server):
    config = {"widths": [8], "passes": 2, "meta_batch_size": 2, "lr": 0.005}
    budget = {"tasks": 6000, "validate_every": 500}
    job = oplstm.job("single", space=None, fixed=config, budget=budget)
    uri = ("--tracking-uri", server.uri, "--json")
    whole = oplstm.here("train", job, "--name", "whole", *uri).ok().json
    assert whole["state"] == "complete"
    verb = oplstm.start("train", job, "--name", "parts", *uri)
    oplstm.await_points("parts", 2, verb=verb)
    verb.interrupt()
    stopped = verb.wait().incomplete().json
    assert stopped["state"] == "stopped"
    assert 0 < stopped["trials"][0]["fraction"] < 1
    assert oplstm.here("resume", "parts", "--json").ok().json["state"] == "complete"
    assert models(oplstm, "parts") == models(oplstm, "whole")
    again = oplstm.here("resume", "parts")
    assert (again.code, again.out) == (2, "")
    assert "nothing is left to resume" in again.err


# The jobs on images are executed in tests/jobs/jobfile/test_image_jobs.py, and one of their kind in test_images.py.
# That the spaces of the others give runs, and which, is found out without training.
def test_a_job_that_ships_sweeps(oplstm: Oplstm, ray_address: str, server: Server):
    words = ("--trials", "2", *short(), "--tracking-uri", server.uri, "--json")
    done = oplstm.here("sweep", "sine-lstm", *words).ok().json
    assert done["counts"] == {"complete": 2}
    assert done["records_waiting"] == 0


# That all that ship train is seen in tests/jobs/jobfile/test_shipped.py, without a verb.
@pytest.mark.parametrize("name", [name for name in ON_SINE if name.startswith("published-")])
def test_a_published_job_trains_and_stands_below_its_table(oplstm: Oplstm, server: Server, name: str):
    seed = ("--set", "seeds=1")  # more have processes of their own
    done = oplstm.here("train", name, *short(), *seed, "--tracking-uri", server.uri, "--json").ok().json
    assert (done["name"], done["counts"]) == (f"{name}-train", {"complete": 1})
    below = oplstm.here("table", "1", "--tracking-uri", server.uri, "--json").ok().json["others"]
    [listed] = [other for other in below if other["run_name"] == done["name"]]
    assert listed["value"] == done["result"]["final/test_loss"]
    assert any("budget" in differs for differs in listed["differs"])


def test_explain_names_the_command_that_trains_a_trial_again_to_the_bit(oplstm: Oplstm, server: Server):
    config, uri = {"widths": [4], "passes": 1, "meta_batch_size": 2, "lr": 0.005}, ("--tracking-uri", server.uri)
    job = oplstm.job("seeds", space=None, fixed=config, seeds=2, budget={"tasks": 200})
    done = oplstm.here("train", job, "--name", "seeds", *uri).ok()
    experiment = connect(server.uri).get_experiment_by_name("seeds")
    assert f"; in MLflow: {server.uri}/#/experiments/{experiment.experiment_id}/runs?" in done.err
    assert "seeds: test MSE " in done.out
    command = oplstm.here("explain", "seeds", "trial-0001", "--json").ok().json["command"]
    assert command in oplstm.here("explain", "seeds", "trial-0001").ok().out
    program, *words = command.split()
    assert program == "oplstm"
    alone = oplstm.here(*words, *uri, "--json").ok().json
    assert alone["name"] == "seeds-trial-0001"
    assert models(oplstm, "seeds-trial-0001")["trial-0000"] == models(oplstm, "seeds")["trial-0001"]


def test_stop_ends_a_training_from_another_process(oplstm: Oplstm, server: Server):
    job = oplstm.job("long", budget={"tasks": 10**6}, enqueue=[], space=None, fixed={"lr": 0.01, "meta_batch_size": 4})
    verb = oplstm.start("train", job, "--name", "long", "--tracking-uri", server.uri)
    wait_until(lambda: oplstm.events("long", "started"))
    taken = oplstm.here("train", job, "--name", "long", "--tracking-uri", server.uri)
    assert taken.code == 2
    assert "name 'long' is taken" in taken.err
    assert "is running" in oplstm.here("resume", "long").err
    oplstm.here("stop", "long").ok()
    assert "long stopped: 1 stopped" in verb.wait().incomplete().out
    assert oplstm.here("status", "long", "--json").ok().json["state"] == "stopped"
