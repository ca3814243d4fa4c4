"""The command line where no server and no cluster is needed: what its verbs answer, in words and as JSON."""

import json
import os
import shutil
import subprocess
import sys

import click
import pytest

from jobs.cli.main import main
from jobs.execution.pack_worker import train_pack
from jobs.jobfile.shipped import shipped_jobs
from jobs.store.home import Home, SweepFolder
from jobs.store.scores import Score
from jobs.store.states import SweepKind
from oplstm.training.checkpoint import load_test_scores
from tests.conftest import ROOT
from tests.jobs.cli.verbs import answer, files_in, run, the_complaint
from tests.jobs.conftest import REALLY_TRAINED
from tests.jobs.formula_training import job, new_sweep, opened

VERBS = {
    "init",
    "jobs",
    "plan",
    "train",
    "sweep",
    "status",
    "explain",
    "compare",
    "export",
    "stop",
    "resume",
    "extend",
    "rerun-failed",
    "prune",
    "add",
    "limit",
    "promote",
    "table",
    "figure",
    "ui",
    "doctor",
    "evaluate",
    "report",
    "data",
    "rename",
    "archive",
    "delete",
    "gc",
    "completion",
    "note",
    "tag",
}


def test_the_verbs_are_there_and_each_takes_json():
    assert set(main.commands) == VERBS
    groups = {name for name, command in main.commands.items() if isinstance(command, click.Group)}
    assert groups == {"data", "figure"}, "their verbs: tests/jobs/cli/test_data.py, test_figures.py"
    for name, command in main.commands.items():
        if name in groups:
            continue
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name
        assert run(name, "--help").exit_code == 0


def test_version_and_help():
    assert run("--version").stdout.startswith("oplstm, version ")
    assert "$OPLSTM_HOME" in run("-h").stdout


@pytest.mark.slow
def test_init_writes_a_job_that_can_be_planned(home):
    assert answer("init") == {"path": "job.yaml"}
    assert answer("plan", "job.yaml", "--trials", 1)["trials"] == 1
    assert "wrote other.yaml" in run("init", "other.yaml").stdout
    assert files_in(home) == []


def test_init_overwrites_nothing(home, tmp_path):
    (tmp_path / "job.yaml").write_text("mine")
    assert the_complaint("init") == "job.yaml exists; give another path"
    assert the_complaint("init", "no/such/folder.yaml") == "cannot write no/such/folder.yaml: No such file or directory"
    assert (tmp_path / "job.yaml").read_text() == "mine"


