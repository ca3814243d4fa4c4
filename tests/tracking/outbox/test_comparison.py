"""What a journal told MLflow against what a real server holds: every way in which they can differ is one difference."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.conftest import Rest
from tests.tracking.sweep_records import START, write, write_sweep
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.comparison import Fault, differences, empty_running
from tracking.outbox.outbox import Outbox
from tracking.outbox.refusals import Refusal, RefusedFile
from tracking.server.client import connect

pytestmark = pytest.mark.integration


@pytest.fixture
def shipped(rest: Rest, journal_path: Path, unique: str) -> Path:
    """The journal of a sweep of two trials, all in MLflow."""
    write_sweep(journal_path, unique, trials=2, steps=4)
    ship(journal_path, rest)
    return journal_path


def ship(path: Path, rest: Rest) -> None:
    with Outbox(path, rest.uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error


@pytest.fixture
def found(rest: Rest, shipped: Path, unique: str) -> Callable[..., dict[str, Counter[Fault]]]:
    """The faults of each trial, or of the sweep."""

    def look(**options: Any) -> dict[str, Counter[Fault]]:
        there: dict[str, Counter[Fault]] = {}
        for one in differences(connect(rest.uri), shipped, experiment=unique, key=unique, **options):
            assert "\n" not in one.line and one.key in one.line
            there.setdefault(one.key.partition("/")[2], Counter())[one.fault] += 1
        return there

    return look


def test_differences(rest: Rest, shipped: Path, unique: str, found: Callable[..., dict[str, Counter[Fault]]]) -> None:
    assert found() == {}
    first, second = f"{unique}/trial-0000", f"{unique}/trial-0001"
    runs = {key: run["info"]["run_id"] for key, [run] in rest.runs(unique).items()}

    def point(key: str, step: int, *, value: float, at: float) -> None:
        rest.post(
            "runs/log-metric", run_id=runs[key], key="val/loss", value=value, timestamp=round(at * 1000), step=step
        )

    def create(key: str) -> str:
        made = rest.post(
            "runs/create", experiment_id=rest.experiment_id(unique), tags=[{"key": "oplstm.key", "value": key}]
        )
        return str(made["run"]["info"]["run_id"])

    # what waits is no fault, whether or not it has arrived
    with Journal(shipped) as journal:
        write(
            journal, records.ReopenRun(first), records.Points(first, step=9, metrics={"val/loss": 0.5}, timestamp=START)
        )
    assert found() == {}
    point(first, 9, value=0.5, at=START)
    rest.post("runs/update", run_id=runs[first], status="RUNNING")
    assert found() == {}

    point(first, 2, value=0.5, at=START + 50)
    assert found() == {"trial-0000": Counter({Fault.DOUBLED: 1})}
    point(first, 8, value=0.5, at=START)
    assert found() == {"trial-0000": Counter({Fault.DOUBLED: 1, Fault.AHEAD: 1})}

    twin = create(second)
    [empty] = empty_running(connect(rest.uri), shipped, experiment=unique, key=unique)
    assert (empty.key, empty.run_id, empty.fault) == (second, twin, Fault.TWIN)
    assert found(among={second}) == {"trial-0001": Counter({Fault.TWIN: 1})}
    rest.post("runs/log-parameter", run_id=twin, key="lr", value="0.1")
    assert found(among={second}) == {"trial-0001": Counter({Fault.SECOND: 1})}
    assert empty_running(connect(rest.uri), shipped, experiment=unique, key=unique) == []
    rest.post("runs/delete", run_id=twin)
    rest.post("runs/update", run_id=runs[second], status="RUNNING")
    assert found(among={second}) == {"trial-0001": Counter({Fault.STATUS: 1})}
    rest.post("runs/delete", run_id=runs[second])
    assert found(among={second}) == {"trial-0001": Counter({Fault.MISSING: 1})}
    rest.post("runs/restore", run_id=runs[second])
    create(f"{unique}/trial-0007")
    assert found(among={second})["trial-0007"] == Counter({Fault.AHEAD: 1})


def test_points_that_are_not_there(
    rest: Rest, shipped: Path, unique: str, found: Callable[..., dict[str, Counter[Fault]]]
) -> None:
    """Those that the server refused for good were named when they were."""
    key = f"{unique}/trial-0000"
    with Journal(shipped) as journal:
        write(journal, records.Points(key, step=9, metrics={"val/loss": 0.5, "late": 1.0}, timestamp=START))
    outbox = Outbox(shipped, "http://127.0.0.1:1")
    cursor = outbox._delivery._cursor
    cursor.offset, cursor.records = shipped.stat().st_size, cursor.records + 1
    cursor.save(shipped.with_name("journal.jsonl.shipped"))
    [run] = rest.runs(unique)[key]
    rest.post("runs/update", run_id=run["info"]["run_id"], status="RUNNING")
    assert found() == {"trial-0000": Counter({Fault.LOST: 2, Fault.STATUS: 1})}
    file = RefusedFile(shipped.with_name("journal.jsonl.refused"))
    file.add(Refusal(key, "values", "no"))
    file.save()
    assert found() == {}
    shipped.with_name("journal.jsonl.shipped").unlink()
    ship(shipped, rest)
    assert found() == {}
