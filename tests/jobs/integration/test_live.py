"""A running sweep is limited, gets a trial of the user's own, and loses one: in its status and in MLflow."""

import pytest

from oplstm.training.warm_start import of_checkpoint
from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration


def test_limit_add_and_prune_while_it_runs(oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, unique: str):
    """One trial that would go on for minutes, in a cluster that has room for more of them.

    The other begins with the weights that the first had at its last checkpoint.
    """
    job = oplstm.job(unique, trials=1, budget={"tasks": 10**6, "validate_every": 500}, resources={"pack": 1})
    verb = oplstm.start(
        "sweep", job, "--name", "live", "--tracking-uri", server.uri, "--ray-address", ray_address, "--json"
    )
    oplstm.await_points("live", 1, verb=verb)
    assert oplstm.here("limit", "live", "--concurrent", "1", "--json").ok().json["taken_up"]
    pack = oplstm.sweep("live").pack("pack-0000")
    wait_until(lambda: (kept := of_checkpoint(pack, "trial-0000")) is not None and kept.update > 0)
    warm = ["lr=0.005", "--like", "trial-0000", "--warm-start"]
    added = oplstm.here("add", "live", *warm, "--json").ok().json
    assert added["trial"] == "trial-0001"
    oplstm.await_points("live", 2, verb=verb, after=len(oplstm.events("live", "point")))
    status = oplstm.here("status", "live", "--json").ok().json
    assert status["concurrent"] == 1
    trials = {trial["name"]: (trial["state"], trial["added"]) for trial in status["trials"]}
    assert trials == {"trial-0000": ("running", False), "trial-0001": ("waiting", True)}, "the limit holds"

    oplstm.here("prune", "live", "trial-0000", "--json").ok()
    wait_until(lambda: [event for event in oplstm.events("live", "point") if event["trial"] == "trial-0001"])
    assert oplstm.here("prune", "live", "trial-0001", "--json").ok().json["taken_up"]
    report = verb.wait().incomplete().json
    assert {trial["name"]: trial["note"] for trial in report["trials"]} == {
        "trial-0000": "pruned by hand",
        "trial-0001": "pruned by hand",
    }
    assert (report["state"], report["counts"]) == ("complete", {"pruned": 2})
    assert oplstm.here("status", "live", "--json").ok().json["trials"] == report["trials"]

    tracked = TrackedSweep(rest, oplstm, "live", unique)
    tracked.check()
    first, second = (texts(tracked.trials[name], "tags") for name in ("trial-0000", "trial-0001"))
    assert first["oplstm.pruned"] == second["oplstm.pruned"] == "by hand"
    assert (second["oplstm.added"], second["oplstm.added_like"]) == ("by hand", "trial-0000")
    assert "oplstm.added" not in first
    assert texts(tracked.trials["trial-0001"], "params")["lr"] == "0.005"
    [asked] = [event for event in oplstm.events("live", "asked") if event["trial"] == 1]
    at = asked["added"]["from_update"]
    began_with = f"the weights of trial-0000 at update {at}"
    assert (second["oplstm.kind"], second["oplstm.warm_start"]) == ("sweep-warm-start", began_with)
    assert began_with in second["mlflow.note.content"]
    values = {
        (event["trial"], event["update"]): event["metrics"]["val/loss"] for event in oplstm.events("live", "point")
    }
    assert at > 0 and values["trial-0001", 0] == pytest.approx(values["trial-0000", at], rel=1e-5)
    assert texts(tracked.parent, "tags")["oplstm.concurrent"] == "1"
    assert "model/model.safetensors" in rest.artifacts(tracked.trials["trial-0000"], "model")
