"""The idle share of a sweep's slots, from a journal written by hand."""

import pytest

from jobs.store.events import Ended, Joined, Packed, Resumed, Started, Validated, encode
from jobs.store.idle import idle_share
from jobs.store.names import trial_name
from jobs.store.states import TrialState
from tests.jobs.formula_training import finish, job, new_sweep
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def packed(pack, *trials):
    return Packed(pack=pack, trials=tuple(map(trial_name, trials)))


def started(pack):
    return Started(pack=pack, device={})


def point(trial):
    return Validated(trial=trial_name(trial), update=1, milestone=1, metrics={}, prune=False)


def end(trial, state=TrialState.COMPLETE):
    return Ended(trial=trial_name(trial), state=state, update=1, best_update=1, metrics={})


@pytest.fixture
def idle(tmp_path):
    def of(*timed, slots=None):
        path = tmp_path / "journal.jsonl"
        path.unlink(missing_ok=True)
        journal = Journal(path)
        journal.append([{**encode(event), "time": float(time)} for time, event in timed])
        journal.close()
        return idle_share(path, slots)

    return of


TWO = [
    (0, packed("pack-0000", 0)), (0, packed("pack-0001", 1)),
    (10, started("pack-0000")), (10, started("pack-0001")),
    (15, point(0)), (20, end(1)), (30, end(0)),
]  # fmt: skip


def test_a_slot_is_idle_from_the_last_that_was_told_of_its_pack(idle):
    assert idle(*TWO) == pytest.approx(1 - 30 / 40)
    assert idle(*TWO, slots=4) == pytest.approx(1 - 30 / 80)
    assert idle(*TWO[:-1]) == pytest.approx(1 - 15 / 20)


def test_a_slot_is_idle_between_two_packs(idle):
    third = [(20, packed("pack-0002", 2)), (24, started("pack-0002")), (30, end(2))]
    assert idle(*sorted([*TWO, *third], key=lambda timed: timed[0])) == pytest.approx(1 - 36 / 40)


def test_who_joined_keeps_its_pack_busy(idle):
    joined = [(19, Joined(pack="pack-0001", update=1, trials=(trial_name(2),))), (28, end(2))]
    assert idle(*sorted([*TWO, *joined], key=lambda timed: timed[0])) == pytest.approx(1 - 38 / 40)


def test_the_time_between_a_stop_and_a_resume_is_nobodys(idle):
    stopped = [*TWO[:5], (20, end(0, TrialState.STOPPED)), (20, end(1, TrialState.STOPPED))]
    later = [(1000, Resumed(provenance={})), (1010, started("pack-0000")), (1010, started("pack-0001")),
             (1020, end(0)), (1015, end(1))]  # fmt: skip
    assert idle(*stopped, *later) == pytest.approx(1 - 35 / 40)


def test_a_process_that_died_was_busy_until_it_was_last_heard_of(idle):
    again = [(18, started("pack-0000"))]
    assert idle(*sorted([*TWO, *again], key=lambda timed: timed[0])) == pytest.approx(1 - (10 + 5 + 12) / 40)


def test_where_nothing_was_trained_there_is_no_share(idle, tmp_path):
    assert idle((0, packed("pack-0000", 0))) is None
    assert idle_share(tmp_path / "none.jsonl") is None


def test_a_sweeps_own_journal_has_the_times(tmp_path):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3))
    finish(folder)
    share = idle_share(folder.journal, 1)
    assert 0 < share < 1
    assert idle_share(folder.journal, 2) == pytest.approx((1 + share) / 2)
