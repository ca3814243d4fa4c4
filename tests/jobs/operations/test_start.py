"""What a new sweep writes before it starts, and what it needs for that."""

import pytest

from jobs.operations import start
from jobs.operations.start import NewSweep
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from tests.jobs.formula_training import job


def create(new):
    folder = new.check(Home())
    new.create(folder)
    return folder


def test_a_new_sweep_is_its_header_and_nothing_else(oplstm_home):
    of = job("rates", description="What for.")
    new = NewSweep(of, "mine", SweepKind.SWEEP, experiment="experiment", tracking_uri="http://server", of="parent")
    folder = create(new)
    assert [path.name for path in folder.path.iterdir()] == ["sweep.json"]
    header = Header.read(folder)
    assert (header.name, header.kind, header.experiment, header.of) == ("mine", "sweep", "experiment", "parent")
    assert header.tracking_uri == "http://server"
    assert (header.job, header.measure) == (of, of.measure)
    assert {"mlflow.source.git.commit", "version.torch"} <= set(header.provenance)
    other = create(NewSweep(of, "other", SweepKind.SWEEP, experiment="experiment"))
    assert other.path != folder.path
    assert Header.read(Home().sweep("other")).id != header.id


def test_a_sweep_that_does_not_fit_on_the_disk_is_not_made(oplstm_home, monkeypatch):
    monkeypatch.setattr(start, "disk_bytes", lambda of: 1 << 60)
    with pytest.raises(RequestError, match="MiB free and this needs about"):
        NewSweep(job(), "mine", SweepKind.SWEEP, experiment="experiment").check(Home())
    assert list((oplstm_home / "sweeps").iterdir()) == []


def test_a_sweep_whose_dataset_is_not_there_is_not_made(oplstm_home):
    of = job("rates", benchmark={"name": "omniglot"})
    with pytest.raises(RequestError, match="oplstm data import omniglot"):
        NewSweep(of, "mine", SweepKind.SWEEP, experiment="experiment").check(Home())
    assert list(oplstm_home.iterdir()) == []
