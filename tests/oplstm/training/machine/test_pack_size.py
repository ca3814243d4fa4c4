"""How many runs pay side by side: decided without a clock, and measured on real packs."""

import math
import sys

import pytest
import torch

from oplstm.training.device import Device
from oplstm.training.machine import pack_size
from oplstm.training.machine.pack_size import LARGEST, Decision, Measured, Size, decide, predicted_bytes, probe
from oplstm.training.parameters import parameter_count
from tests.oplstm.training.runs import run


@pytest.fixture(autouse=True)
def _short_bursts(monkeypatch):
    monkeypatch.setattr(pack_size, "BURST_SECONDS", 0.02)
    monkeypatch.setattr(pack_size, "SHARE", math.inf)  # whatever it takes


def decided(seconds, *, limit=LARGEST, room=math.inf, bytes_of=lambda runs: 0.0):
    """The size that is taken, and the sizes that were measured on the way; `seconds` may differ from try to try."""
    measured = []
    while not (decision := decide(measured, limit=limit, room=room)).final:
        runs = decision.copies
        tries = sum(one.copies == runs for one in measured)
        measured.append(Measured(runs, seconds(runs, tries), bytes_of(runs)))
    return decision.copies, [one.copies for one in measured]


def test_a_pack_that_costs_what_one_run_does_grows_to_the_limit():
    assert decided(lambda runs, tries: 1.0) == (256, [1, 2, 4, 8, 16, 32, 64, 128, 256])


def test_runs_that_gain_nothing_from_each_other_stay_alone():
    assert decided(lambda runs, tries: float(runs)) == (1, [1, 2, 2])


@pytest.mark.parametrize(("gain", "size"), [(1.11, 16), (1.09, 8)])
def test_a_doubling_must_gain_a_tenth(gain, size):
    """Free up to 8 runs, then twice the runs train `gain` times the tasks, and beyond 16 no more."""
    seconds = {1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 2 / gain, 32: 4 / gain}
    assert decided(lambda runs, tries: seconds[runs])[0] == size


def test_a_doubling_that_fails_once_is_tried_again():
    slow_once = decided(lambda runs, tries: 9.0 if (runs, tries) == (4, 0) else 1.0, limit=8)
    assert slow_once == (8, [1, 2, 4, 4, 8])
    slow_twice = decided(lambda runs, tries: 9.0 if runs == 4 else 1.0, limit=8)
    assert slow_twice == (2, [1, 2, 4, 4])


@pytest.mark.parametrize(("limit", "size"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8)])
def test_no_larger_than_the_first_that_holds_all_there_are(limit, size):
    assert decided(lambda runs, tries: 1.0, limit=limit)[0] == size


@pytest.mark.parametrize(("room", "size"), [(299, 1), (300, 4), (499, 4), (500, 8), (899, 8), (900, 16)])
def test_no_larger_than_fits(room, size):
    """100 bytes and 50 a run; after R = 1 alone all 150 count as its own."""
    taken = decided(lambda runs, tries: 1.0, room=room, limit=64, bytes_of=lambda runs: 100.0 + 50 * runs)
    assert taken[0] == size


def test_memory_is_predicted_on_a_line():
    one, two, four = Measured(1, 1.0, 150.0), Measured(2, 1.0, 200.0), Measured(4, 1.0, 300.0)
    assert predicted_bytes([one], 2) == 300
    assert predicted_bytes([one, two], 4) == 300
    assert predicted_bytes([one, two, four, four], 8) == 500
    assert predicted_bytes([one, two._replace(bytes=90.0)], 4) == 90


def test_a_decision_says_what_to_measure_first():
    assert decide([], limit=8, room=0.0) == Decision(1, final=False)


@pytest.mark.slow
def test_the_answer_is_a_size_that_could_have_been_measured():
    assert probe([run("lstm", widths=[4], passes=1)], Device(), 3).runs in (1, 2, 4)


@pytest.mark.slow
def test_a_single_run_is_not_compared_with_anything(monkeypatch):
    monkeypatch.setattr(pack_size, "_burst", lambda pack, least: 1 / len(pack.runs))
    assert probe([run("lstm")], Device(), 1) == Size(1, sure=True)
    assert probe([run("lstm")], Device(), 2) == Size(2, sure=True)


@pytest.mark.slow
def test_no_room_means_one_run(monkeypatch):
    monkeypatch.setattr(pack_size, "_burst", lambda pack, least: 1.0)
    monkeypatch.setattr(pack_size, "_room", lambda device, share: 0.0)
    assert probe([run("lstm", widths=[400], passes=1)], Device(), 8) == Size(1, sure=True)


