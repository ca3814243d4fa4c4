"""Where results come from: digests change with what they cover, and with nothing else."""

import subprocess

import pytest
import torch

from jobs.store import provenance as module
from jobs.store.provenance import digests, provenance
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.training.run import RunConfig
from tests.oplstm.episodes.datasets.made_up import imported, tiny

RUN = {
    "learner": "lstm",
    "hyperparameters": {"widths": [2], "passes": 1},
    "benchmark": {"name": "sine", "shots": 5},
    "budget": {"tasks": 40, "validate_every": 10, "validation_tasks": 3, "test_tasks": 2},
    "meta_batch_size": 2,
    "lr": 0.1,
    "seed": 1,
    "evaluation_seed": 7,
}
ALL = {"configuration", "benchmark", "validation_tasks", "test_tasks"}


def changed(**keys):
    """The digests that change with these keys of the run."""
    before, after = (digests(RunConfig.from_dict(data), None) for data in (RUN, RUN | keys))
    assert {name.removeprefix("digest.") for name in before} == ALL
    return {name.removeprefix("digest.") for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ({}, set()),
        ({"lr": 0.2}, {"configuration"}),
        ({"seed": 2}, {"configuration"}),
        ({"hyperparameters": {"widths": [2], "passes": 2}}, {"configuration"}),
        ({"budget": RUN["budget"] | {"tasks": 50}}, {"configuration"}),
        ({"budget": RUN["budget"] | {"validation_tasks": 4}}, {"configuration", "validation_tasks"}),
        ({"budget": RUN["budget"] | {"test_tasks": 4}}, {"configuration", "test_tasks"}),
        ({"evaluation_seed": 8}, {"configuration", "validation_tasks", "test_tasks"}),
        ({"final": True}, {"configuration", "validation_tasks", "test_tasks"}),
        ({"benchmark": {"name": "sine", "shots": 10}}, ALL),
        ({"benchmark": {"name": "sine", "shots": 5, "phase": "plus"}}, ALL),
    ],
)
def test_a_digest_covers_what_it_names(keys, wanted):
    assert changed(**keys) == wanted


def test_the_splits_of_other_domains_are_digested_too(tmp_path):
    for name in ("miniimagenet", "cub"):
        imported(name, tmp_path)
    benchmark = {"name": "miniimagenet", "ways": 2, "shots": 1, "queries": 1, "cross_domain": ["cub"]}
    conv4 = {"backbone": "conv4", "widths": [2], "passes": 1}
    found = digests(RunConfig.from_dict(RUN | {"benchmark": benchmark, "hyperparameters": conv4}), tmp_path)
    splits = {name: tiny(name).split_digest for name in ("miniimagenet", "cub")}
    assert (found["digest.split"], found["digest.split.cub"]) == (splits["miniimagenet"], splits["cub"])
    assert found["digest.dataset"] != found["digest.dataset.cub"]


def test_a_tasks_digest_is_that_of_the_very_tasks():
    run = RunConfig.from_dict(RUN)
    assert digests(run, None)["digest.validation_tasks"] == TaskStream(run.benchmark, 7, split=Split.VALIDATION).digest(
        3
    )
    assert digests(run, None)["digest.test_tasks"] == TaskStream(run.benchmark, 7, split=Split.TEST).digest(2)
    untested = RunConfig.from_dict(RUN | {"budget": RUN["budget"] | {"test_tasks": 0}})
    assert digests(untested, None)["digest.test_tasks"] == "none"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A git repository that stands in for the one the code lies in."""
    commands = [["init", "-q"], ["config", "user.email", "a@b"], ["config", "user.name", "n"]]
    (tmp_path / "jobs" / "store").mkdir(parents=True)
    (tmp_path / "jobs" / "store" / "provenance.py").write_text("")
    for command in [*commands, ["add", "."], ["commit", "-qm", "first"]]:
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "jobs" / "store" / "provenance.py"))
    provenance.cache_clear()
    yield tmp_path
    provenance.cache_clear()


def test_the_commit_and_whether_it_was_changed(elsewhere):
    head = ["git", "-C", str(elsewhere), "rev-parse", "HEAD"]
    commit = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
    assert (provenance()["mlflow.source.git.commit"], provenance()["oplstm.git_dirty"]) == (commit, "false")
    provenance.cache_clear()
    (elsewhere / "new.py").write_text("x = 1\n")
    assert provenance()["oplstm.git_dirty"] == "true"


def test_the_commit_of_a_repository_that_only_holds_the_environment_says_nothing(elsewhere, monkeypatch):
    """Somebody's project with a virtual environment in it, ignored or not."""
    installed = elsewhere / ".venv" / "site-packages" / "jobs" / "store" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.write_text("")
    monkeypatch.setattr(module, "__file__", str(installed))
    for ignored in ("", ".venv\n"):
        (elsewhere / ".gitignore").write_text(ignored)
        provenance.cache_clear()
        tags = provenance()
        assert (tags["mlflow.source.git.commit"], tags["oplstm.git_dirty"]) == ("unknown", "unknown")


def test_without_git_it_is_said_to_be_unknown(elsewhere, monkeypatch):
    monkeypatch.setenv("PATH", "")
    tags = provenance()
    assert (tags["mlflow.source.git.commit"], tags["oplstm.git_dirty"]) == ("unknown", "unknown")


def test_versions_are_those_that_run():
    tags = provenance()
    assert tags["version.torch"] == torch.__version__.partition("+")[0] or tags["version.torch"] == torch.__version__
    assert {"version.python", "version.oplstm", "version.ray", "version.mlflow", "version.optuna"} <= set(tags)
    assert all(isinstance(value, str) and value for value in tags.values())


def test_the_code_that_trains_is_known_by_its_files_alone(tmp_path, monkeypatch):
    package = tmp_path / "oplstm"
    (package / "nets").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "nets" / "linear.py").write_text("x = 1\n")
    monkeypatch.setattr(module.oplstm, "__file__", str(package / "__init__.py"))

    def digest():
        provenance.cache_clear()
        return provenance()["digest.code"]

    try:
        first = digest()
        (package / "notes.txt").write_text("beside")
        assert digest() == first
        (package / "nets" / "linear.py").write_text("x = 2\n")
        second = digest()
        (package / "nets" / "linear.py").rename(package / "linear.py")
        assert len({first, second, digest()}) == 3
    finally:
        monkeypatch.undo()
        provenance.cache_clear()
