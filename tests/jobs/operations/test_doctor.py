"""`oplstm doctor` says what is so: what waits, what MLflow refused, which folder is damaged."""

import contextlib
import json
from dataclasses import replace

import pytest
import torch

from jobs.operations import doctor
from jobs.operations.doctor import examine, ship
from jobs.operations.homes_server import HomesServer
from jobs.operations.tracking_server import embedded_server, tracking_server
from jobs.operations.ui import landing_url
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.servers import KnownServers
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from oplstm.training.sealed import write_sealed
from tests.jobs.cli.verbs import run
from tests.jobs.formula_training import finish, job, new_sweep
from tracking.outbox.cursor import Cursor
from tracking.outbox.outbox import Outbox
from tracking.outbox.refusals import Refusal, RefusedFile

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def ended(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=1))
    with_models(folder, finish(folder))
    return folder


def with_models(folder, state):
    """The files of its trials' models, which no formula makes."""
    files = {f"{name}.safetensors": {"values": torch.zeros(2)} for name in ("model", "validation", "test")}
    for trial in state.trials.values():
        data = {"run": trial.run, "best_update": trial.best_update}
        write_sealed(folder.trial(trial.name), "run.json", data=data, tensors=files)


def shipped(folder, *refusals, deleted=(), doubtful=()):
    """As if an outbox had shipped all of it, and MLflow had refused these."""
    size = folder.journal.stat().st_size
    waiting = Outbox(folder.journal, "http://127.0.0.1:1").pending()
    cursor = Cursor(offset=size, records=waiting, deleted=list(deleted), doubtful=dict.fromkeys(doubtful, 1.0))
    cursor.save(folder.path / "journal.jsonl.shipped")
    file = RefusedFile(folder.path / "journal.jsonl.refused")
    for refusal in refusals:
        file.add(refusal)
    file.save()


def of_sweep(name="s"):
    [check] = [check for check in examine(Home()) if check.check == name]
    return check.ok, check.found


def test_what_waits_and_what_has_arrived(ended):
    ok, found = of_sweep()
    assert (ok, found.partition(" ")[2]) == (False, "records wait for MLflow; oplstm doctor s ships them")
    shipped(ended)
    assert of_sweep() == (True, "everything is in MLflow")


def test_runs_whose_creation_was_not_answered_are_to_be_looked_for(ended):
    shipped(ended, doubtful=["s", "s/trial-0000"])
    assert of_sweep() == (False, "2 of its runs may have been created twice; oplstm doctor s looks")


def test_what_was_refused_is_not_said_to_be_in_mlflow(ended):
    shipped(ended, Refusal("s", "metric", "too long", 3), Refusal("s", "param", "no"), deleted=["s/trial-0000"])
    line = "5 records were refused by MLflow or deleted there: oplstm doctor s lists them"
    assert of_sweep() == (False, line)
    result = run("doctor")
    assert result.exit_code == 1
    assert f"LOOK  s: {line}" in result.stdout.splitlines()


@pytest.fixture
def server(monkeypatch):
    """A server that has nothing to do."""
    monkeypatch.setattr(doctor, "tracking_server", lambda *_, **__: contextlib.nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(Outbox, "flush", lambda *_: 0)
    monkeypatch.setattr("tracking.outbox.delivery.connect", lambda uri: pytest.fail("connected"))
    monkeypatch.setattr(doctor, "tracked_differences", lambda *_: [])
    monkeypatch.setattr("jobs.operations.reporting.tracked.report_problem", lambda *_: None)


def test_what_was_refused_is_listed_with_its_reason_and_the_mend(ended, server):
    shipped(ended, Refusal("s/trial-0000", "metric", "metric a: too long", 3), deleted=["s/trial-0001"])
    done = ship(Home(), "s")
    assert [one.count for one in done.refused] == [3, 1]
    result = run("doctor", "s")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "s: 0 records shipped, 4 refused",
        "  s/trial-0000 metric, 3: metric a: too long",
        "  s/trial-0001 run, 1: the run was deleted in MLflow, alone or with its experiment",
        "restore in MLflow what was deleted there, then: oplstm doctor s --rebuild",
    ]
    told = json.loads(run("doctor", "s", "--json").stdout)
    assert (told["name"], told["shipped"], told["refused"][0]["reason"]) == ("s", 0, "metric a: too long")


def test_without_refusals_it_is_one_line_and_fine(ended, server):
    shipped(ended)
    result = run("doctor", "s")
    assert (result.exit_code, result.stdout) == (0, "s: 0 records shipped, 0 refused\n")


