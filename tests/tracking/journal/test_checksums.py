"""Every bit of a journal is flipped, every line taken away: it is noticed with file and line, or changes nothing.

The unit tier flips every 61st bit, which comes by every bit of a byte; the long one all.
"""

import re
from collections import Counter
from pathlib import Path

import pytest

from oplstm.errors import RequestError, WorkError
from tests.tracking.sweep_records import run, write
from tracking.journal.checksums import LENGTH
from tracking.journal.journal import Journal
from tracking.journal.tail import JournalTail
from tracking.outbox import records

OLD = {version: (Path(__file__).parent / f"journal_v{version}.jsonl").read_bytes() for version in (1, 2)}
MARKED = re.compile(rb'\[\{"kind":"journal"')


@pytest.fixture(autouse=True)
def no_disk(no_waiting_for_the_disk: None) -> None:
    """Nothing here is about the disk."""


def small(path: Path, old: bytes = b"") -> bytes:
    """A journal that begins with ``old`` and in which a little has happened since."""
    path.write_bytes(old)
    if not old:
        path.unlink()
    with Journal(path) as journal:
        write(journal, {"kind": "sweep", "name": "J*", "time": 1.5}, run("s/t", None, "e", 1))
        write(journal, records.Points("s/t", step=10, metrics={"val/loss": 0.25}, timestamp=7.5))
        write(journal, records.Tags("s/t", {"note": "two words @ J"}))
    return path.read_bytes()


def told(path: Path) -> list[object]:
    """All that a journal says, to who replays it and to who ships it."""
    tail, shipped, offset = JournalTail(path, 0, 0), [], 0
    while True:
        found, end, _ = tail.read(offset)
        if end == offset:
            return [*Journal.read(path), *shipped]
        shipped, offset = [*shipped, *found], end


def looked_at(path: Path) -> tuple[list[object], str]:
    """What a journal says, and the error that ends it."""
    try:
        return told(path), ""
    except (RequestError, WorkError) as error:
        return [], str(error)


@pytest.mark.parametrize("old", [b"", OLD[1], OLD[2]], ids=["new", "from 1", "from 2"])
@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.long), 61])
def test_every_bit_that_flips_is_noticed_or_changes_nothing(journal_path: Path, old: bytes, step: int) -> None:
    whole = small(journal_path, old)
    known, outcomes, unnoticed = told(journal_path), Counter[str](), []
    for bit in range(0, 8 * len(whole), step):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        journal_path.write_bytes(flipped)
        line = 1 + whole[: bit // 8].count(b"\n")
        said, error = looked_at(journal_path)
        if error:
            place = re.match(rf"{journal_path}(, line (\d+): | is a journal of version )", error)
            mark = 1 + whole[: found.start()].count(b"\n") if (found := MARKED.search(whole)) else line
            assert place, f"bit {bit}: {error}"
            assert place[2] is None or int(place[2]) in {line, line + 1, max(line, mark)}, f"bit {bit}: {error}"
            outcomes["noticed"] += 1
            continue
        if said == known:
            outcomes["harmless"] += 1
        else:
            unnoticed.append(bit)
    print(f"{sum(outcomes.values()) + len(unnoticed)} flips: {dict(outcomes)}, {len(unnoticed)} unnoticed")
    assert unnoticed == []
    assert outcomes["harmless"] <= (0 if not old else 16), "only in what says that an old journal is one of today"


def test_a_flip_is_named_where_it_is_written_to_as_well(journal_path: Path) -> None:
    whole = small(journal_path)
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        journal_path.write_bytes(flipped)
        with pytest.raises((RequestError, WorkError), match=str(journal_path)):
            Journal(journal_path)
        assert journal_path.read_bytes() == flipped, "and it is left alone"


@pytest.mark.parametrize("old", [b"", OLD[2]], ids=["new", "from 2"])
def test_a_line_that_is_missing_doubled_or_moved_is_noticed(journal_path: Path, old: bytes) -> None:
    lines = small(journal_path, old).splitlines(keepends=True)
    for at in range(1, len(lines) - 1):
        for name, changed in {
            "missing": [*lines[:at], *lines[at + 1 :]],
            "doubled": [*lines[:at], lines[at], *lines[at:]],
            "moved": [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]],
        }.items():
            journal_path.write_bytes(b"".join(changed))
            with pytest.raises(WorkError, match=rf"{journal_path}, line \d+: "):
                pytest.fail(f"{name} {at}: {told(journal_path)}")


@pytest.mark.parametrize("old", [b"", OLD[1], OLD[2]], ids=["new", "from 1", "from 2"])
def test_a_checksum_that_was_taken_away_is_noticed(journal_path: Path, old: bytes) -> None:
    lines = small(journal_path, old).splitlines(keepends=True)
    first = max(1, len(old.splitlines()))
    bare = [line[:-LENGTH] + b"]\n" for line in lines[first:]]
    assert bare[0].startswith(b'[{"kind":"journal"') is bool(old)
    for changed in (
        *([*lines[: first + at], bare[at], *lines[first + at + 1 :]] for at in range(len(bare))),
        [*lines[:first], *bare],
        [*lines[:first], bare[0]],
    ):
        journal_path.write_bytes(b"".join(changed))
        with pytest.raises(WorkError, match=rf"{journal_path}, line \d+: it(s checksum|.* no checksum)"):
            pytest.fail(str(list(Journal.read(journal_path))))


@pytest.mark.slow
@pytest.mark.parametrize("old", [b"", OLD[1], OLD[2]], ids=["new", "from 1", "from 2"])
def test_the_last_line_cut_at_every_byte_is_dropped_and_nothing_else(journal_path: Path, old: bytes) -> None:
    whole = small(journal_path, old)
    *before, last = whole.splitlines(keepends=True)
    for kept in range(len(last)):
        for zeros in (0, 700):
            journal_path.write_bytes(b"".join(before) + last[:kept] + b"\0" * zeros)
            read = told(journal_path)
            with Journal(journal_path):
                assert journal_path.read_bytes() == b"".join(before), f"cut at byte {kept}"
            assert told(journal_path) == read


@pytest.mark.parametrize("version", [1, 2])
def test_who_follows_a_journal_that_begins_old_gets_every_record_once(journal_path: Path, version: int) -> None:
    journal_path.write_bytes(OLD[version])
    tail = JournalTail(journal_path, 0, 0)
    first, offset, count = tail.read(0)
    assert (len(first), offset, count) == (2, len(OLD[version]), 2)
    whole = small(journal_path, OLD[version])
    follower = JournalTail(journal_path, offset, count)
    assert follower.count() == 5
    more, end, _ = follower.read(offset)
    assert ([record["op"] for record in more], end) == (["create_run", "points", "tags"], len(whole))
    assert told(journal_path)[-5:] == [*first, *more]
    for begin in range(len(whole)):
        assert follower.begins_line(begin) is (begin == 0 or whole[begin - 1] == 10)
        if follower.begins_line(begin):
            follower.read(begin)


def test_what_is_damaged_is_not_shipped_and_what_stands_before_it_is(journal_path: Path) -> None:
    whole = small(journal_path)
    journal_path.write_bytes(whole.replace(b'"val/loss":0.25', b'"val/loss":0.24'))
    tail = JournalTail(journal_path, 0, 0)
    found, offset, _ = tail.read(0)
    assert [record["op"] for record in found] == ["create_run"]
    with pytest.raises(WorkError, match=rf"{journal_path}, line 3: its checksum is \w+ and should be \w+"):
        tail.read(offset)
