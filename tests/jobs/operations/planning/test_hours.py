"""Hours of a job, one by one and in packs that shrink, with a clock that follows a formula."""

from pathlib import Path

import pytest

from jobs.operations.planning import hours
from jobs.operations.planning.hours import PlannedPack, estimate_hours
from oplstm.training.machine.cost import cost, update_cost
from tests.oplstm.training.runs import run

NOWHERE = Path()


@pytest.fixture
def timed(monkeypatch):
    """An update takes half a second for its pack and a tenth a pass of each run; returns the packs that were timed."""
    packs = []

    def seconds(runs, data):
        packs.append(len(runs))
        return 0.5 + sum(each.passes(training=True) for each in runs) / 10

    monkeypatch.setattr(hours, "_seconds", seconds)
    return packs


def test_alike_runs_are_timed_once_alone_and_as_their_pack_is(timed):
    runs = [run(passes=2, seed=seed, updates=100) for seed in range(6)]
    found = estimate_hours(runs, [runs[:4], runs[4:]], NOWHERE)
    assert found.one_by_one * 3600 == pytest.approx(6 * 100 * 0.7)
    assert [pack.runs for pack in found.packs] == [4, 2]
    assert [pack.hours * 3600 for pack in found.packs] == pytest.approx([100 * 1.3, 100 * 0.9])
    assert timed == [1, 4, 2, 2]


def test_a_pack_loses_its_runs_as_their_updates_end(timed):
    """Of 60 tasks, meta-batches of 1 take 60 updates and those of 2 take 30."""
    runs = [run(passes=2, meta_batch_size=size, seed=seed) for seed, size in enumerate((1, 2, 1, 2))]
    [pack] = estimate_hours(runs, [runs], NOWHERE).packs
    assert pack.hours * 3600 == pytest.approx(30 * 1.3 + 30 * 0.9)
    [alone] = estimate_hours(runs[:1], [runs[:1]], NOWHERE).packs
    assert alone.hours * 3600 == pytest.approx(60 * 0.7)


def test_between_stages_the_gain_lies_on_a_line(timed):
    """Of 3 runs, which are not timed, between 2 and 4; T = 1, 2, 3, 4, the long ones first."""
    runs = [run(passes=passes, updates=updates) for passes, updates in ((1, 80), (1, 60), (1, 40), (1, 20))]
    [pack] = estimate_hours(runs, [runs], NOWHERE).packs
    assert timed[-2:] == [4, 2]
    factors = {4: 0.9 / 2.4, 2: 0.7 / 1.2}
    three = factors[2] + (factors[4] - factors[2]) * 0.58496
    assert pack.hours * 3600 == pytest.approx(20 * (0.9 + 1.8 * three + 0.7 + 0.6), rel=1e-4)


def test_runs_that_are_not_timed_take_what_is_predicted_of_those_that_are(monkeypatch):
    monkeypatch.setattr(hours, "_seconds", lambda runs, data: 3 * update_cost(runs[0]))
    runs = [run(passes=passes, meta_batch_size=size) for passes in range(1, 20) for size in (1, 2, 4)]
    found = estimate_hours(runs, [[each] for each in runs], NOWHERE)
    assert found.one_by_one * 3600 == pytest.approx(3 * sum(map(cost, runs)))
    assert found.packs[0] == PlannedPack(1, pytest.approx(3 * cost(runs[0]) / 3600))


def test_no_more_is_timed_than_there_is_time_for(timed, monkeypatch):
    runs = [run(passes=passes, meta_batch_size=size) for passes in range(1, 20) for size in (1, 2, 4)]
    with monkeypatch.context() as patch:
        patch.setattr(hours, "ALL_SECONDS", 1000.0)
        estimate_hours(runs, [runs[:30], runs[30:]], NOWHERE)
    assert timed[:6] == [1] * 6
    assert timed[6:] == [30, 27, 15, 13, 7, 6, 3, 3]
    timed.clear()
    monkeypatch.setattr(hours, "ALONE_SECONDS", -1.0)
    monkeypatch.setattr(hours, "ALL_SECONDS", -1.0)
    found = estimate_hours(runs, [runs[:30], runs[30:]], NOWHERE)
    assert timed == [1]
    assert [pack.hours for pack in found.packs] == [None, None]
    assert found.one_by_one > 0


def test_a_pack_whose_update_would_take_too_long_is_timed_when_it_has_shrunk(timed, monkeypatch):
    monkeypatch.setattr(hours, "ALL_SECONDS", 5 * 4 * 0.7 + 1)
    runs = [run(passes=2, seed=seed, updates=100) for seed in range(16)]
    estimate_hours(runs, [runs], NOWHERE)
    assert timed == [1, 4, 2]


def test_packs_that_would_fill_the_memory_are_not_timed(timed, monkeypatch):
    monkeypatch.setattr(hours, "MOST_PARAMETERS", 10)
    runs = [run(seed=seed) for seed in range(4)]
    [pack] = estimate_hours(runs, [runs], NOWHERE).packs
    assert (timed, pack.hours) == ([1], None)


def test_each_signature_goes_by_its_own_times(monkeypatch):
    slow, fast = run(precision="tf32"), run()
    assert slow.signature != fast.signature
    monkeypatch.setattr(hours, "_seconds", lambda runs, data: 9.0 if runs[0].signature == slow.signature else 1.0)
    found = estimate_hours([slow, fast], [[slow], [fast]], NOWHERE)
    assert [pack.hours * 3600 for pack in found.packs] == pytest.approx([30 * 9.0, 30 * 1.0])


@pytest.mark.slow
def test_real_updates_are_timed_on_one_thread_and_the_threads_come_back():
    before = hours.torch.get_num_threads()
    runs = [run(seed=seed) for seed in range(3)]
    found = estimate_hours(runs, [runs], NOWHERE)
    assert hours.torch.get_num_threads() == before
    assert 0 < found.packs[0].hours < found.one_by_one
