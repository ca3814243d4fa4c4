"""What the command line calls: where to track, and what a new sweep writes before it starts."""

import pytest

from jobs.store.header import Header
from jobs.store.home import Home
from oplstm.errors import RequestError
from tests.jobs.formula_training import job, new_sweep, opened
from tracking.server.process import launch

pytestmark = pytest.mark.unit


def test_the_option_wins_over_the_environment_and_without_both_the_server_is_embedded(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert launch.chosen_uri("http://option") == "http://option"
    assert launch.chosen_uri(None) == "http://environment"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert launch.chosen_uri(None) is None


def test_a_new_sweep_is_its_header_and_nothing_else(oplstm_home):
    of = job("rates", description="What for.")
    folder = launch.create(Home(), of, "mine", "sweep", "experiment", "http://server", of="parent")
    assert [path.name for path in folder.path.iterdir()] == ["sweep.json"]
    header = Header.read(folder)
    assert (header.name, header.kind, header.experiment, header.of) == ("mine", "sweep", "experiment", "parent")
    assert header.tracking_uri == "http://server"
    assert header.job == of.model_dump(mode="json")
    assert {"mlflow.source.git.commit", "version.torch"} <= set(header.provenance)
    assert launch.create(Home(), of, "other", "sweep", "experiment", None) != folder
    assert Header.read(Home().sweep("other")).id != header.id


def test_a_sweep_that_does_not_fit_on_the_disk_is_not_made(oplstm_home, monkeypatch):
    monkeypatch.setattr(launch, "disk_bytes", lambda of: 1 << 60)
    with pytest.raises(RequestError, match="MiB free and this needs about"):
        launch.create(Home(), job(), "mine", "sweep", "experiment", None)
    assert list((oplstm_home / "sweeps").iterdir()) == []


def test_whether_a_sweep_runs_is_whether_its_journal_is_held(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job())
    assert not launch.is_running(folder)
    coordinator = opened(folder)
    assert launch.is_running(folder)
    coordinator.close(flush_seconds=0)
    launch.require_idle(folder)
