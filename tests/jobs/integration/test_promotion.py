"""Promotion: by meta-validation alone, registered, and carried to a final run that is tracked."""

import json
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import torch
from safetensors.torch import load_file, save_file

from oplstm.training.checkpoint import load_model
from tests.browser import browsing
from tests.jobs.integration import clicks
from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.journal_lines import groups_in, resealed
from tests.tracking.conftest import Rest, texts
from tracking.results.crowning import VALUE
from tracking.results.views import sweep_url
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


class Killed(BaseException):
    """In the place of a signal that nobody can catch."""


def die(*arguments: object, **keys: object) -> None:
    raise Killed


STEPS = (
    "jobs.operations.replicate.run_in_process",  # the replicates are asked for, and not trained
    "jobs.promotion.registration.write_file",  # the model is registered, and the journal does not know
    "jobs.operations.promote.start_here",  # the promotion is in the journal, and has no final run
    "jobs.operations.promoting.register_final",  # the final run has ended, and its model is not registered
)
PROMOTE = ("promote", "swept", "--replicates", "2x1", "--seeds", "2", "--json")


@pytest.fixture(scope="module")
def promoted(swept: Oplstm) -> dict:
    """The sweep's promotion, which was killed at each of its steps and gone on with."""
    for step in STEPS:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(step, die)
            with pytest.raises(Killed):
                swept.here(*PROMOTE)
    return swept.here(*PROMOTE).ok().json


def test_a_promotion_that_is_killed_is_gone_on_with_and_then_changes_nothing(swept: Oplstm, promoted: dict, rest: Rest):
    asked = [(event["trial"], event["replicate"]) for event in swept.events("swept", "replicated")]
    assert sorted(asked) == sorted({*asked}) and len(asked) == 2
    ends = [event["trial"] for event in swept.events("swept", "ended") if "-seed-" in event["trial"]]
    assert len(ends) == 2
    assert len(swept.events("swept", "promoted")) == 1
    assert sorted(path.name for path in swept.home.sweeps.iterdir()) == ["swept", "swept-final"]
    assert swept.here(*PROMOTE).ok().json == promoted
    assert swept.here("promote", "swept", "--json").ok().json == promoted, "nothing is left to replicate"
    assert len(swept.events("swept", "promoted")) == 1
    kinds = {
        texts(found[0], "tags")["mlflow.runName"]: texts(found[0], "tags")["oplstm.kind"]
        for found in rest.runs("promoted").values()
    }
    assert Counter(kinds.values()) == {
        "sweep": 1, "sweep-trial": 4, "sweep-replicate": 2, "final": 1, "final-trial": 2,
    }  # fmt: skip
    versions = rest.get("model-versions/search", filter="name='promoted'")["model_versions"]
    assert len(versions) == 2, "the trial's, and the best seed's of the final run"


def test_the_view_of_the_sweep_ranks_its_trials_and_no_replicates(swept: Oplstm, promoted: dict, rest: Rest):
    url = sweep_url(rest.uri, "1", sweep_key="swept", metric="val/best", ascending=True)
    shown = parse_qs(urlsplit(urlsplit(url).fragment).query)["searchFilter"][0]
    found = rest.post("runs/search", experiment_ids=[rest.experiment_id("promoted")], filter=shown)["runs"]
    assert sorted(texts(run, "tags")["mlflow.runName"] for run in found) == [f"swept/trial-000{n}" for n in range(4)]


def test_the_promotion_is_told_on_its_runs(swept: Oplstm, promoted: dict, rest: Rest):
    [run] = [
        found[0]
        for found in rest.runs("promoted").values()
        if texts(found[0], "tags")["mlflow.runName"] == f"swept/{promoted['picked']}"
    ]
    assert texts(run, "tags")["oplstm.promoted"] == "true"
    [(_, forecast)] = rest.history(run, "promote/forecast")
    assert forecast == promoted["forecast"]["mean"]
    [(_, score_b)] = rest.history(run, "promote/score_b")
    assert score_b == promoted["score_b"]["mean"]
    [parent] = [
        found[0] for found in rest.runs("promoted").values() if texts(found[0], "tags")["oplstm.kind"] == "sweep"
    ]
    assert "promotion/promotion.json" in rest.artifacts(parent, "promotion")


def test_a_promotion_is_registered_and_its_final_run_tracked(
    swept: Oplstm, promoted: dict, server: Server, rest: Rest, monkeypatch: pytest.MonkeyPatch
):
    report, final = promoted, promoted["final"]
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
    assert f"/runs/{sweep['info']['run_id']}?workflowType=machine_learning)" in tags["mlflow.note.content"]
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

    name, _, version = report["champion"].partition(":")
    found = rest.get("registered-models/alias", name=name, alias="champion")["model_version"]
    assert found["version"] == version != report["registered"].partition(":")[2]
    assert {tag["key"]: tag["value"] for tag in found["tags"]}["oplstm.sweep"] == final
    assert f"{result['final/test_loss']:.4f}" in found["description"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)  # mlflow.set_tracking_uri would set it for good
    registered = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    x = [[-1.0], [0.5], [2.0]]
    y = [[0.1], [0.4], [-0.2]]
    best = min(swept.events(final, "ended"), key=lambda event: event["metrics"]["val/best"])["trial"]
    ours = load_model(swept.sweep(final).trials / best).predict(*map(torch.tensor, (x, y, x)))
    theirs = registered.predict({"support_x": x, "support_y": y, "query_x": x})
    torch.testing.assert_close(torch.as_tensor(theirs, dtype=torch.float32).reshape(3, 1), ours)


