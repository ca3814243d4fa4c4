"""Injuries of a random search and its promotion: a power cut, Ray and the server away, dead and paused processes."""

from pathlib import Path

import pytest

from tests.chaos.history import hurt
from tests.chaos.workload import SHORT
from tracking.server.embedded import Server

pytestmark = pytest.mark.slow

SEED, INJURIES, RESTARTS = 1215, 4, 2


def test_a_sweep_that_was_hurt_ends_as_if_nothing_had_happened(tmp_path: Path, ray_address: str, server: Server):
    told = hurt(tmp_path, SEED, INJURIES, most_costly=RESTARTS, workloads=(SHORT,), say=print, server=server)
    assert [one.differences for one in told] == [[]]
    assert told[0].compared.expected == told[0].compared.found > 0
    assert len(told[0].suffered.injuries) >= INJURIES // 2, "what finds nobody any more hurts nobody"
