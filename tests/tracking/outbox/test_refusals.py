"""The file of what was refused: durable, of both versions, and readable whatever a crash left of it."""

import json
import os
from pathlib import Path

import pytest

from tracking.outbox.refusals import Refusal, RefusedFile

OLD = [
    {"time": 5.5, "reason": "too long", "record": {"kind": "track", "op": "points", "key": "a", "step": 1}},
    {"time": 6.5, "reason": "bad name", "record": {"key": "a", "metric": "x", "value": 1.0, "step": 2}},
    {"time": 7.5, "reason": "run was deleted", "record": {"key": "b", "count": 300}},
]
"""As version 0.1.0 wrote them."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl.refused"


def test_what_is_saved_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RefusedFile(path)
    assert file.read() == []
    file.save()
    assert not path.exists()
    one, two = Refusal("a", "points", "é\nno", time=1.5), Refusal("b", "values", "gone", count=7, time=2.5)
    file.add(one)
    assert file.read() == []
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    file.save()
    assert len(synced) == 2, "the file and its folder"
    file.save()
    file.add(two)
    file.save()
    assert len(synced) == 3
    assert RefusedFile(path).read() == [one, two]
    assert [json.loads(line)["version"] for line in path.read_text().splitlines() if line] == [2, 2]
    file.add(one)
    file.discard()
    file.save()
    assert file.read() == [one, two]
    file.clear()
    assert file.read() == []


def test_those_alike_are_one(path: Path) -> None:
    file = RefusedFile(path)
    for number in range(3):
        file.add(Refusal("a", "values", "gone", count=10 + number, time=float(number)))
        file.add(Refusal("a", "points", "gone", time=float(number)))
        file.save()
    assert file.read() == [Refusal("a", "values", "gone", count=33, time=2.0), Refusal("a", "points", "gone", 3, 2.0)]


def test_the_old_form_and_what_a_crash_left_are_read(path: Path) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in OLD) + '{"version": 2, "key": "c", "rea')
    file = RefusedFile(path)
    new = Refusal("d", "artifact", "not there", time=9.5)
    file.add(new)
    file.save()
    with path.open("a") as later:
        later.write('[]\n7\n{"version": 2}\n{"time": "x", "reason": "", "record": {}}\n')
    assert file.read() == [
        Refusal("a", "points", "too long", time=5.5),
        Refusal("a", "", "bad name", time=6.5),
        Refusal("b", "", "run was deleted", count=300, time=7.5),
        new,
    ]
