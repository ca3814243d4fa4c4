"""`oplstm plan`: what it refuses, and what it says of a cluster and of a name."""

import json

import pytest
import torch
from click.testing import CliRunner

from jobs.cli.main import main

JOB = """\
learner: lstm
benchmark: {name: sine, queries: 2}
space: tests.jobs.user_spaces:six_cells
sampler: {name: grid}
budget: {tasks: 4, validate_every: 2, validation_tasks: 2, test_tasks: 2}
"""


@pytest.fixture
def plan(tmp_path, monkeypatch, oplstm_home):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    oplstm_home.rmdir()

    def run(*arguments, name="job.yaml"):
        (tmp_path / name).write_text(JOB)
        done = CliRunner().invoke(main, ["plan", name, *arguments])
        assert not oplstm_home.exists()
        return done

    return run


def test_a_gpu_that_is_not_there_and_cores_that_are_not_are_refused_together(plan):
    done = plan("--set", "gpus=1", "--set", "cpus=64")
    assert (done.exit_code, done.stdout) == (2, "")
    assert [line.partition(":")[2].partition(";")[0] for line in done.stderr.splitlines()] == [
        " resources.cpus: 64 asked for, this machine has 2",
        " resources.gpus: 1 asked for, this machine has 0",
    ]


@pytest.mark.slow
def test_a_cluster_may_have_them_and_was_not_asked(plan):
    done = plan("--set", "gpus=1", "--set", "cpus=64", "--ray-address", "head:6379")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "note        nothing was asked of the cluster at head:6379"
    done = plan("--ray-address", "head:6379", "--json")
    assert json.loads(done.stdout)["notes"] == ["nothing was asked of the cluster at head:6379"]


def test_a_home_that_cannot_be_written_is_refused(plan, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "file" / "home"))
    done = plan()
    assert done.exit_code == 2
    assert done.stderr.startswith(f"oplstm: cannot write to {tmp_path}/file/home: Not a directory; set OPLSTM_HOME")


@pytest.mark.parametrize("verb", ["plan", "sweep", "train"])
def test_a_name_that_could_never_be_registered_is_refused_by_all_verbs(verb, plan, tmp_path, monkeypatch, oplstm_home):
    (tmp_path / "sine:5shot.yaml").write_text(JOB)
    done = CliRunner().invoke(main, [verb, "sine:5shot.yaml"])
    assert done.exit_code == 2
    assert done.stderr == (
        "oplstm: sine:5shot.yaml: the experiment and the model are named for the job file, and ':' cannot be part of "
        "their names; rename the file\n"
    )
    assert not oplstm_home.exists()


@pytest.mark.slow
def test_a_name_that_cannot_be_a_folders_is_a_note(plan):
    done = plan(name="my job.yaml")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "note        'my job' cannot be a sweep's name: give it another with --name"
    assert "note" not in plan().stdout
