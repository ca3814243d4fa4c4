"""A small sweep that was really trained, for the tests that read one."""

import shutil

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.store.home import SweepFolder
from tests.jobs.formula_training import job, new_sweep, opened
from tracking.outbox.outbox import Outbox

REALLY_TRAINED = {
    "sampler": {"name": "grid"},
    "trials": None,
    "budget": {"updates": 6, "validate_every": 3, "validation_tasks": 30, "test_tasks": 20},
    "promotion": {"leaders": 3, "tasks": 40},
    "resources": {"pack": 3},
}


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """A home with the sweep `small`: three runs, all complete, two of them in one pack.

    It was moved since it was made, so that what tests copy of it counts as moved too, and not as a copy.
    """
    sweeps = tmp_path_factory.mktemp("home") / "sweeps"
    folder = new_sweep(sweeps / "small", job("three_runs", **REALLY_TRAINED))
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train_pack(assignment, coordinator, folder, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    return SweepFolder(sweeps.rename(sweeps.with_name("kept")) / "small")


@pytest.fixture
def small_sweep(trained_once, oplstm_home):
    """A copy of the sweep `small` in this test's own $OPLSTM_HOME."""
    shutil.copytree(trained_once.path, oplstm_home / "sweeps" / "small")
    return SweepFolder(oplstm_home / "sweeps" / "small")


@pytest.fixture
def coordinators():
    """Opens coordinators; those still open at the end are closed."""
    made = []

    def open_one(folder):
        made.append(opened(folder))
        return made[-1]

    yield open_one
    for coordinator in made:
        coordinator.close(flush_seconds=0)


@pytest.fixture
def no_waiting_for_the_server(monkeypatch):
    """What ends does not wait until its records are shipped."""
    monkeypatch.setattr(Outbox, "flush", lambda self, timeout: self.pending())
