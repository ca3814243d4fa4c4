"""The trials of a sweep and their points as data frames, and its study as a copy."""

import math

import optuna
import pandas as pd
import pytest

from jobs.operations.exported_tables import Tables
from jobs.operations.frames import points_frame, trials_frame
from jobs.operations.reporting.contents import Contents
from jobs.operations.reporting.sections import cost
from jobs.operations.study_copy import study_copy
from jobs.store.events import Ended, Validated, encode
from jobs.store.header import Header
from jobs.store.memory import PEAK, SHARING, Memory
from jobs.sweep.replicates import replicates_to_come
from oplstm.errors import WorkError
from oplstm.training.reports import RunEnd
from tests.jobs.formula_training import events, finish, job, new_sweep, opened, state_of
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

FIRST = [{"hidden": 2, "lr": 0.3}, {"hidden": 2, "lr": 0.2}]


@pytest.fixture
def ended(tmp_path):
    """Six trials, of which the first diverged."""
    folder = new_sweep(tmp_path / "sweeps" / "ended", job("six_cells", trials=6, enqueue=FIRST))
    finish(folder)
    return folder


def replicated(folder):
    to_come = replicates_to_come(job("six_cells"), state_of(folder), {1: 1})
    with Journal(folder.journal) as journal:
        journal.append([encode(event) for event in to_come])


def test_a_row_a_trial_best_validation_first_and_test_scores_last(ended):
    replicated(ended)
    frame, contents = trials_frame(ended), Contents.of(ended)
    columns = list(frame.columns)
    assert list(frame["trial"]) == [trial.name for trial in contents.ranked] + ["trial-0001-seed-1"]
    assert frame["replicate_of"].iloc[-1] == "trial-0001" and frame["replicate_of"].iloc[:-1].isna().all()
    assert columns[:4] == ["number", "trial", "replicate_of", "state"]
    assert columns[-1] == "test/loss" and max(map(columns.index, ("val/loss", "val/ci95"))) < columns.index("param.lr")
    scores = {event.trial: event.metrics for event in events(ended) if isinstance(event, Ended)}
    for row in frame.to_dict(orient="records")[:-1]:
        trial = contents.state.by_name[row["trial"]]
        assert (row["number"], row["state"], row["param.lr"]) == (trial.number, trial.state, trial.params["lr"])
        assert (row["val/loss"], row["updates"]) == (trial.best, trial.points[-1]["update"])
        assert row["test/loss"] == scores[trial.name].get("test/loss") or math.isnan(row["test/loss"])
    assert math.isnan(frame.set_index("trial").loc["trial-0000", "test/loss"]), "it diverged"


def test_seconds_are_those_of_training(ended, monkeypatch):
    monkeypatch.setattr("jobs.operations.frames.hours_of", lambda state: {"trial-0002": 0.25})
    seconds = trials_frame(ended).set_index("trial")["seconds"]
    assert seconds["trial-0002"] == 900.0 and seconds.drop("trial-0002").isna().all()


def test_memory_is_in_every_table_and_in_mlflow(tmp_path):
    """A trial that went on in another process has what was most, and one whose process died what is known of it."""
    folder = new_sweep(tmp_path / "sweeps" / "s", job("rates", trials=3))
    coordinator = opened(folder)
    for number, ends in enumerate(([], [(3e6, 4), (2**30, 2), (5e6, 8)], [(2**21, 1), None])):
        pack = coordinator.next_pack().pack
        for place, told in enumerate(ends):
            coordinator.started(pack, {})
            state = "complete" if place == len(ends) - 1 else "stopped"
            memory = {} if told is None else Memory(*told).metrics()
            coordinator.on_ends([RunEnd(f"trial-{number:04d}", state, 1, 0, {"val/best": 1.0} | memory)])
    coordinator.close(flush_seconds=0)
    known = [(None, None), (2**30, 2), (2**21, 1)]
    frame, tables = trials_frame(folder), Tables.of(folder, Header.read(folder))
    for rows in (frame.to_dict("records"), Contents.of(folder).rows(), tables.trials):
        found = {row["trial"]: (row["peak_memory"], row["sharing"]) for row in rows}
        assert [tuple(None if pd.isna(one) else one for one in found[name]) for name in sorted(found)] == known
    assert str(frame["peak_memory"].dtype) == "Int64" and not [name for name in tables.trials[0] if "train/" in name]
    logged = [record["metrics"] for record in Journal.read(folder.journal) if record.get("op") == "points"]
    assert [(one[PEAK], one[SHARING]) for one in logged if "diverged" in one] == known[1:]
    told = cost(Contents.of(folder))
    assert "at most <b>1024 MiB</b>, for 2 runs" in told


def test_a_row_a_point(ended):
    frame = points_frame(ended)
    points = [event for event in events(ended) if isinstance(event, Validated)]
    told = {(point.trial, point.update): point.metrics for point in points}
    assert len(frame) == len(points) == len(told)
    assert [name for name in frame.columns if name.startswith("test/")] == []
    for row in frame.to_dict(orient="records"):
        known = {name: row[name] for name in ("val/loss", "val/best") if not math.isnan(row[name])}
        assert known == told[row["trial"], row["update"]]
    assert list(frame["number"]) == sorted(frame["number"])


def test_a_sweep_that_has_only_begun(tmp_path):
    folder = new_sweep(tmp_path / "sweeps" / "begun", job(trials=2))
    assert len(trials_frame(folder)) == len(points_frame(folder)) == 0
    assert list(points_frame(folder).columns) == ["number", "trial", "replicate", "update", "tasks_seen"]


def test_the_study_is_a_copy(ended):
    text = ended.study.read_bytes()
    study = study_copy(ended)
    assert [trial.params for trial in study.trials[:2]] == FIRST
    assert study.best_value == trials_frame(ended)["val/loss"].iloc[0]
    assert study.direction is optuna.study.StudyDirection.MINIMIZE
    study.tell(study.ask(), 0.0)
    assert ended.study.read_bytes() == text and len(study_copy(ended).trials) == len(study.trials) - 1


def test_a_study_that_is_just_being_written_is_read_up_to_its_last_whole_line(ended):
    before = len(study_copy(ended).trials)
    coordinator = opened(ended)  # holds the sweep as its process does
    with ended.study.open("ab") as file:
        file.write(b'{"op_code": 4, "worker')
    assert len(study_copy(ended).trials) == before
    coordinator.close(flush_seconds=0)
    with pytest.raises(WorkError, match=r"its checksum is not .* oplstm doctor ended --repair makes it again"):
        study_copy(ended)
