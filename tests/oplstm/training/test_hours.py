"""The wall-clock budget, by a clock that goes as it is told: looked at after every update, decided once."""

from dataclasses import dataclass

import pytest

from oplstm.episodes.split import Split
from oplstm.testing.recorder import Recorder
from oplstm.training import hours
from oplstm.training.checkpoint import load_model, runs_of_checkpoint
from oplstm.training.hours import Expiries
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from tests.oplstm.training.runs import run


class Clock:
    """Stands still unless it is moved."""

    def __init__(self):
        self.hours = 0.0

    def monotonic(self):
        return 3600 * self.hours


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(hours, "time", Clock())
    return hours.time


@dataclass
class Slow(Recorder):
    """Each of its updates takes so many hours; its process may die after one."""

    pace: float = 1.0
    dies_at: int | None = None

    def on_progress(self, update, runs):
        super().on_progress(update, runs)
        hours.time.hours += self.pace
        if update == self.dies_at:
            raise KeyboardInterrupt


def train(folder, runs, listener, expiries=None):
    """Train a pack that holds two, of the runs that come first or of those in its checkpoint."""
    named = {name: runs[name] for name in list(runs)[:2]}
    kept = runs_of_checkpoint(folder / "pack", runs) or named
    pack = Pack(list(kept.values()), list(kept))
    Trainer(pack, listener, folder=folder / "pack", run_folder=folder / "runs", capacity=2, expiries=expiries).train()
    return listener


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_ends_at_the_first_update_after_its_hours_and_is_tested_with_its_best_weights(tmp_path, clock):
    heard = train(tmp_path, {"r": run(max_hours=12.5)}, Slow())
    end = heard.ends["r"]
    assert (end.state, end.budget_exhausted, end.update) == ("complete", True, 13)
    assert end.note == "stopped after its 12.5 hours"
    assert heard.expired == {13: ["r"]}
    assert [point.update for point in heard.points] == [0, 10], "it has a point where one was due, and none at its end"
    scores = load_model(tmp_path / "runs" / "r").scores(Split.TEST, seed=7, count=11)["loss"]
    assert end.metrics["test/loss"] == pytest.approx(scores.mean().item(), rel=1e-5)


def test_a_run_whose_hours_end_at_a_validation_point_is_validated_there(tmp_path, clock):
    heard = train(tmp_path, {"r": run(max_hours=9.5)}, Slow())
    assert [point.update for point in heard.points] == [0, 10]
    assert heard.ends["r"].update == 10
    assert heard.ends["r"].metrics["val/best"] == min(point.metrics["val/loss"] for point in heard.points)


@pytest.mark.slow
def test_a_run_that_is_through_is_not_out_of_time(tmp_path, clock):
    runs = {"through": run(max_hours=19.5, meta_batch_size=3), "late": run(max_hours=19.5)}
    heard = train(tmp_path, runs, Slow())
    assert heard.expired == {20: ["late"]}
    ends = {name: (end.state, end.update, end.budget_exhausted) for name, end in heard.ends.items()}
    assert ends == {"through": ("complete", 20, False), "late": ("complete", 20, True)}
    assert heard.ends["through"].note == ""


def test_a_run_that_takes_exactly_its_hours_goes_on(tmp_path, clock):
    assert train(tmp_path, {"r": run(max_hours=13)}, Slow()).ends["r"].update == 14


@pytest.mark.slow
@pytest.mark.parametrize("stops", [[4], [10], [12], [3, 9, 11]])
def test_hours_add_up_over_stops_and_those_between_do_not_count(stops, tmp_path, clock):
    runs = {"r": run(max_hours=12.5)}
    whole = train(tmp_path / "whole", runs, Slow())
    for stop in stops:
        assert train(tmp_path / "parts", runs, Slow(stop_at=stop)).ends["r"].state == "stopped"
        clock.hours += 1000
    assert train(tmp_path / "parts", runs, Slow()).ends["r"] == whole.ends["r"]
    assert files(tmp_path / "parts" / "runs") == files(tmp_path / "whole" / "runs")


def limited(**changes):
    return run(max_hours=12.5, **changes)


RUNS = {"first": limited(seed=1), "pruned": limited(seed=2), "joins": limited(seed=3, meta_batch_size=1)}
STORY = {"prune": {10: {"pruned"}}, "join": {10: [("joins", RUNS["joins"])]}}


@pytest.mark.slow
def test_the_hours_of_a_run_begin_when_it_joins(tmp_path, clock):
    heard = train(tmp_path, RUNS, Slow(**STORY))
    assert heard.expired == {13: ["first"], 23: ["joins"]}
    assert (heard.ends["joins"].update, heard.ends["joins"].budget_exhausted) == (13, True)


@pytest.mark.slow
@pytest.mark.parametrize(("pace", "joined_ends"), [(0, 60), (1, 13), (1000, 6)])
def test_what_was_decided_is_repeated_whatever_the_clock_says_and_nothing_is_before_it(
    pace, joined_ends, tmp_path, clock
):
    """Killed at update 15 and resumed from 10: the first run ends at 13 again, and nobody else before 15 is past."""
    whole = train(tmp_path / "whole", RUNS, Slow(**STORY))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", RUNS, killed := Slow(**STORY, dies_at=15))
    assert killed.expired == {13: ["first"]}
    known = Expiries(killed.expired, until=15)
    again = train(tmp_path / "parts", RUNS, Slow(**STORY, pace=pace), known)
    assert 13 not in again.expired, "it was told twice"
    assert again.ends["first"] == whole.ends["first"]
    assert (again.ends["joins"].update, again.ends["joins"].budget_exhausted) == (joined_ends, joined_ends < 60)
    same = "first" if pace != 1 else "."
    assert files(tmp_path / "parts" / "runs" / same) == files(tmp_path / "whole" / "runs" / same)


class Dying(Slow):
    """Its process ends while it is told whose hours are over."""

    def on_expired(self, update, runs):
        raise KeyboardInterrupt


@pytest.mark.slow
def test_nothing_has_ended_before_it_is_told_that_its_hours_are_over(tmp_path, clock):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, RUNS, killed := Dying(**STORY))
    assert set(killed.ends) == {path.name for path in (tmp_path / "runs").iterdir()} == {"pruned"}
    clock.hours += 1000
    assert train(tmp_path, RUNS, Slow(**STORY)).expired == {13: ["first"], 23: ["joins"]}