@pytest.mark.slow
def test_what_does_not_fit_at_all_is_too_large(monkeypatch):
    def burst(pack, least):
        if len(pack.runs) > 4:
            raise torch.OutOfMemoryError
        return 1.0

    monkeypatch.setattr(pack_size, "_burst", burst)
    assert probe([run("lstm")], Device(), 64) == Size(4, sure=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")
def test_memory_grows_with_the_runs_of_a_real_pack():
    """Weights, two moments, best weights and the gradient: 5 numbers of 4 bytes for each parameter at least."""
    wide = run("lstm", widths=[400], passes=1)
    least = 5 * 4 * parameter_count(wide)
    pack_size._measure([wide], Device())
    eight, one = (pack_size._measure([wide] * runs, Device()).bytes for runs in (8, 1))
    assert eight > 8 * least
    assert eight - one > 6 * least


@pytest.mark.slow
def test_a_pack_gets_the_share_of_its_threads(monkeypatch):
    monkeypatch.setattr(pack_size, "_available", lambda: 1000.0)
    monkeypatch.setattr("os.cpu_count", lambda: 4 * torch.get_num_threads())
    assert pack_size._room(torch.device("cpu"), 1.0) == 125


def test_free_memory_is_less_than_all_and_more_than_none():
    assert 0 < pack_size._available() < 1 << 50


MIX = [run("lstm", passes=3), run("lstm", passes=1)]


def seconds_of_passes(monkeypatch, gain):
    """A pack takes as long as the passes of its runs together, but for `gain` where they are several."""

    def burst(pack, least):
        passes = sum(one.passes(training=True) for one in pack.runs)
        return float(passes) if len(pack.runs) == 1 else passes / gain(len(pack.runs))

    tried = []
    real = pack_size._measure
    monkeypatch.setattr(pack_size, "_burst", burst)
    monkeypatch.setattr(pack_size, "_room", lambda device, share: math.inf)
    monkeypatch.setattr(pack_size, "_measure", lambda runs, device: tried.append(len(runs)) or real(runs, device))
    return tried


@pytest.mark.integration
def test_a_mix_is_tried_in_copies_and_the_answer_counts_runs(monkeypatch):
    tried = seconds_of_passes(monkeypatch, lambda runs: float(min(runs, 4)))
    assert probe(MIX, Device(), 64) == Size(4, sure=True)
    assert tried == [1, 1, 1, 2, 4, 8, 8]


@pytest.mark.integration
def test_a_mix_that_gains_nothing_from_sharing_a_pack_stays_alone(monkeypatch):
    tried = seconds_of_passes(monkeypatch, lambda runs: 1.05)
    assert probe(MIX, Device(), 64) == Size(1, sure=True)
    assert tried == [1, 1, 1, 2, 2]


@pytest.mark.integration
def test_runs_that_gain_only_from_others_of_their_kind_are_tried_in_pairs(monkeypatch):
    kinds = [run("maml", base_widths=[5], passes=3), run("maml", base_widths=[4], passes=1)]
    tried = seconds_of_passes(monkeypatch, lambda runs: runs / 2)
    assert probe(kinds, Device(), 8) == Size(8, sure=True)
    assert tried == [1, 1, 1, 2, 2, 4, 8]
    tried.clear()
    assert probe(kinds, Device(), 2) == Size(1, sure=True), "there are no others"
    assert tried == [1, 1, 1, 2, 2]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("seconds", "tries", "size"),
    [(19.0, [1, 1, 1], 1), (20.0, [1, 1, 1, 2], 2), (60.0, [1, 1, 1, 2, 4], 64), (140.0, [1, 1, 1, 2, 4, 8], 64)],
)
def test_measuring_takes_its_share_of_the_training_and_no_more(monkeypatch, seconds, tries, size):
    """Every pack that is tried takes 10 s for each of its runs, by a clock that only trying moves.

    Where a doubling was tried and paid, as here all do, the rest is taken to pay too.
    """
    tried, clock = seconds_of_passes(monkeypatch, float), [0.0]
    real = pack_size._measure

    def measure(runs, device):
        clock[0] += 10 * len(runs)
        return real(runs, device)._replace(took=10 * len(runs))

    monkeypatch.setattr(pack_size, "_measure", measure)
    monkeypatch.setattr(pack_size, "_now", lambda device: clock[0])
    one_run = sum(real([one], Device()).seconds for one in MIX) / 2
    tried.clear()
    monkeypatch.setattr(pack_size, "SHARE", (30 + seconds) / 64 / one_run)
    assert probe(MIX, Device(), 64) == Size(size, sure=False)
    assert tried == tries


@pytest.mark.integration
def test_a_mix_grows_no_further_than_there_are_runs(monkeypatch):
    seconds_of_passes(monkeypatch, float)
    assert probe(MIX, Device(), 5) == Size(8, sure=True)
    three = [*MIX, run("lstm", passes=2)]
    monkeypatch.setattr(pack_size, "LARGEST", 5)
    assert probe(three, Device(), 64) == Size(5, sure=True)


@pytest.mark.integration
def test_a_mix_that_does_not_fit_beside_each_other_stays_alone(monkeypatch):
    seconds_of_passes(monkeypatch, float)
    monkeypatch.setattr(pack_size.PeakMemory, "added", lambda self: 100.0)
    monkeypatch.setattr(pack_size, "_room", lambda device, share: 199.0)
    assert probe(MIX, Device(), 64) == Size(1, sure=True)
    monkeypatch.setattr(pack_size, "_room", lambda device, share: 200.0)
    assert probe(MIX, Device(), 64).runs > 1


@pytest.mark.integration
def test_memory_that_is_over_in_the_first_pack_of_a_mix_means_one_run(monkeypatch):
    seconds_of_passes(monkeypatch, float)
    real = pack_size._measure

    def measure(runs, device):
        if len(runs) > 2:
            raise torch.OutOfMemoryError
        return real(runs, device)

    monkeypatch.setattr(pack_size, "_measure", measure)
    assert probe(MIX, Device(), 64) == Size(2, sure=True)
    assert probe([*MIX, run("lstm", passes=2)], Device(), 64) == Size(1, sure=True)


@pytest.mark.integration
def test_what_a_pack_takes_is_counted_to_the_end_of_each_of_its_runs(monkeypatch):
    """60 tasks are 60 updates of one task and 20 of three: of the pack's 60 updates both runs make 20."""
    monkeypatch.setattr(pack_size, "_burst", lambda pack, least: 0.1 * len(pack.runs) ** 0.5)
    runs = [run("maml", meta_batch_size=1), run("maml", meta_batch_size=3)]
    assert [pack_size._measure([one], Device()).seconds for one in runs] == pytest.approx([6, 2])
    assert pack_size._measure(runs, Device()).seconds == pytest.approx(20 * 0.1 * 2**0.5 + 40 * 0.1)