def test_a_trials_curve_the_report_and_the_champion_are_reached_by_clicks(
    swept: Oplstm, promoted: dict, server: Server, tmp_path: Path
):
    with browsing(tmp_path) as browser:
        page = browser.page()
        clicks.to_the_experiment(page, server.uri, "promoted")
        clicks.to_a_curve(page, "swept", promoted["picked"])
        clicks.to_the_experiment(page, server.uri, "promoted")
        clicks.to_the_report(browser, page, "swept")
        page = browser.page()
        clicks.to_the_champion(page, server.uri, "promoted")
        clicks.to_its_report(browser, page)


def test_more_seeds_join_the_final_run(swept: Oplstm, promoted: dict, rest: Rest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jobs.operations.promoting.register_final", die)
        with pytest.raises(Killed):
            swept.here("promote", "swept", "--again", "1", "--json")
    report = swept.here("promote", "swept", "--json").ok().json
    assert (report["final"], report["result"]["final/seeds"]) == ("swept-final", 3)
    assert report["result"]["seed_means"][:2] == promoted["result"]["seed_means"], "those are as they were"
    assert len(swept.events("swept", "promoted")) == 1
    runs = [found[0] for found in rest.runs("promoted").values()]
    [final] = [run for run in runs if texts(run, "tags")["oplstm.kind"] == "final"]
    assert final["info"]["status"] == "FINISHED"
    assert [value for _, value in rest.history(final, "final/seeds")] == [2, 3]
    seeds = [run for run in runs if texts(run, "tags")["oplstm.kind"] == "final-trial"]
    assert sorted(len(rest.history(run, "test/loss")) for run in seeds) == [1, 1, 1]
    found = rest.get("registered-models/alias", name="promoted", alias="champion")["model_version"]
    assert "best of 3 seeds" in found["description"]


def test_a_trial_of_the_users_choice_is_promoted_once_and_is_said_to_be(swept: Oplstm, promoted: dict, rest: Rest):
    other = next(leader["trial"] for leader in reversed(promoted["leaders"]) if leader["trial"] != promoted["picked"])
    done = swept.here("promote", "swept", "--trial", other, "--seeds", "1")
    assert f"{other} was chosen by hand, and not by its score; on block A " in " ".join(done.ok().out.split())
    [_, event] = swept.events("swept", "promoted")
    assert (event["picked"], event["by_hand"], event["final"]) == (other, True, "swept-final-2")
    assert promoted["picked"] in {leader["trial"] for leader in event["leaders"]}, "how the others stand"
    for repeated in (("--trial", other), ()):
        again = swept.here("promote", "swept", *repeated, "--json").ok().json
        assert (again["picked"], again["final"]) == (other, "swept-final-2")
    assert len(swept.events("swept", "promoted")) == 2
    found = rest.get("registered-models/alias", name="promoted", alias="champion")["model_version"]
    assert f"The configuration is {other} of its sweep, chosen by hand." in found["description"]


def test_another_sweep_of_the_job_takes_the_champions_place_only_where_it_is_not_worse(
    swept: Oplstm, promoted: dict, server: Server, rest: Rest
):
    before = rest.get("registered-models/alias", name="promoted", alias="champion")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in before["tags"]}
    best = [event["metrics"]["val/best"] for event in swept.events(tags["oplstm.sweep"], "ended")]
    assert float(tags["oplstm.validation"]) == pytest.approx(sum(best) / len(best))
    assert (
        tags["oplstm.validation_of"]
        == f"loss, {tags['oplstm.sweep']}, mean over {len(best)} seed{'s'[: len(best) > 1]}"
    )
    rest.post("model-versions/set-tag", name="promoted", version=before["version"], key=VALUE, value="1e-9")
    job = swept.job("promoted", trials=1)
    swept.here(
        "sweep", job, "--name", "toy", "--tracking-uri", server.uri, "--set", "budget.tasks=8", "--set",
        "budget.validate_every=4",
    ).ok()  # fmt: skip
    report = swept.here("promote", "toy", "--replicates", "0", "--seeds", "1", "--json").ok().json
    kept = f"{report['final_registered']} is registered, and promoted:{before['version']} stays the champion: its meta-"
    assert report["champion"] is None and report["kept"].startswith(kept)
    assert "that of the champion 1e-09 (loss, swept-final" in report["kept"] and " on other" not in report["kept"]
    assert report["kept"].endswith("; oplstm promote toy --champion makes it the champion all the same")
    ends = len(swept.events("toy-final", "ended"))
    crowned = swept.here("promote", "toy", "--champion", "--json").ok().json
    assert (crowned["champion"], crowned["kept"]) == (report["final_registered"], None)
    assert len(swept.events("toy-final", "ended")) == ends, "nothing was trained"
    found = rest.get("registered-models/alias", name="promoted", alias="previous")["model_version"]
    assert found["version"] == before["version"]


def test_a_final_run_cannot_be_promoted(swept: Oplstm):
    done = swept.here("promote", "swept-final", "--dry-run")
    assert done.code == 2
    assert "is a final run; promote takes a sweep" in done.err
