"""`oplstm export`: tables that pandas reads, a study that Optuna opens, whole or not at all."""

import math
import sqlite3

import optuna
import pandas as pd
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from jobs.operations import exported_tables
from jobs.operations.export import FILES, export
from jobs.store.home import Home
from oplstm.errors import RequestError, WorkError
from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import job, new_sweep, opened, state_of, train, training

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture
def sweep(oplstm_home):
    """All ends: complete, pruned, diverged, failed, refused; repeats of the sampler; and one that still runs."""
    keys = {"trials": 9, "pruner": {"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None}}
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("raises_at_one", **keys))
    coordinator = opened(folder)
    for value in (0.5, 0.9, math.nan, None):
        assignment = coordinator.next_pack()
        if value is None:
            next(training(coordinator, assignment))
            coordinator.pack_failed(assignment.pack, "it died")
        else:
            train(coordinator, assignment, lambda run, at, value=value: value if at else 1.0)
    steps = training(coordinator, coordinator.next_pack(), lambda run, at: 0.1)
    next(steps), next(steps)
    coordinator.next_pack()
    yield folder
    coordinator.close(flush_seconds=0)


def opens(path):
    storage = f"sqlite:///{path}" if path.suffix == ".db" else JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="s", storage=storage)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["s.log", "s.db"])
def test_optuna_opens_the_study_and_finds_the_sweeps_trials(file, sweep, tmp_path):
    export(sweep, tmp_path / file)
    study, trials = opens(tmp_path / file), state_of(sweep).trials
    states = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "PRUNED", "failed": "FAIL", "running": "RUNNING"}
    assert study.direction.name == "MINIMIZE"
    assert {"complete", "pruned", "diverged", "failed", "running"} <= {str(trial.state) for trial in trials.values()}
    assert len(study.trials) == len(trials) > 5
    for number, trial in trials.items():
        found = study.trials[number]
        assert (found.number, found.params) == (number, trial.params)
        assert (found.state.name, found.user_attrs["oplstm.state"]) == (states[trial.state], str(trial.state))
        assert set(found.distributions) == set(trial.params)
        assert found.user_attrs["oplstm.trial"] == trial.name
        values = {point["val/loss"] for point in trial.points if point["update"] and "val/loss" in point}
        assert set(found.intermediate_values.values()) == values
        assert found.state.name != "COMPLETE" or found.value == trial.best
    assert study.best_trial.number == 0
    assert study.trials[0].distributions["lr"] == optuna.distributions.CategoricalDistribution([0.3, 0.2, 0.1])


def test_the_times_are_those_of_the_journal_although_a_resume_makes_the_study_anew(small_sweep, tmp_path):
    export(small_sweep, tmp_path / "a.log")
    opened(small_sweep).close(flush_seconds=0)
    export(small_sweep, tmp_path / "b.log")
    first, second = ([trial.datetime_start for trial in named_small(tmp_path / name)] for name in ("a.log", "b.log"))
    assert first == second


def named_small(path):
    return optuna.load_study(study_name="small", storage=JournalStorage(JournalFileBackend(str(path)))).trials


