"""Every kind of request that is refused: one clear line for each error, exit code 2, and nothing is started."""

import shutil
import subprocess
from pathlib import Path

import pytest

from oplstm.errors import RequestError
from tests.jobs.cli.verbs import complaints, files_in, run, the_complaint
from tests.jobs.formula_training import job, new_sweep

NO_SERVER = "http://127.0.0.1:9"


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
    "folder as job": (["plan", "."], ". is a folder; did you mean "),
    "empty job": (["plan", "empty.yaml"], "empty.yaml: is empty; oplstm init writes a commented job file"),
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
    "no tracking server": (["sweep", "demo", "--tracking-uri", NO_SERVER], f"tracking server {NO_SERVER}: refused, "),
    "no Ray": (["sweep", "demo", "--ray-address", "127.0.0.1:9"], "no Ray cluster answers at 127.0.0.1:9: "),
    "garbage Ray": (["sweep", "demo", "--ray-address", "nonsense"], "--ray-address must be host:port, got 'nonsense'"),
    "broken Ray": (["sweep", "demo", "--ray-address", "[::1"], "--ray-address must be host:port, got '[::1'"),
    "no tracking for table": (["table", "1", "--tracking-uri", NO_SERVER], f"tracking server {NO_SERVER}: refused, "),
}


@pytest.mark.parametrize("kind", BAD_REQUESTS)
def test_bad_input_is_one_clear_line_and_nothing_is_started(kind, home, tmp_path):
    (tmp_path / "binary.yaml").write_bytes(bytes(range(128, 256)))
    (tmp_path / "empty.yaml").write_text("")
    text = "learner: lstm\nbenchmark: {name: sine}\nbudget: {tasks: 40, validate_every: 10}\n"
    (tmp_path / "single.yaml").write_text(text + "fixed: {lr: 0.1, meta_batch_size: 1}\n")
    (tmp_path / "my job.yaml").write_text(text + "space: sine-lstm\n")
    arguments, wanted = BAD_REQUESTS[kind]
    assert the_complaint(*arguments).startswith(wanted)
    assert files_in(home) == []


@pytest.mark.slow
def test_a_tracking_uri_of_the_environment_is_checked_too(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NO_SERVER)
    assert the_complaint("train", "sine-lstm").startswith(f"tracking server {NO_SERVER}: ")
    assert files_in(home) == []


def test_a_name_that_is_taken(home):
    folder = new_sweep(home / "sweeps" / "demo", job())
    before = folder.header.read_bytes()
    for arguments in (["sweep", "demo", "--name", "demo"], ["train", "sine-lstm", "--name", "demo"]):
        assert the_complaint(*arguments).startswith("name 'demo' is taken (")
    assert files_in(home) == [folder.header]
    assert folder.header.read_bytes() == before


def test_a_sweep_says_first_what_is_searched_in_vain(home, monkeypatch):
    def made(at, new, **means):
        raise RequestError("no more")

    monkeypatch.setattr("jobs.operations.start.start_on_ray", made)
    result = run("sweep", "sine-lstm", "--set", "widths=[40]", "--json")
    line, end = result.stderr.splitlines()
    assert line.startswith("fixed.widths wins over what the space sine-lstm makes of its dimensions; ")
    assert (result.stdout, end) == ("", "oplstm: no more")


@pytest.mark.slow
def test_a_name_left_out_is_the_jobs_with_the_next_free_number(home, monkeypatch):
    def made(at, new, **means):
        new_sweep(at.sweeps / new.name, job())
        raise RequestError(new.name)

    for place in ("start_on_ray", "start_here"):
        monkeypatch.setattr(f"jobs.operations.start.{place}", made)
    named = [the_complaint(*words) for words in 2 * [["sweep", "sine-lstm"], ["train", "sine-lstm"]]]
    assert named == ["sine-lstm", "sine-lstm-train", "sine-lstm-2", "sine-lstm-train-2"]


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


@pytest.mark.slow
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
