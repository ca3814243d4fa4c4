"""Counting without reading: as many track records as there are, whatever is written in them."""

from pathlib import Path

import pytest

from tests.tracking.sweep_records import write
from tracking.journal import tail as journal_tail
from tracking.journal.journal import Journal
from tracking.journal.tail import JournalTail
from tracking.outbox import records


@pytest.mark.parametrize(("tags", "counted"), [({"note": '{"kind":"track"}'}, 6), ({"kind": "track"}, 9)])
def test_what_is_counted_is_what_is_read(journal_path: Path, tags: dict[str, str], counted: int) -> None:
    """A tag that reads like a track record is counted as one, but by both alike, so that nothing seems to wait."""
    tail = JournalTail(journal_path, 0, 0)
    assert tail.count() == 0
    assert tail.is_through(0)
    with Journal(journal_path) as journal:
        for step in range(3):
            told = {"kind": "sweep", "note": '"kind":"track"'}
            point = records.Points("run", step=step, metrics={"val/loss": 1.0}, timestamp=0.0)
            write(journal, told, point, records.Tags("run", tags))
    found, end, count = JournalTail(journal_path, 0, 0).read(0)
    assert [record["op"] for record in found] == ["points", "tags"] * 3
    assert tail.count() == count == counted
    assert end == journal_path.stat().st_size


def test_a_journal_that_was_read_when_it_had_a_header_alone_is_read_on(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        tail = JournalTail(journal_path, 0, 0)
        header = journal_path.stat().st_size
        assert tail.read(0) == ([], header, 0)
        write(journal, records.Tags("run", {"note": "first"}))
        write(journal, records.Tags("run", {"note": "second"}))
        found, end, _ = tail.read(header)
        assert [record["tags"] for record in found] == [{"note": "first"}, {"note": "second"}]
        assert end == journal_path.stat().st_size


def test_much_that_is_left_does_not_wait(journal_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(journal_path) as journal:
        write(journal, records.Tags("run", {"note": "x" * 4000}))
    tail = JournalTail(journal_path, 0, 0)
    assert tail.is_through(0)
    monkeypatch.setattr(journal_tail, "_CHUNK", 8000)
    assert not tail.is_through(0)
    assert tail.is_through(journal_path.stat().st_size)