@pytest.mark.slow
def test_jobs_lists_what_ships(home):
    listed = answer("jobs")
    assert set(listed) == set(shipped_jobs())
    assert {"demo", "sine-lstm", "omniglot-op-lstm"} <= set(listed)
    lines = run("jobs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(listed)


def test_jobs_are_listed_without_being_checked(home, monkeypatch):
    texts = {"broken": "description: What for.\nlearner: nonsense\n"}
    monkeypatch.setattr("jobs.jobfile.shipped.shipped_jobs", lambda: texts)
    assert answer("jobs") == {"broken": "What for."}


@pytest.mark.integration
def test_plan_in_words_and_as_data(home):
    arguments = ["plan", "sine-op-lstm", "--set", "base_widths=[2]", "--set", "cells=[1]", "--set", "passes=1"]
    plan = answer(*arguments)
    assert (plan["trials"], plan["packs"], plan["signatures"]) == (30, None, 1)
    assert answer(*arguments, "--set", "pack=4")["packs"] == 8
    words = run(*arguments, "--set", "pack=auto").stdout
    assert words.startswith("trials      30\n")
    assert "measured at the start" in words
    assert files_in(home) == []


@pytest.mark.integration
def test_a_process_prints_one_json_document_and_nothing_else(home, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "plan", "sine-lstm", "--trials", "2", "--json"],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["trials"] == 2
    assert done.stderr == ""


def test_status_of_nothing_of_all_and_of_one(home, trained_once):
    assert answer("status") == []
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    [row] = answer("status")
    assert (row["name"], row["state"], row["counts"]) == ("small", "complete", {"complete": 3})
    one = answer("status", "small")
    assert [trial["state"] for trial in one["trials"]] == ["complete"] * 3
    assert one["trials"][0]["best"] == one["best"]
    shown = run("status", "small").stdout
    assert all(f"trial-{number:04d}" in shown for number in range(3))


def test_status_of_all_goes_on_where_one_is_damaged(home, trained_once):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    header = new_sweep(home / "sweeps" / "second", job()).header
    header.write_text("nonsense")
    problem = f"{header} is no header of a sweep: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    small, second = answer("status")
    assert (small["name"], small["state"]) == ("small", "complete")
    assert second == {"name": "second", "state": "damaged", "problem": problem}
    shown = run("status")
    assert (shown.exit_code, "complete" in shown.stdout) == (0, True)
    assert "".join(shown.stdout.split()).endswith("".join(f"second: {problem}".split())), "wherever its lines end"
    assert the_complaint("status", "second") == problem


def test_what_is_watched_ends_with_the_exit_code_of_the_work(home, trained_once):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    shown = run("status", "small", "--watch")
    assert (shown.exit_code, shown.stdout.splitlines()[0].startswith("small complete: 3 complete, ")) == (0, True)
    assert answer("status", "small", "--watch") == answer("status", "small")
    new_sweep(home / "sweeps" / "s", job())
    shown = run("status", "s", "--watch")
    assert (shown.exit_code, shown.stdout) == (1, "s stopped: \ngo on with: oplstm resume s\n")
    assert the_complaint("status", "--watch") == "--watch needs the NAME of a sweep"


@pytest.fixture(scope="module")
def training_of_two(tmp_path_factory, no_waiting_for_the_disk):
    """A training of two seeds that were really trained and tested."""
    one = {"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.01}
    keys = {key: REALLY_TRAINED[key] for key in ("budget", "resources")}
    folder = new_sweep(tmp_path_factory.mktemp("t") / "t", job(None, fixed=one, seeds=2, **keys), kind=SweepKind.TRAIN)
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train_pack(assignment, coordinator, folder, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    return SweepFolder(folder.path.parent.rename(folder.path.parent.with_name("moved")) / "t")


@pytest.mark.slow
def test_the_status_of_a_training_has_its_test_result_with_its_intervals(home, training_of_two):
    shutil.copytree(training_of_two.path, home / "sweeps" / "t")
    values = [load_test_scores(training_of_two.trial(f"trial-000{n}"))["loss"].double().numpy() for n in range(2)]
    wanted = Score.of(values, same_tasks=True)
    told = answer("status", "t")["result"]
    assert (told["final/test_loss"], told["seed_means"]) == (wanted.mean, list(wanted.seed_means))
    for words in (run("status", "t").stdout, run("status", "t", "--watch").stdout):
        assert (
            f"t: test MSE {wanted.mean:.4f}\n  ± {wanted.ci95_tasks:.4f} (95% over {wanted.tasks} test tasks" in words
        )
        assert f"  ± {wanted.ci95_seeds:.4f} (95% over 2 seeds: about the configuration)" in words
    (home / "sweeps" / "t" / "trials" / "trial-0001" / "test.safetensors").unlink()
    shown = run("status", "t")
    assert shown.exit_code == 0
    assert "t: no test result: " in shown.stdout
    shown = run("status", "t", "--watch")
    assert (shown.exit_code, shown.stderr.startswith("oplstm: t has no test result: ")) == (1, True)


def test_promote_as_a_dry_run_only_says_what_it_would_pick(home, trained_once):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    before = {path: path.read_bytes() for path in files_in(home)}
    choice = answer("promote", "small", "--dry-run")
    assert choice["picked"] in {"trial-0000", "trial-0001", "trial-0002"}
    assert choice["picked"] in run("promote", "small", "--dry-run").stdout
    assert {path: path.read_bytes() for path in files_in(home)} == before


def test_what_is_not_running_cannot_be_stopped(home):
    new_sweep(home / "sweeps" / "s", job())
    assert the_complaint("stop", "s") == "s is not running"
    assert not Home().sweep("s").stop_request.exists()


def test_what_runs_cannot_be_resumed_promoted_or_shipped(home):
    coordinator = opened(new_sweep(home / "sweeps" / "s", job()))
    try:
        running = "s is running; oplstm stop s stops it"
        assert the_complaint("resume", "s") == running
        assert the_complaint("promote", "s") == running
        assert the_complaint("doctor", "s") == "s is running and ships by itself"
    finally:
        coordinator.close(flush_seconds=0)


def test_what_has_ended_cannot_be_resumed(home, trained_once, monkeypatch):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    monkeypatch.setattr("jobs.operations.reporting.tracked.has_report", lambda folder: True)
    assert the_complaint("resume", "small") == "small has ended; nothing is left to resume"


@pytest.mark.parametrize("verb", ["status", "stop", "resume", "promote", "doctor"])
def test_an_unknown_name(verb, home):
    new_sweep(home / "sweeps" / "known", job())
    assert the_complaint(verb, "nobody") == f"no sweep named 'nobody' in {home} (there: known)"


def test_doctor_looks_at_the_machine_and_at_what_waits(home):
    checks = {check["check"]: check for check in answer("doctor")}
    assert checks["home"]["ok"]
    opened(new_sweep(home / "sweeps" / "s", job())).close(flush_seconds=0)
    result = run("doctor")
    assert result.exit_code == 1
    assert "LOOK  s: " in result.stdout
    assert "records wait for MLflow; oplstm doctor s ships them" in result.stdout
    assert the_complaint("doctor", "--rebuild") == "--rebuild needs the NAME of a sweep"
