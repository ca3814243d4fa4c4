"""Whatever befalls the way to MLflow (outages, lost answers, kills, lost servers), all is there once and in order.

Hypothesis makes up histories, and shortens one that fails to the steps that it takes.
"""

import contextlib
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.tracking.sweep_records import START, run, write
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.cursor import ship_again
from tracking.outbox.delivery import Delivery
from tracking.outbox.entities import Entity
from tracking.outbox.keyed_runs import KEY_TAG

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

LATE = ("late", "late and killed")
TROUBLES = ("refused", "unanswered", "killed", *LATE)
SWEEP, TRIALS = "w/sweep", ("w/trial-0000", "w/trial-0001")


class Killed(BaseException):
    """The process is no more; nothing of it catches this."""


class Missing(Exception):
    """What MLflow says of a run that it does not know."""

    error_code = "RESOURCE_DOES_NOT_EXIST"


class Server:
    """As much of MLflow, and of its client, as the outbox needs; a row that it has already it takes and does not keep.

    Attributes:
        troubles: What becomes of the coming calls, each with the number of calls before it: "refused" is not carried
            out, "unanswered" is, "late" is when the server wakes up; with "killed" the caller's process ends meanwhile.
        at_creation: The same of the next call that creates a run.
        was_troubled: Whether one of these befell a call.
        sent: How often each value of a metric came, by the key of its run, and its step.
    """

    tracking_uri = "http://server"

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.created, self.troubles = 0, dict[int, str]()
        self.at_creation: str | None = None
        self.was_troubled, self.sent = False, Counter[tuple[str, int]]()
        self._late: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        call = getattr(type(self), f"_{name}", None)
        if call is None:
            raise AttributeError(name)
        return lambda *given, **named: self._carry_out(lambda: call(self, *given, **named), name)

    def _carry_out(self, work: Any, name: str) -> Any:
        trouble = self.troubles.pop(0, None)
        if name == "create_run" and self.at_creation is not None:
            trouble, self.at_creation = self.at_creation, None
        self.was_troubled |= trouble is not None
        self.troubles = {calls - 1: what for calls, what in self.troubles.items()}
        answer = work() if trouble in (None, "unanswered", "killed") else None
        if trouble in ("late", "late and killed"):
            self._late.append(work)
        if trouble in ("killed", "late and killed"):
            raise Killed
        if trouble is not None:
            raise ConnectionError("no answer in time")
        return answer

    def wake_up(self) -> None:
        """Carry out what came late."""
        while self._late:
            with contextlib.suppress(Missing):
                self._late.pop(0)()

    def _create_run(self, experiment: str, start: int, tags: dict[str, str], name: str) -> Any:
        self.created += 1
        info = SimpleNamespace(
            run_id=f"{self.created:032x}", lifecycle_stage="active", experiment_id=experiment, status="RUNNING"
        )
        made = SimpleNamespace(info=info, rows=[], tags=dict(tags), data=SimpleNamespace(metrics={}, params={}))
        self.runs[info.run_id] = made
        return made

    def _get_run(self, run_id: str) -> Any:
        if run_id not in self.runs:
            raise Missing(run_id)
        return self.runs[run_id]

    def _search_runs(self, experiments: list[str], wanted: str, run_view_type: int = 1, **_: Any) -> Any:
        found = [run for run in self.runs.values() if not wanted or f"'{run.tags[KEY_TAG]}'" in wanted]
        if run_view_type == DELETED_ONLY:
            found = [run for run in found if run.info.lifecycle_stage == "deleted"]
        return Page(found)

    def _delete_run(self, run_id: str) -> None:
        self._get_run(run_id).info.lifecycle_stage = "deleted"

    def _set_terminated(self, run_id: str, status: str, end: int) -> None:
        self._get_run(run_id).info.status = status

    def _update_run(self, run_id: str, status: str) -> None:
        self._get_run(run_id).info.status = status

    def _get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1", lifecycle_stage="active")

    def _log_batch(self, run_id: str, items: Sequence[Entity]) -> None:
        found = self._get_run(run_id)
        for item in items:
            if item.kind == "metric":
                row = (item.name, item.step, item.timestamp, item.value)
                self.sent[found.tags[KEY_TAG], item.step] += 1
                found.data.metrics[item.name] = item.value
                found.rows += [] if row in found.rows else [row]
            else:
                (found.data.params if item.kind == "param" else found.tags)[item.name] = item.value


DELETED_ONLY = 2


class Page(list[Any]):
    """Of runs, the last one."""

    token = None


