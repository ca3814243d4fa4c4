"""Renaming, archiving and deleting a promoted sweep and its final run: here and in MLflow, wherever it is cut off."""

import json
import pkgutil
import shutil
import urllib.request
from dataclasses import replace
from typing import Any

import pytest

from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.servers import KnownServers
from tests.jobs.formula_training import job, new_sweep
from tests.jobs.integration.command_line import Oplstm
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration


class Killed(BaseException):
    """In the place of a signal that nobody can catch."""


def kill_at(target: str, oplstm: Oplstm, *arguments: str, calls: int = 0) -> None:
    """Run a verb, which is killed where it comes to this function after so many calls of it."""
    module, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(module)
    original, left = getattr(owner, name), [calls]

    def die(*arguments, **keys):
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return original(*arguments, **keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            oplstm.here(*arguments)


@pytest.fixture(scope="module")
def kept(new_oplstm, trained_once: SweepFolder, server: Server) -> Oplstm:
    """A home with a sweep that was promoted, and its final run."""
    one = new_oplstm()
    folder = SweepFolder(shutil.copytree(trained_once.path, one.sweep("small").path))
    replace(Header.read(folder), tracking_uri=server.uri).write_again(folder)
    KnownServers().add(server.uri)
    one.here("doctor", "small", "--adopt")  # exits with 1: nobody has made a report of it
    one.here("doctor", "small", "--repair").ok()
    one.here("promote", "small", "--replicates", "0", "--seeds", "1").ok()
    return one


def runs_of(rest: Rest, oplstm: Oplstm, name: str, view: str = "ACTIVE_ONLY") -> list[dict[str, Any]]:
    key = Header.read(oplstm.sweep(name)).id
    found = rest.runs("tests", view)
    assert all(len(runs) == 1 for runs in found.values())
    return [run for name, [run] in sorted(found.items()) if name.partition("/")[0] == key]


def check_names(rest: Rest, oplstm: Oplstm, name: str, trials: int) -> None:
    """All that MLflow holds of a sweep says this name, and no other that it may have had."""
    runs = runs_of(rest, oplstm, name)
    assert len(runs) == 1 + trials
    for run, wanted in zip(runs, [name, *(f"{name}/trial-{number:04d}" for number in range(trials))], strict=True):
        assert run["info"]["run_name"] == texts(run, "tags")["mlflow.runName"] == wanted
        assert texts(run, "tags")["oplstm.sweep"] == name
    for trial in runs[1:]:
        note, where = texts(trial, "tags")["mlflow.note.content"], trial["info"]["run_name"]
        assert f"[{name}](#/experiments/" in note and note.endswith(f"    oplstm train {where}")
        assert "small" not in note
    ids = {run["info"]["run_id"] for run in runs}
    versions = rest.get("model-versions/search", filter="name='tests'")["model_versions"]
    [version] = [one for one in versions if one["run_id"] in ids]
    assert {tag["key"]: tag["value"] for tag in version["tags"]}["oplstm.sweep"] == name
    assert f" {name}: " in version["description"]


STEPS = (
    "jobs.operations.rename._move_folder",  # the header has the new name, and the folder has not
    "jobs.operations.rename.ship",  # the folder has it, and MLflow knows nothing
    "tracking.results.versions.rename_in_versions",
)


def test_a_rename_that_is_killed_anywhere_is_gone_on_with(kept: Oplstm, rest: Rest):
    before = kept.here("promote", "small", "--json").ok().json
    models = {path.name: (path / "model.safetensors").read_bytes() for path in kept.sweep("small").trials.iterdir()}
    for step in STEPS:
        kill_at(step, kept, "rename", "small", "other")
    for _ in range(2):
        assert kept.here("rename", "small", "other").ok().out == "small is now other\n"
    check_names(rest, kept, "other", 3)
    kept.here("doctor", "other", "--rebuild").ok()
    check_names(rest, kept, "other", 3)
    assert [texts(run, "tags")["oplstm.of_sweep"] for run in runs_of(rest, kept, "small-final")[:1]] == ["other"]
    listed = rest.get("experiments/get", experiment_id=rest.experiment_id("tests"))["experiment"]["tags"]
    [note] = [tag["value"] for tag in listed if tag["key"] == "mlflow.note.content"]
    assert "The trials of sweep [other](" in note and "sweep [small](" not in note
    assert kept.here("promote", "other", "--json").ok().json == before
    assert "other has ended" in kept.here("resume", "other").err
    found = {path.name: (path / "model.safetensors").read_bytes() for path in kept.sweep("other").trials.iterdir()}
    assert found == models
    new_sweep(kept.sweep("small").path, job())  # where it was is another's now, and it is no copy of that
    kept.here("doctor", "other").ok()
    shutil.rmtree(kept.sweep("small").path)
    assert kept.here("rename", "other", "small-final").err.startswith("oplstm: name 'small-final' is taken")
    assert kept.here("rename", "nobody", "else").code == kept.here("rename", "other", "../up").code == 2


def test_the_sweep_of_a_renamed_final_run_still_knows_it(kept: Oplstm, rest: Rest, server: Server):
    before = kept.here("promote", "other", "--json").ok().json
    kill_at(STEPS[0], kept, "rename", "small-final", "result")
    kept.here("rename", "small-final", "result").ok()
    check_names(rest, kept, "result", 1)
    assert kept.here("promote", "other", "--json").ok().json == before | {"final": "result"}
    assert sorted(path.name for path in kept.home.sweeps.iterdir()) == ["other", "result"]
    parent = runs_of(rest, kept, "other")[0]
    assert texts(parent, "tags")["oplstm.final"] == "result"
    assert "[result](#/experiments/" in texts(parent, "tags")["mlflow.note.content"]
    table = kept.here("table", "1", "--tracking-uri", server.uri, "--json").ok().json
    assert "result" in [other["run_name"] for other in table["others"]]
    assert "result" in (kept.sweep("other").report / "report.html").read_text()


def test_what_a_person_says_stays_whatever_oplstm_and_others_write(kept: Oplstm, rest: Rest):
    def run(number: int) -> dict[str, str]:
        return texts(runs_of(rest, kept, "other")[number], "tags")

    ours, of_trial = run(0)["mlflow.note.content"], run(2)["mlflow.note.content"]
    kept.here("note", "other", "too small").ok()
    kept.here("note", "other", "trial-0001", "odd").ok()
    kept.here("tag", "other", "trial-0001", "checked=yes", "by=me").ok()
    kept.here("tag", "other", "trial-0001", "--remove", "by", "checked=no").ok()
    assert (run(2)["mlflow.note.content"], run(2)["checked"]) == (f"{of_trial}\n\nodd", "no") and "by" not in run(2)
    edited = f"Mine first.\n\n{ours}\n\ntoo small\n\nand last."
    run_id = runs_of(rest, kept, "other")[0]["info"]["run_id"]
    rest.post("runs/set-tag", run_id=run_id, key="mlflow.note.content", value=edited)
    kept.here("note", "other", "far too small").ok()
    kept.here("doctor", "other", "--rebuild").ok()  # tells all that oplstm has ever said of it again
    assert run(0)["mlflow.note.content"] == edited.replace("too small", "far too small")
    assert (run(2)["mlflow.note.content"], run(2)["checked"]) == (f"{of_trial}\n\nodd", "no") and "by" not in run(2)
    said = kept.here("status", "other", "--json").ok().json["remarks"]
    assert said == [
        {"trial": None, "note": "far too small", "tags": {}},
        {"trial": "trial-0001", "note": "odd", "tags": {"checked": "no"}},
    ]
    shown = kept.here("status", "other").ok().out.splitlines()
    assert shown[-3:] == ["this sweep: far too small", "trial-0001: checked=no", "trial-0001: odd"]
    kept.here("note", "other", "--remove").ok()
    assert run(0)["mlflow.note.content"] == edited.replace("too small\n\n", "\n\n")


def test_what_is_archived_is_not_listed_and_not_gone_on_with(kept: Oplstm, rest: Rest):
    kill_at("jobs.operations.archive.tell_runs", kept, "archive", "other")
    kept.here("archive", "other").ok()
    assert [one["name"] for one in kept.here("status", "--json").ok().json] == ["result"]
    both = kept.here("status", "--all", "--json").ok().json
    assert [(one["name"], one["archived"]) for one in both] == [("other", True), ("result", False)]
    for verb in ("resume", "rerun-failed", "promote"):
        done = kept.here(verb, "other")
        assert (done.code, done.err) == (2, "oplstm: other is archived; oplstm archive other --undo takes it back\n")
    assert {texts(run, "tags")["oplstm.archived"] for run in runs_of(rest, kept, "other")} == {"true"}
    kept.here("archive", "other", "--undo").ok()
    assert {texts(run, "tags")["oplstm.archived"] for run in runs_of(rest, kept, "other")} == {"false"}
    assert len(kept.here("status", "--json").ok().json) == 2


def test_what_is_deleted_is_in_the_bin_of_mlflow_and_nowhere_else(kept: Oplstm, rest: Rest):
    def refused(*arguments: str) -> str:
        done = kept.here("delete", *arguments)
        assert (done.code, done.out) == (2, "")
        return done.err

    assert refused("other", "--yes") == "oplstm: other has the final run result: oplstm delete result first\n"
    assert refused("result") == "oplstm: nobody can be asked here: oplstm delete result --yes\n"
    line = refused("result", "--yes")
    assert line.startswith("oplstm: result has registered models (tests:") and "oplstm archive result" in line
    for version in rest.get("model-versions/search", filter="name='tests'")["model_versions"]:
        request = urllib.request.Request(
            f"{rest.uri}/api/2.0/mlflow/model-versions/delete",
            json.dumps({"name": "tests", "version": version["version"]}).encode(),
            {"Content-Type": "application/json"},
            method="DELETE",
        )
        urllib.request.urlopen(request, timeout=30)
    runs = runs_of(rest, kept, "result")
    kill_at("mlflow.MlflowClient.delete_run", kept, "delete", "result", "--yes", calls=1)
    assert len(runs_of(rest, kept, "result")) == len(runs) - 1
    kill_at("jobs.operations.archive.shutil.rmtree", kept, "delete", "result", "--yes")
    assert [path.name for path in kept.home.sweeps.iterdir() if path.name != "other"] == [".result.deleted"]
    kept.here("delete", "result", "--yes").ok()
    assert kept.here("delete", "result", "--yes").err.startswith("oplstm: no sweep named 'result'")
    assert texts(runs_of(rest, kept, "other")[0], "tags")["oplstm.final_run"] == ""
    others = runs_of(rest, kept, "other")
    kept.here("delete", "other", "--yes").ok()
    assert list(kept.home.sweeps.iterdir()) == []
    deleted = {run["info"]["run_id"] for found in rest.runs("tests", "DELETED_ONLY").values() for run in found}
    assert {run["info"]["run_id"] for run in (*runs, *others)} <= deleted
