"""The outbox and a real MLflow server that works: everything arrives once, soon and cheaply."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from oplstm.errors import RequestError, WorkError
from tests.journal_lines import resealed
from tests.tracking.conftest import Rest, texts
from tests.tracking.faulty_proxy import wait_until
from tests.tracking.sweep_records import START, check_sweep, run, write, write_sweep
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox
from tracking.outbox.refusals import Refusal
from tracking.server.client import connect

pytestmark = pytest.mark.integration


def ship(path: Path, uri: str) -> Outbox:
    with Outbox(path, uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error
    assert outbox.last_error is None
    return outbox


def refusals(path: Path) -> list[Refusal]:
    return Outbox(path, "http://127.0.0.1:1").refused()


def test_a_sweep_arrives_whole_and_once(rest: Rest, journal_path: Path, unique: str) -> None:
    write_sweep(journal_path, unique)
    outbox = Outbox(journal_path, rest.uri)
    assert outbox.pending() == 1 + 3 + 3 * 40 + 3 * 4 + 1
    outbox = ship(journal_path, rest.uri)
    check_sweep(rest, unique)
    assert outbox.run_id(f"{unique}/sweep") == rest.runs(unique)[f"{unique}/sweep"][0]["info"]["run_id"]
    assert outbox.run_id("nobody") is None
    assert refusals(journal_path) == []


def test_shipping_it_all_again_changes_nothing(rest: Rest, journal_path: Path, unique: str) -> None:
    write_sweep(journal_path, unique)
    ship(journal_path, rest.uri)
    cursor = journal_path.with_name(journal_path.name + ".shipped")
    for left in ("", '{"version": 1, "off', '{"version": 99}'):
        cursor.write_text(left)
        ship(journal_path, rest.uri)
        check_sweep(rest, unique)
    assert refusals(journal_path) == []


def test_odd_but_legal_content(rest: Rest, journal_path: Path, unique: str) -> None:
    key = f"{unique}/run"
    folder = journal_path.parent / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"\0\1")
    (folder / "deep" / "config.json").write_text("{}")
    params = {f"p{number:03d}": number for number in range(150)} | {"long": "x" * 9000, "empty": "", "none": None}
    with Journal(journal_path) as journal:
        write(
            journal,
            records.CreateRun(
                key,
                name="a näme",
                parent_key=None,
                experiment=unique,
                tags={f"t{number:03d}": "v" for number in range(120)} | {"odd": "\0\ud800 ü"},
                params=params,
                start_time=START,
            ),
            records.Points(key, step=1, metrics={"val/loss": float("nan"), "val/ci95": 0.5}, timestamp=START),
            records.Points(key, step=2, metrics={"val/loss": float("inf")}, timestamp=START),
            records.Artifact(key, path="model", folder="models/best"),
            records.Artifact(key, path="model/weights.bin", folder=""),
            records.Tags(key, {"t000": "new"}),
        )
    ship(journal_path, rest.uri)
    assert refusals(journal_path) == []
    (stored,) = rest.runs(unique)[key]
    assert stored["info"]["run_name"] == "a näme"
    assert len(texts(stored, "params")) == 153 and texts(stored, "params")["p149"] == "149"
    assert len(texts(stored, "params")["long"]) == 6000
    assert texts(stored, "tags")["t000"] == "new" and texts(stored, "tags")["odd"] == "? ü"
    assert [(step, str(value).lower()) for step, value in rest.history(stored, "val/loss")] == [(1, "nan"), (2, "nan")]
    assert rest.artifacts(stored, "models/best") == ["models/best/deep", "models/best/weights.bin"]
    assert rest.artifacts(stored) == ["models", "weights.bin"]


def test_new_records_arrive_within_a_second_and_waiting_costs_nothing(
    rest: Rest, journal_path: Path, unique: str
) -> None:
    key = f"{unique}/run"
    with Journal(journal_path) as journal, Outbox(journal_path, rest.uri) as outbox:
        write(journal, run(key, None, unique, 0))
        assert outbox.flush(30) == 0
        latencies = []
        for step in range(4):
            time.sleep(0.3)
            write(journal, records.Points(key, step=step, metrics={"val/loss": 1.0}, timestamp=START))
            started = time.monotonic()
            wait_until(lambda: outbox.pending() == 0)
            latencies.append(time.monotonic() - started)
        assert sorted(latencies)[1] < 1.0, latencies
        used = time.process_time()
        time.sleep(2)
        assert (time.process_time() - used) / 2 < 0.05


def test_a_resumed_run_is_running_again(rest: Rest, journal_path: Path, unique: str) -> None:
    key = f"{unique}/run"
    with Journal(journal_path) as journal:
        write(journal, run(key, None, unique, 0), records.EndRun(key, status="KILLED", end_time=START + 5))
        ship(journal_path, rest.uri)
        assert rest.runs(unique)[key][0]["info"]["status"] == "KILLED"
        write(journal, records.ReopenRun(key))
        ship(journal_path, rest.uri)
        assert rest.runs(unique)[key][0]["info"]["status"] == "RUNNING"


def test_what_is_refused_for_good_is_put_aside_and_the_rest_goes_on(
    rest: Rest, journal_path: Path, unique: str
) -> None:
    key = f"{unique}/run"
    again = run(key, None, unique, 0).encode() | {"params": {"lr": "another", "new": "1"}}
    names = {f"fine{number}": float(number) for number in range(30)} | {"not//unique": 1.0}  # to MLflow it is a path
    point = records.Points(key, step=1, metrics={}, timestamp=START).encode()
    curve = records.LearningCurve(key, points=[], metric="val/loss", title="").encode()
    with Journal(journal_path) as journal:
        write(journal, run(key, None, unique, 0), again)
        write(journal, records.Points(key, step=1, metrics=names, timestamp=START))
        write(journal, {"kind": "track", "op": "from-the-future", "key": key})
        write(journal, point | {"step": None})
        write(journal, point | {"key": "it's'"})
        write(journal, records.Points(f"{unique}/nobody", step=1, metrics={"a": 1.0, "b": 2.0}, timestamp=START))
        write(journal, records.EndRun(f"{unique}/nobody", status="FINISHED", end_time=START))
        write(journal, records.Artifact(key, path="gone.txt", folder=""))
        write(journal, curve | {"points": [1]})
        write(journal, curve | {"title": "$\\nothing{$"})
        write(journal, records.Points(key, step=2, metrics={"val/loss": 0.25}, timestamp=START))
    before = time.time()
    ship(journal_path, rest.uri)
    (stored,) = rest.runs(unique)[key]
    assert texts(stored, "params") == {"lr": "0.1", "trial": "0", "new": "1"}
    assert rest.history(stored, "fine29") == [(1, 29)]
    assert rest.history(stored, "val/loss") == [(2, 0.25)]
    found = refusals(journal_path)
    assert sorted((entry.key, entry.op, entry.count) for entry in found) == sorted(
        [
            (key, "param", 1),
            (key, "metric", 1),
            (key, "from-the-future", 1),
            (key, "points", 1),
            ("it's'", "points", 1),
            (f"{unique}/nobody", "values", 2),
            (f"{unique}/nobody", "end_run", 1),
            (key, "artifact", 1),
            (key, "learning_curve", 1),
            (key, "learning_curve", 1),
        ]
    )
    reasons = [entry.reason for entry in found]
    parts = ("lr", "not//unique", "from-the-future", "step", "key must be", "gone.txt", "points", "cannot be drawn")
    for part in parts:
        assert any(part in reason for reason in reasons), (part, reasons)
    assert not [reason for reason in reasons if "\n" in reason]
    assert all(before <= entry.time <= time.time() for entry in found)
    journal_path.with_name(journal_path.name + ".shipped").unlink()
    ship(journal_path, rest.uri)
    again = {replace(entry, time=0.0) for entry in refusals(journal_path)}
    assert again == {replace(entry, time=0.0) for entry in found}


def test_a_run_that_the_user_deleted_stays_deleted_and_is_named(rest: Rest, journal_path: Path, unique: str) -> None:
    one, other = f"{unique}/one", f"{unique}/other"
    with Journal(journal_path) as journal:
        write(journal, run(one, None, unique, 0), run(other, None, unique, 1))
        outbox = ship(journal_path, rest.uri)
        run_id = outbox.run_id(one)
        rest.post("runs/delete", run_id=run_id)
        for step in range(300):
            for key in (one, other):
                write(journal, records.Points(key, step=step, metrics={"val/loss": 1.0}, timestamp=START))
        ship(journal_path, rest.uri)
        write(journal, records.Points(one, step=300, metrics={"val/loss": 1.0}, timestamp=START))
        ship(journal_path, rest.uri)
    assert list(rest.runs(unique)) == [other]
    assert len(rest.history(rest.runs(unique)[other][0], "val/loss")) == 300
    values, run_itself = refusals(journal_path)
    assert (values.key, values.op, values.count) == (one, "values", 301)
    assert values.reason == f"run {run_id} was deleted in MLflow"
    assert (run_itself.key, run_itself.op) == (one, "run")
    assert "deleted in MLflow" in run_itself.reason


def test_what_is_deleted_after_it_arrived_is_named_until_it_is_restored(
    rest: Rest, journal_path: Path, unique: str
) -> None:
    write_sweep(journal_path, unique, trials=1, steps=2)
    ship(journal_path, rest.uri)
    assert refusals(journal_path) == []
    experiment_id = rest.experiment_id(unique)
    rest.post("experiments/delete", experiment_id=experiment_id)
    ship(journal_path, rest.uri)
    assert [(entry.key, entry.op) for entry in refusals(journal_path)] == [
        (f"{unique}/sweep", "run"),
        (f"{unique}/trial-0000", "run"),
    ]
    rest.post("experiments/restore", experiment_id=experiment_id)
    ship(journal_path, rest.uri)
    assert refusals(journal_path) == []


def test_a_journal_of_version_1_is_shipped(rest: Rest, journal_path: Path, unique: str) -> None:
    """Its events of validation points are track records too."""
    old = (Path(__file__).parent / "journal_v1_every_record.jsonl").read_text()
    journal_path.write_text(old.replace('"s1', f'"{unique}').replace('"sine"', f'"{unique}"'))
    (journal_path.parent / "trials" / "trial-0000").mkdir(parents=True)
    (journal_path.parent / "trials" / "trial-0000" / "weights").write_text("w")
    ship(journal_path, rest.uri)
    assert refusals(journal_path) == []
    runs = rest.runs(unique)
    trial = runs[f"{unique}/trial-0000"][0]
    assert rest.history(trial, "val/loss") == [(100, 1 / 3)]
    assert [str(value).lower() for _, value in rest.history(trial, "test/loss")] == ["nan"]
    assert (texts(trial, "params")["lr"], texts(trial, "tags")["odd"]) == ("0.1", "? ü")
    assert rest.artifacts(trial) == ["learning_curve.png", "model"]
    assert (trial["info"]["status"], runs[unique][0]["info"]["status"]) == ("FINISHED", "KILLED")


def test_nothing_outside_the_sweep_s_folder_is_read(
    rest: Rest, journal_path: Path, tmp_path: Path, unique: str
) -> None:
    key, secret, inside = f"{unique}/run", tmp_path / "secret", tmp_path / "sweep"
    path = inside / "journal.jsonl"
    (secret / "deep").mkdir(parents=True)
    (secret / "deep" / "password.txt").write_text("hunter2")
    for folder in ("out", "mixed", "fine/deep"):
        (inside / folder).mkdir(parents=True)
    (inside / "fine" / "deep" / "weights").write_text("w")
    (inside / "fine" / "again").symlink_to("deep/weights")
    (inside / "here").symlink_to("fine")
    (inside / "file").symlink_to(secret / "deep" / "password.txt")
    (inside / "out" / "folder").symlink_to(secret)
    (inside / "mixed" / "good").write_text("good")
    (inside / "mixed" / "bad").symlink_to("../../secret/deep/password.txt")
    (inside / "loop").symlink_to("loop")
    os.mkfifo(inside / "pipe")
    artifact = records.Artifact(key, path="x", folder="").encode()
    places = ["/etc/hostname", "../secret/deep", "file", "out/folder/deep", "out", "mixed", "loop", "pipe", "a" * 300]
    with Journal(path) as journal:
        write(journal, run(key, None, unique, 0), *(artifact | {"path": place} for place in places))
        write(journal, artifact | {"path": "here", "folder": "model"})
    ship(path, rest.uri)
    found = refusals(path)
    assert [entry.op for entry in found] == ["artifact"] * len(places), found
    reasons = " ".join(entry.reason for entry in found)
    for part in ("lead downwards", "leads out of", "no plain file", "cannot be followed"):
        assert part in reasons, (part, reasons)
    (stored,) = rest.runs(unique)[key]
    assert rest.artifacts(stored) == ["model"]
    assert rest.artifacts(stored, "model") == ["model/again", "model/deep"]


def test_a_server_without_our_runs_is_shipped_everything(rest: Rest, journal_path: Path, unique: str) -> None:
    write_sweep(journal_path, unique, trials=1)
    ship(journal_path, rest.uri)
    for runs in rest.runs(unique).values():
        rest.post("runs/delete", run_id=runs[0]["info"]["run_id"])
    cursor = journal_path.with_name(journal_path.name + ".shipped")
    state = json.loads(cursor.read_text())
    state["runs"] = {key: "0123456789abcdef0123456789abcdef" for key in state["runs"]}
    cursor.write_text(json.dumps(state))
    other = "x" + unique[1:]  # as long, so that the cursor is of this journal
    altered = journal_path.read_bytes().replace(unique.encode(), other.encode())
    journal_path.write_bytes(resealed(altered.splitlines(keepends=True)))
    with Outbox(journal_path, rest.uri) as outbox:
        assert outbox.flush(60) == 0
    check_sweep(rest, other, trials=1)


def test_an_experiment_in_the_bin_is_brought_back(rest: Rest, journal_path: Path, unique: str) -> None:
    client = connect(rest.uri)
    client.delete_experiment(client.create_experiment(unique))
    write_sweep(journal_path, unique, trials=1, steps=2)
    ship(journal_path, rest.uri)
    check_sweep(rest, unique, trials=1, steps=2)


def test_the_address_may_come_later(rest: Rest, journal_path: Path, unique: str) -> None:
    calls: list[int] = []

    def address() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise WorkError("the server is not up yet")
        return rest.uri

    write_sweep(journal_path, unique, trials=1, steps=2)
    with Outbox(journal_path, address) as outbox:
        wait_until(lambda: outbox.last_error == "the server is not up yet")
        assert outbox.flush(30) == 0
    check_sweep(rest, unique, trials=1, steps=2)


def test_one_journal_has_one_outbox(rest: Rest, journal_path: Path) -> None:
    with Outbox(journal_path, rest.uri), pytest.raises(RequestError, match="in use by process"):
        Outbox(journal_path, rest.uri).start()


def test_a_cursor_of_another_journal_is_not_believed(rest: Rest, journal_path: Path, unique: str) -> None:
    write_sweep(journal_path, unique)
    ship(journal_path, rest.uri)
    journal_path.unlink()
    write_sweep(journal_path, unique + "b", trials=1, steps=2)
    ship(journal_path, rest.uri)
    check_sweep(rest, unique + "b", trials=1, steps=2)


@pytest.mark.timeout(120)
def test_ten_thousand_points_ship_at_a_thousand_a_second(rest: Rest, journal_path: Path, unique: str) -> None:
    keys = [f"{unique}/trial-{number:04d}" for number in range(10)]
    with Journal(journal_path) as journal:
        write(journal, *(run(key, None, unique, 0) for key in keys))
        with Outbox(journal_path, rest.uri) as outbox:
            assert outbox.flush(30) == 0
            rates = []
            for half in range(2):  # the better of two: the machine may be busy
                for step in range(500):
                    for key in keys:
                        metrics = {"val/loss": 1 / (1 + step)}
                        point = records.Points(key, step=step + 500 * half, metrics=metrics, timestamp=START + step)
                        write(journal, point)
                started = time.monotonic()
                assert outbox.flush(60) == 0
                rates.append(5000 / (time.monotonic() - started))
    assert len(rest.history(rest.runs(unique)[keys[0]][0], "val/loss")) == 1000
    assert max(rates) > 1000, rates