class Histories(RuleBasedStateMachine):
    """A journal that grows, and processes one after the other that ship it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "journal.jsonl"
        self.server, self.now = Server(), 1000.0
        self.steps = dict.fromkeys(TRIALS, 0)
        self.sent_once_from = dict.fromkeys(TRIALS, 0)
        self.is_all_there = True
        self.ended, self.begun = set[str](), list[str]()
        self.patches = [
            mock.patch("tracking.outbox.delivery.connect", return_value=self.server),
            mock.patch("tracking.outbox.shipping.log_batch", lambda uri, *call: self.server.log_batch(*call)),
            mock.patch("tracking.outbox.keyed_runs.time", SimpleNamespace(time=lambda: self.now)),
            mock.patch("tracking.outbox.delivery.time", SimpleNamespace(monotonic=lambda: self.now)),
        ]
        for patch in self.patches:
            patch.start()
        self._write(run(SWEEP, None, "e", 0))
        self.start_anew()

    def _write(self, *group: records.Record) -> None:
        with Journal(self.path) as journal:
            write(journal, *group)

    @rule()
    def start_anew(self) -> None:
        """The process is killed between two calls, or is told to end, and another one ships."""
        self.delivery = Delivery(self.path, self.server.tracking_uri, threading.Event())
        self.delivery.begin()

    @rule()
    def ship_all_again(self) -> None:
        """As ``doctor --rebuild`` does."""
        ship_again(self.path)
        self.is_all_there = False  # what was sent is sent again
        self.start_anew()

    @precondition(lambda self: len(self.begun) < len(TRIALS))
    @rule()
    def begin_a_trial(self) -> None:
        self.begun.append(TRIALS[len(self.begun)])
        self._write(run(self.begun[-1], SWEEP, "e", len(self.begun)))

    @precondition(lambda self: set(self.begun) - self.ended)
    @rule(data=st.data(), points=st.integers(1, 3))
    def report_points(self, data: st.DataObject, points: int) -> None:
        key = data.draw(st.sampled_from(sorted(set(self.begun) - self.ended)), label="of")
        for _ in range(points):
            self._report(key)

    def _report(self, key: str) -> None:
        step = self.steps[key]
        self.steps[key] += 1
        self._write(records.Points(key, step=step, metrics={"val/loss": 1 / (1 + step)}, timestamp=START + step))

    @precondition(lambda self: set(self.begun) - self.ended)
    @rule(data=st.data())
    def end_a_trial(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(set(self.begun) - self.ended)), label="which")
        self.ended.add(key)
        self._write(records.Tags(key, {"state": "complete"}), records.EndRun(key, status="FINISHED", end_time=START))

    @rule(before=st.integers(0, 3), trouble=st.sampled_from(TROUBLES))
    def let_a_call_fail(self, before: int, trouble: str) -> None:
        self.server.troubles[before] = trouble

    @precondition(lambda self: len(self.begun) < len(TRIALS))
    @rule(trouble=st.sampled_from(LATE), all_again=st.booleans())
    def begin_a_trial_whose_run_comes_late(self, trouble: str, all_again: bool) -> None:
        """Its creation is asked for again; when the server wakes up, it makes a twin."""
        self.begin_a_trial()
        self.server.at_creation = trouble
        self.ship()
        self.ship()
        if all_again:
            self.ship_all_again()
            self.ship()

    @rule()
    def ship(self) -> None:
        self.now += 1  # a server that is late by two minutes is taken to have dropped the call
        try:
            self.delivery.ship_some()
        except Killed:
            self.start_anew()
        except Exception as error:
            self.delivery.fail(str(error))
        if self.server.was_troubled:  # what was underway may be sent again, what comes from now on may not
            self.sent_once_from, self.server.was_troubled = dict(self.steps), False

    @rule()
    def let_the_server_catch_up(self) -> None:
        self.server.wake_up()

    @rule()
    def empty_the_server(self) -> None:
        self.server.runs.clear()
        self.is_all_there = False

    @precondition(lambda self: self._of_use())
    @rule(data=st.data())
    def forget_a_run(self, data: st.DataObject) -> None:
        """More is said of it then, or only ``doctor``, which compares, would notice."""
        run_id = data.draw(st.sampled_from(self._of_use()), label="which")
        key = self.server.runs.pop(run_id).tags[KEY_TAG]
        self.is_all_there = False
        if key != SWEEP:
            self._report(key)

    def _of_use(self) -> list[str]:
        """Runs whose trial, or sweep, has not ended."""
        return sorted(run_id for run_id, run in self.server.runs.items() if run.tags[KEY_TAG] not in self.ended)

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            for patch in self.patches:
                patch.stop()
            shutil.rmtree(self.folder)

    def _end(self) -> None:
        """The server is well again, and somebody waits until all is shipped, twice: for what came late, too."""
        self.server.troubles.clear()
        self.server.at_creation = None
        self._write(records.EndRun(SWEEP, status="FINISHED", end_time=START))
        for _ in range(2):
            self.server.wake_up()
            self.start_anew()
            for _ in range(20):
                self.ship()
            assert self.delivery.last_error is None
            assert self.delivery.pending() == 0
        assert self.delivery.refused() == []
        active = [run for run in self.server.runs.values() if run.info.lifecycle_stage == "active"]
        assert sorted(run.tags[KEY_TAG] for run in active) == sorted([SWEEP, *self.begun]), "one run each"
        for found in active:
            key = found.tags[KEY_TAG]
            steps = range(self.steps.get(key, 0))
            wanted = [("val/loss", step, round((START + step) * 1000), 1 / (1 + step)) for step in steps]
            assert found.rows == wanted, f"{key}: each point once, in order"
            once = range(self.sent_once_from.get(key, 0), len(steps)) if self.is_all_there else ()
            assert [self.server.sent[key, step] for step in once] == [1] * len(once), f"{key}: each point sent once"
            over = key == SWEEP or key in self.ended
            assert (found.info.status, "state" in found.tags) == ("FINISHED" if over else "RUNNING", key in self.ended)


def test_however_a_history_goes_all_is_there_once_and_in_order_in_the_end() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=100, stateful_step_count=20, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
