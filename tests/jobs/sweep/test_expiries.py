"""Whose hours are over: written before it takes effect, said to whoever begins the pack again, and never changed."""

import pytest

from jobs.store.events import Expired
from oplstm.training.hours import Expiries
from oplstm.training.reports import Point, RunEnd
from tests.jobs.formula_training import events, job, new_sweep, opened, state_of

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

DEVICE = {"oplstm.device": "cpu: test"}
FIRST, SECOND, THIRD, FOURTH = (f"trial-{number:04d}" for number in range(4))


@pytest.fixture
def folder(tmp_path):
    return new_sweep(tmp_path / "s", job("rates", trials=4, resources={"pack": 3}))


def begun(coordinator):
    pack = coordinator.next_pack().pack
    return pack, coordinator.started(pack, DEVICE)


def expiries(coordinator, pack):
    return coordinator.started(pack, DEVICE).expiries


def point(name, update):
    return Point(name, update, 2 * update, {"val/loss": 0.5, "val/best": 0.5})


def test_a_pack_that_begins_knows_of_none(folder, coordinators):
    _, started = begun(coordinators(folder))
    assert started.expiries == Expiries()


def test_it_is_in_the_journal_at_once_and_a_repeat_changes_nothing(folder, coordinators):
    coordinator = coordinators(folder)
    pack, _ = begun(coordinator)
    coordinator.expired(pack, 7, [FIRST, THIRD])
    written = [event for event in events(folder) if isinstance(event, Expired)]
    assert written == [Expired(pack=pack, update=7, trials=(FIRST, THIRD))]
    assert [state_of(folder).by_name[name].state for name in (FIRST, THIRD)] == ["running"] * 2
    journal = folder.journal.read_bytes()
    coordinator.expired(pack, 7, [FIRST, THIRD])
    coordinator.expired(pack, 7, [SECOND])
    assert folder.journal.read_bytes() == journal
    coordinator.expired(pack, 9, [SECOND])
    assert coordinator.state.packs[pack].expired == {7: (FIRST, THIRD), 9: (SECOND,)}


def test_whoever_begins_the_pack_again_is_told_even_by_another_coordinator(folder, coordinators):
    coordinator = opened(folder)
    pack, _ = begun(coordinator)
    coordinator.expired(pack, 7, [FIRST])
    assert expiries(coordinator, pack) == Expiries({7: (FIRST,)}, until=7)
    coordinator.on_ends([RunEnd(FIRST, "complete", 7, 0, {"val/best": 0.5}, budget_exhausted=True)])
    coordinator.close(flush_seconds=0)
    assert expiries(coordinators(folder), pack) == Expiries({7: (FIRST,)}, until=7)


def test_a_clock_has_no_more_to_say_up_to_the_last_update_that_was_told(folder, coordinators):
    """By points, ends and joins, in the updates of the pack, of which a run that joined has made fewer."""
    coordinator = coordinators(folder)
    pack, _ = begun(coordinator)
    coordinator.on_points([point(FIRST, 5), point(SECOND, 5)])
    assert expiries(coordinator, pack).until == 5
    coordinator.on_ends([RunEnd(SECOND, "complete", 8, 5, {"val/best": 0.5})])
    assert expiries(coordinator, pack).until == 8
    coordinator.joins(pack, 10, 1)
    assert expiries(coordinator, pack).until == 10
    coordinator.on_points([point(FOURTH, 5)])
    assert expiries(coordinator, pack).until == 15
    coordinator.on_points([point(FIRST, 10)])
    coordinator.on_ends([RunEnd(FIRST, "stopped", 14, 10)])
    assert expiries(coordinator, pack) == Expiries({}, until=15)
    assert state_of(folder).packs[pack].reached == 15