@pytest.mark.parametrize("what", ["header", "journal"])
def test_a_damaged_sweep_is_nothing_to_ship(what, ended):
    path = getattr(ended, what)
    path.write_bytes(path.read_bytes().replace(b'"name"', b'"nome"').replace(b'"asked"', b'"axed"'))
    ok, found = of_sweep()
    assert not ok
    assert found.startswith(f"damaged: {path}")
    assert "ships" not in found


def test_the_ui_opens_on_the_newest_sweep_that_is_whole(ended, monkeypatch):
    damaged = new_sweep(Home().sweeps / "t", job("rates", trials=1))
    damaged.header.write_text("{")

    class Client:
        def get_experiment_by_name(self, name):
            return type("Experiment", (), {"experiment_id": "7"})

    monkeypatch.setattr("jobs.operations.ui.connect", lambda uri: Client())
    monkeypatch.setattr("jobs.operations.ui.share_sweep_view", lambda *_, sweep_key, **__: f"view of {sweep_key}")
    assert landing_url(Home(), "http://server") == "view of s"
    ended.header.write_text("{")
    assert landing_url(Home(), "http://server") == "http://server"


@pytest.mark.parametrize("place", ["mlflow", "mlflow/artifacts", "mlflow/server.log", "mlflow/mlflow.db"])
def test_no_server_is_started_on_links(place, oplstm_home, tmp_path, monkeypatch):
    monkeypatch.setattr("tracking.server.embedded.launch", lambda *_: pytest.fail("launched"))
    (tmp_path / "victim").mkdir()
    (oplstm_home / place).parent.mkdir(exist_ok=True)
    (oplstm_home / place).symlink_to(tmp_path / "victim")
    for server in (embedded_server(Home()), tracking_server(Home(), None)):
        with pytest.raises(RequestError, match="is a symbolic link"), server:
            pass
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.slow
def test_a_verb_that_names_no_sweep_asks_the_server_of_the_newest(ended, monkeypatch):
    home, wanted = Home(), "http://127.0.0.1:1"
    assert HomesServer.of(home, None).uri is None
    assert HomesServer.of(home, "http://given") == HomesServer("http://given", "as it was named")
    later = new_sweep(home.sweeps / "t", job("rates", trials=1))
    replace(Header.read(later), tracking_uri=wanted).write_again(later)
    with pytest.raises(RequestError, match=f"t tracks to {wanted}, which was never named here"):
        HomesServer.of(home, None)
    checks = {check.found: check.ok for check in examine(home) if check.check == "MLflow"}
    assert checks == {
        "the server that comes with oplstm, of 1 sweep here": True,
        f"{wanted}, of 1 sweep here; it was never named here, and is not asked": True,
    }
    KnownServers().add(wanted)
    found = HomesServer.of(home, None)
    assert (found.uri, found.why) == (wanted, "that of t, the newest sweep here; --tracking-uri names another")
    assert HomesServer.of(home, "http://given", Header.read(ended)) == HomesServer(None, "that of s")
    [silent] = [check for check in examine(home) if check.check == "MLflow" and not check.ok]
    assert silent.found.startswith(f"tracking server {wanted}: ")
    assert silent.found.endswith("; it is that of 1 sweep here")
    monkeypatch.setattr("jobs.operations.tracking_server.check_reachable", lambda uri: None)
    monkeypatch.setattr("tracking.results.tables.runs_of", lambda client, number, also: pytest.fail("asked"))
    with pytest.raises(pytest.fail.Exception):
        run("table", "1")


def test_the_ui_of_a_name_is_the_view_of_a_sweep_and_the_page_of_any_other(ended, monkeypatch):
    class Client:
        def get_experiment_by_name(self, name):
            return type("Experiment", (), {"experiment_id": "7"})

    monkeypatch.setattr("jobs.operations.ui.connect", lambda uri: Client())
    monkeypatch.setattr("jobs.operations.ui.share_sweep_view", lambda *_, sweep_key, **__: f"view of {sweep_key}")
    home = Home()
    final = new_sweep(home.sweeps / "f", job("rates", trials=1), kind=SweepKind.FINAL, of="id-of-s")
    later = new_sweep(home.sweeps / "t", job("rates", trials=1))
    assert landing_url(home, "http://server") == "view of t"
    replace(Header.read(later), archived=True).write_again(later)
    assert landing_url(home, "http://server") == landing_url(home, "http://server", ended) == "view of s"
    with pytest.raises(RequestError, match="f is not in MLflow at http://server yet: oplstm doctor f ships it"):
        landing_url(home, "http://server", final)
    Cursor(runs={"id-of-f": "run1"}).save(final.path / "journal.jsonl.shipped")
    shown = landing_url(home, "http://u:p@server/", final)
    assert shown == "http://server/#/experiments/7/runs/run1?workflowType=machine_learning"
