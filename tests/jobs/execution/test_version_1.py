"""Sweeps that version 0.1.0 wrote (journal and header of version 1) are read, and go on to the same end."""

import json
import shutil

import pytest

from jobs.execution.in_process import run_in_process
from jobs.operations.status import sweep_status
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from tests.conftest import ROOT
from tests.jobs.formula_training import no_server
from tests.jobs.promoting import select

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk", "no_waiting_for_the_server")

WRITTEN = ROOT / "tests" / "jobs" / "version_1"
EXPECTED = json.loads((WRITTEN / "expected.json").read_text())


@pytest.fixture
def folder(request, tmp_path):
    shutil.copytree(WRITTEN / "sweeps", tmp_path / "sweeps")
    return SweepFolder(tmp_path / "sweeps" / request.param)


def as_expected(folder):
    """Whether the sweep's journal says what an unbroken run of that version found; other processors round otherwise."""
    state = SweepState.of(folder, Header.read(folder))
    wanted = EXPECTED[folder.name]
    assert set(state.by_name) == set(wanted)
    for name, trial in wanted.items():
        found = state.by_name[name]
        assert (found.state, found.best_update) == (trial["state"], trial["best_update"])
        assert [point["update"] for point in found.points] == [point["update"] for point in trial["points"]]
        assert found.pruned_at == {point["update"] for point in trial["points"] if point["prune"]}
        for point, known in zip(found.points, trial["points"], strict=True):
            losses = {key: value for key, value in known.items() if "/" in key}
            assert {key: point[key] for key in losses} == pytest.approx(losses, rel=1e-3)
    return True


@pytest.mark.parametrize("folder", ["ended"], indirect=True)
def test_one_that_has_ended_is_shown_and_can_be_promoted(folder):
    assert as_expected(folder)
    status = sweep_status(folder)
    assert (status.state, status.counts) == ("complete", {"complete": 2, "pruned": 2})
    assert select(folder).picked in {trial.name for trial in status.trials if trial.state == "complete"}


@pytest.mark.integration
@pytest.mark.parametrize("folder", ["stopped-train", "stopped-sweep"], indirect=True)
def test_one_that_was_stopped_goes_on_from_its_checkpoint_to_the_same_end(folder, monkeypatch):
    monkeypatch.setattr("jobs.execution.in_process.TICK_SECONDS", 0.0)
    assert sweep_status(folder).state == "stopped"
    fractions = []
    run_in_process(folder, no_server, lambda progress: fractions.append(progress.fraction))
    assert fractions[0] > 0.3, "it began anew"
    assert sweep_status(folder).state == "complete"
    assert as_expected(folder)
