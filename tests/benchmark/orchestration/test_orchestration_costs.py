"""The arithmetic of the benchmark of orchestration, on clocks and coordinators of its own."""

import itertools
from types import SimpleNamespace

import pytest

from jobs.store.home import SweepFolder
from oplstm.training.reports import Point
from tests.benchmark.orchestration import clocked, commands, many_nodes, tracking_cost, trial_growth
from tests.jobs.formula_training import job, new_sweep, no_server, state_of

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_a_further_trial_costs_what_the_larger_command_takes_more():
    rows = commands.costs((8, 48), (10.0, 30.0))
    assert [row["seconds_per_further_trial"] for row in rows] == [None, 0.5]


def test_growth_plays_whole_trials_and_times_the_last_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(trial_growth, "TIMED", 2)
    monkeypatch.setattr(trial_growth, "median", sum)
    for module in (trial_growth, clocked):  # a second passes with every look at either's own clock
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    rows = trial_growth.growth(job("rates", trials=7), tmp_path, trials=(2, 6), progress=lambda text: None)
    assert [row["trials"] for row in rows] == [2, 6]
    for row in rows:
        calls = {call: row[f"{call}_ms"] for call in trial_growth.CALLS}
        assert calls == dict.fromkeys(trial_growth.CALLS, 2000.0) | {"on_points": 2 * (1000.0 + 3 * 5000.0)}, (
            "two trials of four points; for all but the first Optuna is called twice, which takes two seconds"
        )
        assert (row["open_seconds"], row["open_ms_a_trial"]) == (1, 1000 / row["trials"])
        assert row["read_seconds"] == 1
    state = state_of(SweepFolder(tmp_path / "sweeps" / "growth"))
    assert state.counts() == {"complete": 6}
    assert {len(trial.points) for trial in state.trials.values()} == {trial_growth.POINTS + 1}


def test_the_packs_of_many_nodes_wait_for_one_coordinator_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(many_nodes, "ROUNDS", 2)
    monkeypatch.setattr(many_nodes, "SECONDS", 1e-9)  # all call at once
    monkeypatch.setattr(clocked, "time", SimpleNamespace(perf_counter=itertools.count().__next__))
    append = many_nodes.Journal.append
    row = many_nodes.answers(job("rates", trials=7, pruner={"name": None}), tmp_path / "s", nodes=3)
    assert many_nodes.Journal.append is append
    state = state_of(SweepFolder(tmp_path / "s"))
    assert state.counts() == {"complete": 6}
    assert {len(trial.points) for trial in state.trials.values()} == {many_nodes.POINTS + 1}
    assert row["busy"] == pytest.approx(1), "it has always somebody to answer"
    assert row["settle_ms"] > 2000, "two others are answered before"
    assert row["journal_append_ms"] > 0


@pytest.mark.parametrize("runs", [1, 4])
def test_points_are_made_at_the_rate_and_what_they_cost_is_added_up(runs, monkeypatch):
    now, calls = [0.0], []

    def step():
        now[0] += 0.01

    class Coordinator(clocked.Observed):
        def call(self, method, *arguments):
            calls.append((method, *arguments))
            now[0] += 0.002 if method == "on_points" else 0.001

        def spent(self):
            return {}

    clock = lambda: now[0]  # noqa: E731
    monkeypatch.setattr(tracking_cost, "time", SimpleNamespace(perf_counter=clock, thread_time=lambda: now[0] / 2))
    monkeypatch.setattr(tracking_cost, "LSTM", SimpleNamespace(pack=lambda *_: SimpleNamespace(step=step)))
    names = [f"trial-{number:04d}" for number in range(runs)]
    seconds, waited, worked, looked, sent = tracking_cost.train(Coordinator(), names, looks=True)
    assert sent == pytest.approx(tracking_cost.RATE * seconds, abs=runs * len(tracking_cost.METRICS))
    bunches = [arguments[0] for method, *arguments in calls if method == "on_points"]
    assert sent == sum(len(point.metrics) for bunch in bunches for point in bunch)
    assert {tuple(point.run for point in bunch) for bunch in bunches} == {tuple(names)}
    assert waited == pytest.approx(0.002 * len(bunches))
    looks = sum(method == "progress" for method, *_ in calls)
    assert looks == pytest.approx(seconds / tracking_cost.TICK_SECONDS, abs=2)
    assert looked == pytest.approx(0.001 * looks)
    assert worked == pytest.approx((waited + looked) / 2)


def test_a_coordinator_is_clocked_and_so_is_what_of_its_time_goes_to_decisions(tmp_path, monkeypatch):
    clock = itertools.count()
    coordinator = clocked.Clocked(new_sweep(tmp_path / "s", job("rates", trials=1)), no_server)
    [name] = coordinator.next_pack().trials
    faked = SimpleNamespace(perf_counter=lambda: next(clock), clock_gettime=lambda c: 5.0, pthread_getcpuclockid=int)
    with monkeypatch.context() as patch:
        patch.setattr(clocked, "time", faked)
        coordinator.on_points([Point(name, 10, 10, {"val/loss": 1.0, "val/best": 1.0})])
        spent = coordinator.spent()
    assert (spent["on_points"], spent["deciding"]) == (5, 2), "one call of Optuna reports, another asks"
    assert spent["threads"] == 10.0, "the outbox and the journal's"
    assert 0 < spent["next_pack"] < 5
    coordinator.close(flush_seconds=0)


@pytest.mark.parametrize(("mode", "runs"), tracking_cost.CASES)
def test_all_runs_of_a_case_are_in_one_pack(mode, runs, tmp_path):
    folder = new_sweep(tmp_path / "s", tracking_cost.job_of(mode, runs))
    coordinator = clocked.Clocked(folder, no_server)
    assert len(coordinator.next_pack().trials) == runs
    coordinator.close(flush_seconds=0)
