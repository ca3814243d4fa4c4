"""A sweep that goes on with more trials, end to end: Ray, MLflow, the command line."""

import pytest

from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest
from tracking.server.embedded import Server

pytestmark = pytest.mark.long


def test_a_sweep_is_extended_and_mlflow_holds_every_trial_and_every_point_once(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, unique: str
):
    job = oplstm.job(unique, budget={"tasks": 80, "validate_every": 40})
    oplstm.here("sweep", job, "--name", "s", "--tracking-uri", server.uri).ok()
    report = oplstm.here("extend", "s", "--trials", "3", "--tracking-uri", server.uri, "--json").ok().json
    assert (report["state"], report["counts"]) == ("complete", {"complete": 3})
    tracked = TrackedSweep(rest, oplstm, "s", unique)
    tracked.check()
    assert len(tracked.trials) == 3