@pytest.mark.slow
def test_the_tables_hold_every_trial_and_every_point_in_both_forms(sweep, tmp_path):
    made = export(sweep, tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(FILES) == sorted(made.files)
    state = state_of(sweep)
    for form in ("csv", "parquet"):
        read = getattr(pd, f"read_{form}")
        trials, points = read(tmp_path / "all" / f"trials.{form}"), read(tmp_path / "all" / f"points.{form}")
        assert trials["trial"].tolist() == list(state.by_name)
        assert trials["state"].tolist() == [str(trial.state) for trial in state.by_name.values()]
        assert trials["param.lr"].tolist() == [trial.params["lr"] for trial in state.by_name.values()]
        assert trials["run.hyperparameters.widths"].dropna()[0] == str(state.trials[0].run["hyperparameters"]["widths"])
        assert list(trials.columns)[-1] == "test/loss"
        assert trials["asked"].notna().all() and trials["asked"].tolist() == sorted(trials["asked"])
        ended = [name for name, trial in state.by_name.items() if trial.state.ended and trial.run]
        assert trials["trial"][trials["ended"].notna()].tolist() == ended
        assert trials["test/loss"].notna().sum() == 1
        assert made.points == len(points) == sum(len(trial.points) for trial in state.by_name.values())
        first = points[points["trial"] == "trial-0000"]
        assert first["val/loss"].tolist() == [point["val/loss"] for point in state.trials[0].points]
        assert first["update"].tolist() == sorted(state.trials[0].updates)
    export(sweep, tmp_path / "points.csv", points=True)
    assert (tmp_path / "points.csv").read_bytes() == (tmp_path / "all" / "points.csv").read_bytes()


def test_test_scores_are_the_last_columns_whatever_comes_later():
    rows = exported_tables._whole([{"a": 1, "test/loss": 2}, {"a": 1, "cross/cub/loss": 3, "b": 4}])
    assert [list(row) for row in rows] == [["a", "b", "test/loss", "cross/cub/loss"]] * 2


def test_a_space_may_mix_types_and_have_lists(oplstm_home, tmp_path):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("lists", trials=None, sampler={"name": "grid"}))
    coordinator = opened(folder)
    coordinator.next_pack(), coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    export(folder, tmp_path / "s.parquet")
    assert sorted(pd.read_parquet(tmp_path / "s.parquet")["param.widths"]) == ["[2, 2]", "[2]"]
    empty = new_sweep(oplstm_home / "sweeps" / "e-1.5", job())
    assert export(empty, tmp_path / "e-1.5-export").trials == 0
    assert len(pd.read_csv(tmp_path / "e-1.5-export" / "trials.csv")) == 0


@pytest.mark.slow
def test_nothing_is_overwritten_without_a_word_and_nothing_but_an_export_ever(small_sweep, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert answer("export", "small")["path"] == "small-export"
    assert the_complaint("export", "small") == "small-export exists; name another place with --to, or say --overwrite"
    assert run("export", "small", "--overwrite").exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    wanted = "mine holds 'thesis.tex', which is of no export: name another place with --to"
    assert the_complaint("export", "small", "--to", "mine", "--overwrite") == wanted
    (tmp_path / "s.db").write_text("mine")
    assert the_complaint("export", "small", "--to", "s.db").startswith("s.db exists; ")
    assert run("export", "small", "--to", "s.db", "--overwrite").exit_code == 0
    with sqlite3.connect(tmp_path / "s.db") as there:
        assert there.execute("select count(*) from trials").fetchone() == (3,)
    assert the_complaint("export", "small", "--to", "s.xlsx").startswith(
        "s.xlsx: a file is written as .csv, .parquet, "
    )
    assert the_complaint("export", "small", "--to", "no/s.csv") == "no/s.csv: there is no folder no"
    assert the_complaint("export", "small", "--points").startswith("--points is for one table, as .csv or .parquet; ")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out", "out.db", "out.csv"])
def test_what_cannot_be_written_whole_is_not_there(name, small_sweep, tmp_path, monkeypatch):
    small_sweep.study.write_text("nonsense\n")
    if name == "out.csv":
        monkeypatch.setattr("pyarrow.csv.write_csv", lambda table, path: path.write_text("half") and 1 / 0)
    with pytest.raises(ZeroDivisionError if name == "out.csv" else WorkError) as caught:
        export(small_sweep, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["oplstm-home"]
    assert name == "out.csv" or str(caught.value).endswith("; oplstm doctor small --repair makes it again")


def test_an_unknown_sweep(oplstm_home):
    with pytest.raises(RequestError):
        Home().sweep("nobody")
    assert the_complaint("export", "nobody").startswith("no sweep named 'nobody'")
