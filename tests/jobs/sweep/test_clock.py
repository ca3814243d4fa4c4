"""The machine's clock is set back, or was ahead: what happens in a sweep keeps its order."""

import itertools
import math
from types import SimpleNamespace

import pytest

from jobs.store.idle import idle_share
from jobs.sweep import clock
from jobs.sweep.clock import Clock
from tests.jobs.formula_training import decisions, finish, job, new_sweep, opened, training
from tests.jobs.sweep.test_coordinator_stories import MEDIAN
from tests.journal_lines import groups_in

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

HOUR, NOW = 3600.0, 1.8e9


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clock is a second later at every look, and `ahead` of the right time."""
    seconds = itertools.count()
    found = SimpleNamespace(ahead=0.0)
    fake = SimpleNamespace(time=lambda: NOW + found.ahead + next(seconds), monotonic=lambda: 7.0 + next(seconds))
    monkeypatch.setattr(clock, "time", fake)
    return found


def test_time_goes_on_at_its_pace_where_the_clock_goes_back(machine):
    times, of_sweep = [], Clock()
    for machine.ahead in (0.0, -HOUR, -HOUR, 2 * HOUR, 0.0, 0.0):
        times.append(of_sweep.now())
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0 < step < 10 for step in (*steps[:2], *steps[3:])) and 2 * HOUR < steps[2] < 2 * HOUR + 20


@pytest.mark.parametrize("after", [NOW + HOUR, NOW + 23 * HOUR])
def test_what_was_written_by_a_clock_that_was_ahead_is_gone_on_from(after, machine):
    assert after < Clock(after).now() < after + 10


@pytest.mark.parametrize("after", [NOW + 25 * HOUR, 1e300, math.inf, math.nan])
def test_a_time_that_no_clock_shows_is_passed_over(after, machine):
    assert NOW < Clock(after).now() < NOW + 10


def test_a_sweep_whose_clock_is_set_back_tells_the_same_in_order(machine, tmp_path):
    """Set back between two points, between a kill and a resume, and set right again."""
    folder, calm = (new_sweep(tmp_path / name, job("rates", trials=4, pruner=MEDIAN)) for name in ("s", "calm"))
    finish(calm)
    for machine.ahead in (0.0, -HOUR, 0.0, -3 * HOUR):
        coordinator = opened(folder)
        if (assignment := coordinator.next_pack()) is not None:
            steps = training(coordinator, assignment)
            next(steps)
            machine.ahead -= HOUR
            next(steps, None)
        coordinator.close(flush_seconds=0)
    finish(folder)
    assert decisions(folder) == decisions(calm)
    records = [record for group in groups_in(folder.journal.read_bytes()) for record in group]
    times = [record["time"] for record in records]
    assert times == sorted(times)
    of_run = {record["key"]: [] for record in records if record.get("op") == "create_run"}
    for record in records:
        for name in ("start_time", "timestamp", "end_time"):
            if name in record:
                of_run[record["key"]].append(record[name])
    assert len(of_run) == 5
    assert all(found == sorted(found) for found in of_run.values())
    assert 0 <= idle_share(folder.journal) <= 1
