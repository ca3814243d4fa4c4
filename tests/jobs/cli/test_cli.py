"""The command line where no server and no cluster is needed: answers, JSON, exit codes, and every kind of bad input."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import optuna
import pytest
from click.testing import CliRunner

from jobs.cli.main import main
from jobs.jobfile.shipped import shipped_jobs
from jobs.store.home import Home
from tests.conftest import ROOT
from tests.jobs.formula_training import job, new_sweep, opened

VERBS = {
    "init",
    "jobs",
    "plan",
    "train",
    "sweep",
    "status",
    "stop",
    "resume",
    "promote",
    "table",
    "ui",
    "doctor",
    "data",
}
NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """The command line settles things for its whole process; here that is the tests' process."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    level, verbosity = logging.getLogger().level, optuna.logging.get_verbosity()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.getLogger().setLevel(level)
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """$OPLSTM_HOME, which does not exist yet."""
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def run(*arguments):
    return CliRunner().invoke(
        main, [str(argument) for argument in arguments], catch_exceptions=False, prog_name="oplstm"
    )


def answer(*arguments):
    """The one JSON document that a verb prints."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def complaints(*arguments, code=2):
    """The lines of complaint of a verb that does nothing else."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert all(line.startswith("oplstm: ") for line in lines), result.stderr
    return [line.removeprefix("oplstm: ") for line in lines]


def the_complaint(*arguments, code=2):
    [line] = complaints(*arguments, code=code)
    return line


def files_in(home):
    return [path for path in home.rglob("*") if path.is_file()] if home.exists() else []


def test_the_verbs_are_there_and_each_takes_json():
    assert set(main.commands) == VERBS
    groups = {name for name, command in main.commands.items() if isinstance(command, click.Group)}
    assert groups == {"data"}, "its verbs: tests/jobs/cli/test_data.py"
    for name, command in main.commands.items():
        if name in groups:
            continue
        assert "--json" in {option for parameter in command.params for option in parameter.opts}, name
        assert run(name, "--help").exit_code == 0


def test_version_and_help():
    assert run("--version").stdout.startswith("oplstm, version ")
    assert "$OPLSTM_HOME" in run("-h").stdout


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


def test_jobs_lists_what_ships(home):
    listed = answer("jobs")
    assert set(listed) == set(shipped_jobs())
    assert {"demo", "sine-lstm", "omniglot-op-lstm"} <= set(listed)
    lines = run("jobs").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(listed)


def test_plan_in_words_and_as_data(home):
    arguments = ["plan", "sine-op-lstm", "--set", "base_widths=[2]", "--set", "cells=[1]", "--set", "passes=1"]
    plan = answer(*arguments)
    assert (plan["trials"], plan["packs"], plan["signatures"]) == (30, None, 3)
    assert answer(*arguments, "--set", "pack=4")["packs"] == 9
    assert "measured at the start" in run(*arguments, "--set", "pack=auto").stdout
    assert run(*arguments).stdout.startswith("trials      30\n")
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


def test_what_has_ended_cannot_be_resumed(home, trained_once):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
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


