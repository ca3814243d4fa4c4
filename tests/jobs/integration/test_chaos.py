"""Injuries of a random search and its promotion: power cuts, Ray and the server away, dead and paused processes."""

from pathlib import Path

import pytest

from tests.chaos.history import hurt
from tests.chaos.report import Told
from tests.chaos.workload import SHORT
from tracking.server.embedded import Server


@pytest.mark.slow
def test_a_sweep_that_was_hurt_ends_as_if_nothing_had_happened(tmp_path: Path, ray_address: str, server: Server):
    """A power cut, and a killed training in the promotion; the server lives, for others use it."""
    [told] = hurt(tmp_path, 973, 2, most_costly=1, workloads=(SHORT,), say=print, server=server)
    check(told, injuries=2)


@pytest.mark.long
def test_it_may_be_hurt_more_and_so_may_its_server(tmp_path: Path):
    [told] = hurt(tmp_path, 750, 7, most_costly=3, workloads=(SHORT,), say=print)
    check(told, injuries=7)


def check(told: Told, *, injuries: int) -> None:
    assert told.differences == []
    assert told.compared.expected == told.compared.found > 0
    assert len(told.suffered.injuries) >= injuries // 2, "what finds nobody any more hurts nobody"
