"""The run of a key is created once; what a slow server makes beside it, whoever gave up waiting, is removed."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tracking.sweep_records import run
from tracking.outbox import keyed_runs
from tracking.outbox.cursor import Cursor
from tracking.outbox.delivery import Delivery
from tracking.outbox.keyed_runs import KEY_TAG, KeyedRuns

KEY = "word/sweep"


class Killed(BaseException):
    """The process is no more; nothing of it catches this."""


class Server:
    """As much of one, and of its client, as runs need.

    Attributes:
        failure: What whoever creates a run gets instead of an answer.
        is_late: Whether creations are carried out only when `catch_up` is called.
    """

    tracking_uri = "http://server"

    def __init__(self) -> None:
        self.stored: list[Any] = []
        self.failure: BaseException | None = None
        self.is_late = False
        self._late: list[Any] = []

    def create_run(self, experiment_id: str, start_time: int, tags: dict[str, str], name: str) -> Any:
        number = len(self.stored) + len(self._late)
        info = SimpleNamespace(run_id=f"{9 - number}", lifecycle_stage="active", experiment_id=experiment_id)
        made = SimpleNamespace(info=info, tags=tags, data=SimpleNamespace(metrics={}, params={}))
        (self._late if self.is_late else self.stored).append(made)
        if self.failure is not None:
            raise self.failure
        return made

    def catch_up(self) -> None:
        self.stored += self._late
        self._late.clear()

    def search_runs(self, experiments: list[str], wanted: str, **_: Any) -> list[Any]:
        return [run for run in self.stored if f"'{run.tags[KEY_TAG]}'" in wanted]

    def get_run(self, run_id: str) -> Any:
        return next(run for run in self.stored if run.info.run_id == run_id)

    def delete_run(self, run_id: str) -> None:
        self.get_run(run_id).info.lifecycle_stage = "deleted"

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def active(self) -> list[str]:
        return [run.info.run_id for run in self.stored if run.info.lifecycle_stage == "active"]


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(at=1000.0)
    monkeypatch.setattr(keyed_runs, "time", SimpleNamespace(time=lambda: now.at))
    return now


def process(server: Server, path: Path) -> tuple[KeyedRuns, Cursor]:
    """What a new process makes of the cursor on the disk."""
    cursor = Cursor.load(path)
    return KeyedRuns(server, cursor, lambda: cursor.save(path)), cursor  # type: ignore[arg-type]


@pytest.mark.parametrize("failure", [Killed(), ConnectionError("no answer in time")])
def test_a_creation_that_is_carried_out_after_it_was_given_up_leaves_one_run(
    failure: BaseException, server: Server, tmp_path: Path, clock: SimpleNamespace
) -> None:
    server.is_late, server.failure = True, failure
    runs, _ = process(server, tmp_path / "cursor")
    with pytest.raises(type(failure)):
        runs.ensure(run(KEY, None, "e", 0))
    server.is_late, server.failure = False, None
    runs, cursor = process(server, tmp_path / "cursor")
    runs.ensure(run(KEY, None, "e", 0))
    in_use = cursor.runs[KEY]
    runs.look_for_twins()
    server.catch_up()
    assert len(server.active()) == 2
    runs, cursor = process(server, tmp_path / "cursor")
    runs.look_for_twins()
    assert (server.active(), cursor.doubtful) == ([in_use], {KEY: 1120.0})
    clock.at += 121
    runs.look_for_twins()
    assert Cursor.load(tmp_path / "cursor").doubtful == {}


def test_a_creation_that_is_answered_leaves_no_doubt(server: Server, tmp_path: Path) -> None:
    runs, cursor = process(server, tmp_path / "cursor")
    runs.ensure(run(KEY, None, "e", 0))
    assert (Cursor.load(tmp_path / "cursor").runs, cursor.doubtful) == ({KEY: server.active()[0]}, {})


def test_of_two_runs_that_which_holds_something_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    """The cursor is lost, and the ids say nothing about which came first."""
    for _ in range(3):
        server.create_run("1", 0, {KEY_TAG: KEY}, "run")
    server.stored[1].data.params["lr"] = "0.1"
    runs, cursor = process(server, tmp_path / "cursor")
    runs.ensure(run(KEY, None, "e", 0))
    assert cursor.runs == {KEY: server.stored[1].info.run_id}
    runs.look_for_twins()
    assert server.active() == [server.stored[1].info.run_id]


def test_a_run_that_holds_something_is_no_twin(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        server.create_run("1", 0, {KEY_TAG: KEY}, "run").data.metrics["val/loss"] = 1.0
    runs, _ = process(server, tmp_path / "cursor")
    runs.ensure(run(KEY, None, "e", 0))
    runs.look_for_twins()
    assert len(server.active()) == 2


def test_who_waits_until_all_is_shipped_waits_for_the_look(
    server: Server, journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `doctor` does, which then ends."""
    Cursor(runs={KEY: "1"}, doubtful={KEY: 0.0}).save(journal_path.with_name("journal.jsonl.shipped"))
    monkeypatch.setattr("tracking.outbox.delivery.connect", lambda uri: server)
    monkeypatch.setattr("tracking.outbox.delivery.deleted_keys", lambda client, runs: [])
    delivery = Delivery(journal_path, server.tracking_uri, threading.Event())
    with monkeypatch.context() as patch:
        patch.setattr(KeyedRuns, "look_for_twins", lambda self: server.get_run("?"))
        with pytest.raises(StopIteration):
            delivery.ship_some()
    assert not delivery.is_connected
    server.create_run("1", 0, {KEY_TAG: KEY}, "run").info.run_id = "1"
    delivery.ship_some()
    assert delivery.is_connected