@pytest.mark.parametrize(
    "command",
    [
        "fly",
        "sweep",
        "sweep demo --fast",
        "sweep demo --trials x",
        "promote s --seeds 0",
        "table 9",
        "ui --port 0",
    ],
)
def test_a_command_that_click_refuses(command, home):
    result = run(*command.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert files_in(home) == []


BAD_JOB = """\
learner: lsmt
benchmark: {name: sine, shots: 0}
space: sine-ltsm
sampler: {name: RandomSampel}
trails: 3
budget: {tasks: -5, validate_every: 10}
"""


@pytest.mark.parametrize("verb", ["plan", "train", "sweep"])
def test_a_bad_job_file_is_all_its_errors_a_line_each(verb, home, tmp_path):
    (tmp_path / "bad.yaml").write_text(BAD_JOB)
    found = complaints(verb, "bad.yaml")
    places = ["trails", "sampler", "space", "learner", "benchmark.shots", "budget.tasks"]
    assert sorted(line.partition(":")[0] for line in found) == sorted(places)
    assert all(line.endswith(")") and "(bad.yaml, line " in line for line in found)
    assert files_in(home) == []


BAD_REQUESTS = {
    "no such job": (["sweep", "sine-lsmt"], "no job 'sine-lsmt': it is neither a file nor a job that ships; did you "),
    "T = 0": (["sweep", "demo", "--set", "passes=0"], "fixed.passes: must be >= 1, got 0 (--set passes=0)"),
    "0 shots": (["sweep", "demo", "--set", "shots=0"], "benchmark.shots: must be >= 1, got 0 (--set shots=0)"),
    "0 trials": (["sweep", "demo", "--trials", "0"], "trials: must be >= 1, got 0 (--trials 0)"),
    "negative budget": (["train", "sine-lstm", "--set", "tasks=-1"], "budget.tasks: must be >= 1, got -1 (--set tas"),
    "unknown key": (["sweep", "demo", "--set", "speed=1"], "--set: unknown 'speed'; did you mean 'seed'?"),
    "no YAML": (["sweep", "demo", "--set", "lr=[1"], "--set: must be key=value, with a value in YAML, got 'lr=[1'"),
    "binary job": (["plan", "binary.yaml"], "cannot read binary.yaml: 'utf-8' codec can't decode byte"),
    "folder as job": (["plan", "."], "no job '.': it is neither a file nor a job that ships"),
    "empty job": (["plan", "empty.yaml"], "empty.yaml: a job must be a mapping of keys to values, got NoneType"),
    "space without sweep": (["train", "demo"], "this job has a space and no enqueued point: train needs one"),
    "sweep without space": (["sweep", "single.yaml"], "single.yaml has no space to sweep; oplstm train single.yaml"),
    "name with a slash": (["sweep", "demo", "--name", "a/b"], "name 'a/b' must be letters, digits, '.', '_' or '-'"),
    "name that leads up": (["train", "sine-lstm", "--name", "../x"], "name '../x' must be letters, digits, "),
    "name in markup": (["sweep", "demo", "--name", "[/x]"], "name '[/x]' must be letters, digits, "),
    "name too long": (["sweep", "demo", "--name", "a" * 81], f"name '{'a' * 81}' must be letters, digits, "),
    "name of a file": (["sweep", "my job.yaml"], "name 'my job' must be letters, digits, '.', '_' or '-'"),
    "GPUs that are not there": (["train", "sine-lstm", "--set", "gpus=99"], "resources.gpus: 99 asked for, this mach"),
    "garbage tracking URI": (["train", "sine-lstm", "--tracking-uri", "nonsense"], "tracking server 'nonsense' is not"),
    "broken tracking URI": (["train", "sine-lstm", "--tracking-uri", "http://[::1"], "tracking server 'http://[::1'"),
    "tracking port": (["train", "sine-lstm", "--tracking-uri", "http://127.0.0.1:x"], "tracking server 'http://127.0"),
    "a file store": (["sweep", "demo", "--tracking-uri", "sqlite:///x.db"], "tracking server 'sqlite:///x.db': only "),
    "no tracking server": (["sweep", "demo", "--tracking-uri", NO_SERVER], f"tracking server {NO_SERVER}: no MLflow "),
    "no Ray": (["sweep", "demo", "--ray-address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9: "),
    "garbage Ray": (["sweep", "demo", "--ray-address", "nonsense"], "--ray-address must be host:port, got 'nonsense'"),
    "broken Ray": (["sweep", "demo", "--ray-address", "[::1"], "--ray-address must be host:port, got '[::1'"),
    "no tracking for table": (["table", "1", "--tracking-uri", NO_SERVER], f"tracking server {NO_SERVER}: no MLflow"),
}


@pytest.mark.parametrize("kind", BAD_REQUESTS)
def test_bad_input_is_one_clear_line_and_nothing_is_started(kind, home, tmp_path):
    (tmp_path / "binary.yaml").write_bytes(bytes(range(128, 256)))
    (tmp_path / "empty.yaml").write_text("")
    text = "learner: lstm\nbenchmark: {name: sine}\nbudget: {tasks: 40, validate_every: 10}\n"
    (tmp_path / "single.yaml").write_text(text + "fixed: {lr: 0.1, meta_batch_size: 1}\n")
    (tmp_path / "my job.yaml").write_text(text + "space: sine-lstm\n")
    arguments, wanted = BAD_REQUESTS[kind]
    started = time.monotonic()
    assert the_complaint(*arguments).startswith(wanted)
    assert time.monotonic() - started < 15
    assert files_in(home) == []


def test_a_tracking_uri_of_the_environment_is_checked_too(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NO_SERVER)
    assert the_complaint("train", "sine-lstm").startswith(f"tracking server {NO_SERVER}: ")
    assert files_in(home) == []


def test_a_name_that_is_taken(home):
    folder = new_sweep(home / "sweeps" / "demo", job())
    before = folder.header.read_bytes()
    for arguments in (["sweep", "demo"], ["train", "sine-lstm", "--name", "demo"]):
        assert the_complaint(*arguments).startswith("name 'demo' is taken (")
    assert files_in(home) == [folder.header]
    assert folder.header.read_bytes() == before


@pytest.mark.parametrize("verb", [["sweep", "demo"], ["train", "sine-lstm"]])
def test_a_home_that_cannot_be_written(verb, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "file" / "home"))
    assert the_complaint(*verb) == (
        f"cannot write to {tmp_path / 'file' / 'home'}: Not a directory; set OPLSTM_HOME to a folder that you can write"
    )


@pytest.fixture
def full_disk(tmp_path):
    """A file system of one MiB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(not shutil.which("mount"), reason="no mount command")
@pytest.mark.parametrize("verb", [["sweep", "demo"], ["train", "sine-lstm"]])
def test_a_full_disk(verb, full_disk, monkeypatch):
    monkeypatch.setenv("OPLSTM_HOME", str(full_disk / "home"))
    assert the_complaint(*verb) == (
        f"{full_disk / 'home'} has 1 MiB free and this needs about 64 MiB; "
        "free some space or set OPLSTM_HOME to another disk"
    )
    (full_disk / "filler").write_bytes(b"\0" * (Path(full_disk).stat().st_blksize * 200))
    assert "MiB free and this needs" in the_complaint(*verb)
    assert [path.name for path in files_in(full_disk)] == ["filler"]


def test_the_first_interrupt_asks_the_sweep_to_stop_and_the_second_ends_the_process(home):
    from jobs.cli.interrupt import stop_on_interrupt

    stop_on_interrupt(Home(), "s")
    with pytest.raises(KeyboardInterrupt):  # nothing is there to stop
        signal.raise_signal(signal.SIGINT)
    folder = new_sweep(home / "sweeps" / "s", job())
    signal.raise_signal(signal.SIGTERM)
    assert folder.stop_request.exists()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
