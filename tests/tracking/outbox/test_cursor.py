"""The cursor: what it holds comes back, and what it cannot have held is not believed."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.sweep_records import write
from tracking.journal.journal import Journal
from tracking.outbox.cursor import Cursor
from tracking.outbox.delivery import Delivery
from tracking.outbox.records import Artifact, LearningCurve, Points

OLD: dict[str, Any] = {
    "version": 1,
    "offset": 1234,
    "records": 56,
    "runs": {"s1/trial-0000": "0123456789abcdef0123456789abcdef"},
    "doubtful": {"s1/trial-0001": 1764000000.5},
    "deferred": [
        {"kind": "track", "op": "artifact", "key": "s1/trial-0000", "path": "trials/trial-0000", "folder": "model",
         "time": 1764000001.5},
        {"kind": "track", "op": "learning_curve", "key": "s1/trial-0000", "points": [{"update": 1.0, "a": "nan"}],
         "metric": "val/loss", "title": "t"},
    ],
}  # fmt: skip
"""As version 0.1.0 wrote it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl.shipped"


def test_it_comes_back(path: Path) -> None:
    cursor = Cursor(7, 3, {"a": "f" * 32}, {"b": 1.5}, [Artifact("a", path="x", folder="")], ["a"])
    cursor.save(path)
    assert Cursor.load(path) == cursor
    assert json.loads(path.read_text())["version"] == 3


def test_every_bit_that_flips_means_to_ship_anew(path: Path) -> None:
    """A place that was another would have records passed over, or counted as waiting for ever."""
    Cursor(7, 3, {"a": "f" * 32}, {"b": 1.5}, [Artifact("a", path="x", folder="")], ["a"]).save(path)
    whole = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            for bit in range(8):
                os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                assert Cursor.load(path) == Cursor(), (place, bit)
            os.pwrite(file.fileno(), bytes([byte]), place)


def test_version_1_is_read(path: Path) -> None:
    path.write_text(json.dumps(OLD))
    cursor = Cursor.load(path)
    assert (cursor.offset, cursor.records, cursor.runs, cursor.deleted) == (1234, 56, OLD["runs"], [])
    assert cursor.doubtful == OLD["doubtful"]
    artifact, curve = cursor.deferred
    assert artifact == Artifact("s1/trial-0000", path="trials/trial-0000", folder="model")
    assert isinstance(curve, LearningCurve) and str(curve.points[0]["a"]) == "nan"


def test_version_2_is_read(path: Path) -> None:
    path.write_text(json.dumps(OLD | {"version": 2, "deleted": ["s1/trial-0002"]}))
    cursor = Cursor.load(path)
    assert (cursor.offset, cursor.runs, cursor.deleted) == (1234, OLD["runs"], ["s1/trial-0002"])


@pytest.mark.slow
def test_of_a_journal_that_was_here_before_it_is_not_believed(journal_path: Path) -> None:
    """As of a copy that was restored and went on: its lines end elsewhere."""
    with Journal(journal_path) as journal:
        for step in range(3):
            write(journal, Points("run", step=step, metrics={"val/loss": 1.0}, timestamp=0.0))
    text = journal_path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(text) if byte == 10]
    for offset in range(1, len(text) + 3):
        Cursor(offset=offset, records=sum(end <= offset for end in ends[1:])).save(
            journal_path.with_name("journal.jsonl.shipped")
        )
        delivery = Delivery(journal_path, "http://127.0.0.1:1", threading.Event())
        delivery.begin()
        assert delivery.pending() == (3 if offset not in ends else 3 - max(ends.index(offset), 0)), offset


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"version": 3},
        {"crc32": "00000000"},
        {"offset": -1},
        {"offset": "7"},
        {"records": None},
        {"runs": {"it's": "f" * 32}},
        {"runs": {"a": "f' OR 1"}},
        {"runs": {"a": 7}},
        {"runs": []},
        {"doubtful": {"a' OR 'b": 1.0}},
        {"doubtful": {"a": "soon"}},
        {"deferred": [{"kind": "track", "op": "artifact", "key": "a", "path": "/etc/hostname", "folder": ""}]},
        {"deferred": [{"kind": "track", "op": "artifact", "key": "a", "path": "../x", "folder": ""}]},
        {"deferred": [{"kind": "track", "op": "reopen_run", "key": "a"}]},
        {"deferred": [7]},
        {"deleted": ["it's"]},
    ],
)
def test_what_cannot_be_ours_means_to_ship_anew(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(OLD | change))
    assert Cursor.load(path) == Cursor()
