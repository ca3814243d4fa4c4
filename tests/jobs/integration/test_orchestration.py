"""The benchmark of orchestration runs whole commands."""

import subprocess

import pytest

from jobs.benchmark import orchestration

pytestmark = pytest.mark.integration


def test_the_seconds_are_those_of_a_command_that_succeeds(tmp_path):
    assert orchestration.seconds_of(["jobs"], tmp_path) > 0
    with pytest.raises(subprocess.CalledProcessError):
        orchestration.seconds_of(["plan", "no-such-job"], tmp_path)
