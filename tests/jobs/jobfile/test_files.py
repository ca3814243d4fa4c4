"""Which file a job is: places with its folder, names that MLflow would not take, what is no file at all."""

import os
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_experiment_name, _validate_model_name

from jobs.jobfile.naming import LONGEST_NAME, unfit_name
from jobs.jobfile.reading import load_job
from oplstm.errors import LONGEST_VALUE, RequestError

JOB = """\
learner: lstm
benchmark: {name: sine, shots: 5}
fixed: {lr: 0.1, meta_batch_size: 1}
budget: {tasks: 10, validate_every: 5}
"""


def problems(reference):
    with pytest.raises(RequestError) as caught:
        load_job(str(reference))
    return list(caught.value.problems)


def test_places_carry_the_path_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "mine.yaml").write_text(JOB.replace("shots: 5", "shots: 0"))
    assert problems("jobs/mine.yaml") == ["benchmark.shots: must be >= 1, got 0 (jobs/mine.yaml, line 2)"]
    assert problems("./jobs/../jobs/mine.yaml")[0].endswith("(./jobs/../jobs/mine.yaml, line 2)")
    (tmp_path / "jobs" / "mine.yaml").write_text("learner: [lstm\n")
    assert problems("jobs/mine.yaml")[0].startswith("jobs/mine.yaml: not valid YAML: ")


def test_a_folder_is_no_job_and_says_what_it_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    assert problems("jobs") == ["jobs is a folder; it holds no job file (.yaml)"]
    (tmp_path / "jobs" / "b.yaml").write_text(JOB)
    (tmp_path / "jobs" / "a.yml").write_text(JOB)
    assert problems("jobs") == ["jobs is a folder; did you mean jobs/a.yml?"]


def test_a_path_is_named_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = "x" * (LONGEST_VALUE + 1)
    Path(long).mkdir()
    assert problems(long) == [f"{long} is a folder; it holds no job file (.yaml)"]


def test_what_cannot_be_read_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    assert problems(tmp_path / "pipe.yaml") == [f"{tmp_path}/pipe.yaml is no regular file"]
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    assert problems(tmp_path / "binary.yaml")[0].startswith(f"cannot read {tmp_path}/binary.yaml: 'utf-8' codec can't")
    [problem] = problems("x" * 5000)
    assert problem.startswith("cannot read 'xxx") and problem.endswith("...: File name too long")
    assert "'a\\x00b'" in problems("a\0b")[0]
    assert problems("")[0].startswith("no job '': it is neither a file nor a job that ships; jobs that ship: ")
    assert "did you mean 'sine-lstm'?" in problems("sine-lsmt")[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sine:5shot", "':' cannot be part of their names"),
        ("what?", "'?' cannot be part of their names"),
        ("no#1", "'#' cannot be part of their names"),
        ("..", "'..' is no name for them"),
        ("..up", "'..up' is no name for them"),
        ("red\x1b[31m", "control characters cannot be part of their names"),
        ("two\nlines", "control characters cannot be part of their names"),
        ("x" * 251, "their names have at most 250 characters, got 251"),
        ("  ", "'  ' is no name for them"),
    ],
)
def test_a_name_that_mlflow_would_not_take_is_refused_before_anything_else(name, reason, tmp_path):
    path = tmp_path / f"{name}.yaml"
    try:
        path.write_text(JOB)
    except OSError:  # too long for a file, too
        assert unfit_name(name) == reason
        return
    wanted = f"{path}: the experiment and the model are named for the job file, and {reason}; rename the file"
    assert problems(path) == [wanted]
    path.write_text(JOB.replace("lr: 0.1", "lr: -1"))
    assert problems(path) == [wanted, problems(path)[1]]
    assert problems(path)[1].startswith("fixed.lr: must be > 0, got -1 (")


@pytest.mark.parametrize("name", ["sine-5shot", "my job", "größe", "日本", "a.b.c", "x" * LONGEST_NAME, "100%", "a@b"])
def test_other_names_are_mlflows_to_take(name):
    assert unfit_name(name) is None
    _validate_model_name(name)
    _validate_experiment_name(name)


@pytest.mark.parametrize("name", ["sine:5shot", "a/b", "", " ", "..", "../a", "."])
def test_what_mlflow_refuses_is_refused(name):
    with pytest.raises(MlflowException):
        _validate_model_name(name)
    assert unfit_name(name) is not None
