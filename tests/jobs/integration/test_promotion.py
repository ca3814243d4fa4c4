"""Promotion: by meta-validation alone, registered, and carried to a final run that is tracked."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from oplstm.training.checkpoint import load_model
from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.journal_lines import groups_in, resealed
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def swept(new_oplstm, ray_address: str, server: Server) -> Oplstm:
    """A sweep of four trials, all of which complete."""
    oplstm = new_oplstm()
    job = oplstm.job("promoted", trials=4)
    oplstm.here("sweep", job, "--name", "swept", "--tracking-uri", server.uri, "--json").ok()
    return oplstm


def picked(oplstm: Oplstm) -> dict:
    return oplstm.here("promote", "swept", "--dry-run", "--json").ok().json


def test_a_dry_run_ranks_by_validation_and_starts_nothing(swept: Oplstm):
    before = sorted(path.name for path in swept.home.sweeps.iterdir())
    choice = picked(swept)
    status = swept.here("status", "swept", "--json").ok().json
    assert choice["leaders"][0]["trial"] == status["leader"]
    scores = {leader["trial"]: leader["score_a"]["mean"] for leader in choice["leaders"]}
    assert choice["picked"] == min(scores, key=scores.get)
    assert sorted(path.name for path in swept.home.sweeps.iterdir()) == before
    assert swept.here("status", "swept", "--json").ok().json["promoted"] is None


def test_altered_test_values_change_nothing(swept: Oplstm, rest: Rest):
    before = picked(swept)
    folder = swept.sweep("swept")
    for index, path in enumerate(sorted(folder.trials.glob("*/test.safetensors"))):
        losses = load_file(path)["loss"]
        save_file({"loss": torch.full_like(losses, 10.0 ** (index - 8))}, path)
    text = folder.journal.read_bytes()
    groups = groups_in(text)
    changed = 0
    for record in (record for group in groups for record in group):
        for name in set(record.get("metrics", ())) & {"test/loss", "test/ci95"}:
            record["metrics"][name] = 1e-9 * changed
            changed += 1
    assert changed >= 8
    altered = [text.splitlines(keepends=True)[0], *(json.dumps(group).encode() for group in groups)]
    folder.journal.write_bytes(resealed(altered))
    for [run] in rest.runs("promoted").values():
        rest.post(
            "runs/log-metric", run_id=run["info"]["run_id"], key="test/loss", value=1e-12, timestamp=1, step=10**6
        )
    try:
        assert picked(swept) == before
    finally:
        folder.journal.write_bytes(text)


def test_a_promotion_is_registered_and_its_final_run_tracked(
    swept: Oplstm, server: Server, rest: Rest, monkeypatch: pytest.MonkeyPatch
):
    report = swept.here("promote", "swept", "--seeds", "2", "--json").ok().json
    final = report["final"]
    result = report["result"]
    runs = {
        key: found for key, found in rest.runs("promoted").items() if texts(found[0], "tags")["oplstm.sweep"] == final
    }
    [parent] = [run for [run] in runs.values() if "mlflow.parentRunId" not in texts(run, "tags")]
    children = [run for [run] in runs.values() if run is not parent]
    tags = texts(parent, "tags")
    assert {name: tags[f"oplstm.{name}"] for name in ("kind", "benchmark", "shots", "learner", "mode", "state")} == {
        "kind": "final", "benchmark": "sine", "shots": "5", "learner": "lstm", "mode": "batched", "state": "complete",
    }  # fmt: skip
    assert len(children) == 2
    assert {texts(run, "tags")["mlflow.parentRunId"] for run in children} == {parent["info"]["run_id"]}
    assert len({texts(run, "params")["evaluation_seed"] for run in children}) == 2
    for name in ("final/test_loss", "final/ci95_tasks", "final/ci95_seeds", "final/seeds"):
        [(_, value)] = rest.history(parent, name)
        assert value == result[name]
    seeds = [rest.history(run, "test/loss")[0][1] for run in children]
    assert sorted(seeds) == pytest.approx(sorted(result["seed_means"]))
    assert result["final/test_loss"] == pytest.approx(sum(seeds) / 2)

    sweep = TrackedSweep(rest, swept, "swept", "promoted").parent
    logged = {"report/report.html", "report/trials.csv", "report/promoted.yaml", "promotion/promotion.json"}
    assert logged <= {*rest.artifacts(sweep, "report"), *rest.artifacts(sweep, "promotion")}
    assert texts(sweep, "tags")["oplstm.final_run"] == parent["info"]["run_id"]
    assert (tags["oplstm.of_sweep"], tags["oplstm.of_run"]) == ("swept", sweep["info"]["run_id"])
    assert f"(#/runs/{sweep['info']['run_id']})" in tags["mlflow.note.content"]
    before = swept.sweep("swept").journal.read_bytes()
    swept.here("promote", "swept", "--seeds", "2").ok()
    assert swept.sweep("swept").journal.read_bytes() == before, "promoted and reported before"

    table = swept.here("table", "1", "--tracking-uri", server.uri, "--json").ok().json
    [listed] = [other for other in table["others"] if other["run_name"] == final]
    assert (listed["value"], listed["seeds"]) == (result["final/test_loss"], 2)
    [tests, budget, *more] = listed["differs"]  # all else that defines the cell was tracked, and agrees
    assert tests.startswith("test tasks ") and budget.startswith("budget ")
    assert more == ["queries 10, the cell's 50", "seeds 2, the cell's 3"]
    assert final not in [cell["ours"] and cell["ours"]["run_name"] for cell in table["cells"]]
    assert "MAML 20-shot" in table["not_run"]

    import mlflow

    name, _, version = report["registered"].partition(":")
    found = rest.get("registered-models/alias", name=name, alias="champion")["model_version"]
    assert found["version"] == version
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # mlflow.set_tracking_uri would set it for good
    registered = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    x = [[-1.0], [0.5], [2.0]]
    y = [[0.1], [0.4], [-0.2]]
    ours = load_model(swept.sweep("swept").trials / report["picked"]).predict(*map(torch.tensor, (x, y, x)))
    theirs = registered.predict({"support_x": x, "support_y": y, "query_x": x})
    torch.testing.assert_close(torch.as_tensor(theirs, dtype=torch.float32).reshape(3, 1), ours)


def test_a_final_run_cannot_be_promoted(swept: Oplstm):
    done = swept.here("promote", "swept-final", "--dry-run")
    assert done.code == 2
    assert "is a final run; promote takes a sweep" in done.err
