"""What lies in the folders `report/`, `requests/`, `ends/`: `doctor` says what is wrong; it or `gc` mends it."""

import contextlib
import shutil
from types import SimpleNamespace

import pytest

from jobs.operations import doctor, tracked_check
from jobs.operations.sweep_check import check_sweep
from jobs.store.header import Header
from jobs.store.requests import Limit, ask
from jobs.store.states import TrialState
from jobs.sweep.tracked import key
from oplstm.training.sealed import write_sealed
from tests.jobs.cli.verbs import answer, run
from tests.jobs.formula_training import finish, job, new_sweep, no_server
from tests.jobs.operations.test_doctor import with_models
from tracking.outbox.comparison import SHIPPED_AGAIN
from tracking.outbox.cursor import Cursor
from tracking.outbox.outbox import Outbox

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def new(oplstm_home, monkeypatch):
    """A sweep that has not begun, a server that takes nothing, and a page that is quickly drawn."""
    monkeypatch.setattr(doctor, "tracking_server", lambda *_, **__: contextlib.nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(Outbox, "flush", lambda *_: 0)
    monkeypatch.setattr("tracking.outbox.delivery.connect", lambda uri: no_server())
    monkeypatch.setattr(doctor, "tracked_differences", lambda *_: [])
    monkeypatch.setattr("jobs.operations.reporting.tracked.page", lambda contents: contents.header.name)
    return new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))


def wrong(folder, check):
    return [one.found for one in check_sweep(folder) if one.check == check and not one.ok]


def damage(folder):
    if folder.report.exists():
        page = folder.report / "report.html"
        page.write_text(page.read_text() + "x")


DAMAGES = {
    "lacks report.html, trials.csv, tests.yaml": lambda folder: shutil.rmtree(folder.report, ignore_errors=True),
    "lacks trials.csv": lambda folder: (folder.report / "trials.csv").unlink(missing_ok=True),
    "is not as it was made": damage,
}


@pytest.mark.slow
def test_a_report_that_is_missing_or_damaged_is_said_and_made_again(new):
    assert check_sweep(new)[-1].found == "not due"
    with_models(new, finish(new))
    mend = "--repair makes it again, and so does resume"
    for says, break_it in DAMAGES.items():
        break_it(new)
        assert wrong(new, "report") == [f"{new.report} {says}; {mend}"]
        before = new.journal.read_bytes()
        assert run("doctor", "s").exit_code == 1 and new.journal.read_bytes() == before
        told = answer("doctor", "s", "--repair")
        assert told["mended"] == [f"{new.report}: made again"] and all(check["ok"] for check in told["checks"])
        assert sorted(path.name for path in new.report.iterdir()) == ["report.html", "tests.yaml", "trials.csv"]
    assert new.journal.read_bytes() == before, "MLflow is told once of what stays the same"


def test_a_report_of_which_mlflow_was_not_told_is_said(new):
    finish(new)
    new.report.mkdir()
    for name in ("report.html", "tests.yaml", "trials.csv"):
        (new.report / name).write_text("x")
    [said] = wrong(new, "report")
    assert said.startswith(f"MLflow was not told of {new.report}; ")


def test_a_report_that_mlflow_has_lost_is_said_and_shipped_again(new, monkeypatch):
    finish(new)
    header = Header.read(new)
    run("doctor", "s", "--repair")
    Cursor(offset=new.journal.stat().st_size, runs={key(header): "r1"}).save(new.path / "journal.jsonl.shipped")
    there = ["report/report.html", "report/tests.yaml", "report/trials.csv"]
    client = SimpleNamespace(list_artifacts=lambda run_id, path: [SimpleNamespace(path=one) for one in there])
    monkeypatch.setattr(tracked_check, "connect", lambda address: client)
    monkeypatch.setattr(tracked_check, "differences", lambda *_, **__: [])
    assert tracked_check.tracked_differences(new, header, "http://server") == []
    del there[:2]
    [one] = tracked_check.tracked_differences(new, header, "http://server")
    assert one.line == f"run r1 of {key(header)} lacks report.html, tests.yaml of the report in MLflow"
    assert one.fault in SHIPPED_AGAIN


def test_requests_that_nobody_takes_up_are_said_and_freed(new):
    waits = new.requests / f"{ask(new, Limit(concurrent=2))}.json"
    assert wrong(new, "requests") == []
    assert answer("gc", "s")["found"] == []
    damaged = waits.with_name(f"{'1' * 20}-{'a' * 8}.json")
    damaged.write_text("{")
    stray = new.requests / "notes.txt"
    stray.write_text("mine")
    first, second = wrong(new, "requests")
    assert first.startswith(f"{damaged} is no request: ") and first.endswith("; resume declines and removes it")
    assert second == f"{stray} is no request, and nothing reads it: remove it"
    finish(new)
    late = new.requests / f"{ask(new, Limit(concurrent=3))}.json"
    assert wrong(new, "requests")[0] == f"{late} was left behind, and nobody takes it up any more; oplstm gc frees it"
    assert answer("gc", "--yes", "s")["freed"] == [str(late)]
    assert sorted(new.requests.iterdir()) == [stray], "a stray file is its owner's"


def test_states_of_ends_are_looked_at_set_aside_and_freed(new):
    state = finish(new)
    whole, other, *_ = [trial.name for trial in state.trials.values() if trial.state is TrialState.COMPLETE]
    ends = [new.ends / name / "update-9" for name in (whole, other)]
    for end in ends:
        write_sealed(end, "pack.json", data={"counters": {}}, tensors={"state.safetensors": {}})
    assert wrong(new, "ends") == []
    assert answer("gc", "s")["found"] == []
    tensors = ends[1] / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1])
    stray = new.ends / "trial-0099"
    stray.mkdir()
    said = wrong(new, "ends")
    assert said[0] == f"{stray} is of no trial of s, and nothing reads it: remove it"
    assert said[1].startswith(f"{tensors} is damaged: ") and said[1].endswith("; extend --budget trains it anew")
    assert f"{ends[1]}: renamed to damaged-update-9, so that it is not read" in run("doctor", "s", "--repair").stdout
    assert wrong(new, "ends") == said[:1]
    assert answer("gc", "s", "--yes")["freed"] == [str(ends[1].with_name("damaged-update-9"))]
    assert ends[0].is_dir()
