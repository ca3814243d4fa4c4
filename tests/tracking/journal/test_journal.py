"""The journal: atomic groups, exact values, one owner, and every way a tail can be torn."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oplstm.errors import RequestError, WorkError
from tests.conftest import ROOT
from tracking.journal import opening
from tracking.journal.file_lock import is_locked
from tracking.journal.format import header
from tracking.journal.journal import Journal

OWNER = """
import sys, time
from pathlib import Path
from tracking.journal.journal import Journal
journal = Journal(Path(sys.argv[1]))
number = 0
while True:
    journal.append([{"n": number, "part": part, "pad": "x" * 200} for part in range(5)])
    number += 1
    if number == 3:
        print("writing", flush=True)
"""


def read(path: Path) -> list[dict]:
    return list(Journal.read(path))


def test_records_come_back_exactly_and_in_order(journal_path: Path) -> None:
    values = [0.1, 1 / 3, 1e-308, 123456789.123456789, -0.0]
    with Journal(journal_path) as journal:
        journal.append([{"kind": "a", "values": values}, {"kind": "b", "text": "é\n\u2028", "time": 7.5}])
        journal.append([])
        journal.append([{"kind": "c"}])
    first, second, third = read(journal_path)
    assert [value.hex() for value in first["values"]] == [value.hex() for value in values]
    assert abs(first["time"] - time.time()) < 60
    assert second == {"kind": "b", "text": "é\n\u2028", "time": 7.5}
    assert third["kind"] == "c"


def test_reopening_goes_on_at_the_end(journal_path: Path) -> None:
    for number in range(3):
        with Journal(journal_path) as journal:
            journal.append([{"n": number}])
    assert [record["n"] for record in read(journal_path)] == [0, 1, 2]
    assert journal_path.read_bytes().count(b"oplstm-journal") == 1


@pytest.mark.slow
def test_a_group_torn_anywhere_is_dropped_whole(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
        whole = journal_path.read_bytes()
        journal.append([{"n": 1}, {"n": 2}])
    full = journal_path.read_bytes()
    for size in range(len(full)):
        journal_path.write_bytes(full[:size])
        kept = [0] if size >= len(whole) else []
        assert [record["n"] for record in read(journal_path)] == kept
        with Journal(journal_path) as journal:
            journal.append([{"n": 9}])
        assert [record["n"] for record in read(journal_path)] == [*kept, 9], f"torn at byte {size}"


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\0" * 200 + b"\n", b'[{"n":1}\n\0\0\n'])
def test_blocks_that_a_power_cut_left_empty_are_dropped(journal_path: Path, garbage: bytes) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
    with journal_path.open("ab") as file:
        file.write(garbage)
    with Journal(journal_path) as journal:
        journal.append([{"n": 1}])
    assert [record["n"] for record in read(journal_path)] == [0, 1]


def test_a_last_line_longer_than_a_block_is_kept(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
        journal.append([{"n": 1, "pad": "x" * 300_000}])
    with Journal(journal_path):
        pass
    assert [record["n"] for record in read(journal_path)] == [0, 1]


def test_damage_before_the_end_is_reported_with_its_line(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        for number in range(3):
            journal.append([{"n": number}])
    lines = journal_path.read_bytes().splitlines(keepends=True)
    for damage in (lines[2][:5] + b"\n", b'{"n":1}\n', b"[1]\n", b"7\n"):
        journal_path.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
        for look in (read, Journal):
            with pytest.raises(WorkError, match=r"journal\.jsonl, line 3: .*; restore the file from a copy"):
                look(journal_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused_and_nothing_is_written(journal_path: Path, value: float) -> None:
    with Journal(journal_path) as journal, pytest.raises(ValueError, match="not JSON compliant"):
        journal.append([{"n": 1}, {"n": value}])
    assert read(journal_path) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": "oplstm-journal", "version": 5}\n', "version 5, this oplstm reads versions 1 to 4"),
        ('{"format": "oplstm-journal", "version": "1"}\n', "version 1, "),
        ('{"format": "oplstm-journal"}\n', "version None"),
        ('{"format": "something"}\n', "line 1: it is not the header of a journal"),
        ("hello", "line 1: it is not the header of a journal"),
    ],
)
def test_another_file_is_refused_and_left_alone(journal_path: Path, content: str, said: str) -> None:
    journal_path.write_text(content)
    with pytest.raises(RequestError, match=said):
        Journal(journal_path)
    assert journal_path.read_text() == content
    assert not is_locked(journal_path)
    if content.endswith("\n"):
        with pytest.raises(RequestError, match=said):
            read(journal_path)


def test_version_1_files_are_read() -> None:
    kinds = [record["kind"] for record in Journal.read(Path(__file__).parent / "journal_v1.jsonl")]
    assert kinds == ["sweep", "track", "track"]


def test_version_2_files_are_read_and_hold_the_same() -> None:
    old, newer = (list(Journal.read(Path(__file__).parent / f"journal_v{version}.jsonl")) for version in (1, 2))
    assert newer == old


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_file_is_brought_to_version_4_when_it_is_written(journal_path: Path, version: int) -> None:
    old = (Path(__file__).parent / f"journal_v{version}.jsonl").read_bytes()
    journal_path.write_bytes(old + b'[{"torn')
    known = list(Journal.read(journal_path))
    assert journal_path.read_bytes().startswith(old), "reading changes nothing"
    with Journal(journal_path) as journal:
        head, rest = journal_path.read_bytes().split(b"\n", 1)
        assert head == b'{"format": "oplstm-journal", "version": 4}'
        assert rest.startswith(old.split(b"\n", 1)[1] + b'[{"kind":"journal","version":3},"')
        assert read(journal_path) == known
        journal.append([{"n": 0}])
    assert read(journal_path)[:-1] == known and read(journal_path)[-1]["n"] == 0
    before = journal_path.read_bytes()
    with Journal(journal_path):
        pass
    assert journal_path.read_bytes() == before


def test_a_file_of_version_3_is_brought_to_version_4_and_its_checksums_hold(journal_path: Path) -> None:
    """An oplstm that knows no version 4 refuses it from then on, before it meets an event that it does not know."""
    old = (Path(__file__).parent / "journal_v3.jsonl").read_bytes()
    journal_path.write_bytes(old)
    assert [record["n"] for record in read(journal_path)] == [0, 1, 2]
    assert journal_path.read_bytes() == old, "reading changes nothing"
    with Journal(journal_path) as journal:
        journal.append([{"n": 3}])
    text = journal_path.read_bytes()
    assert text.startswith(old.replace(b'"version": 3', b'"version": 4')) and old.count(b'"version": 3') == 1
    assert [record["n"] for record in read(journal_path)] == [0, 1, 2, 3]
    journal_path.write_bytes(text.replace(b'"n":1', b'"n":7'))
    with pytest.raises(WorkError, match="line 2: its checksum is"):
        read(journal_path)


def test_the_new_header_is_on_the_disk_before_anything_is_written(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_path.write_bytes((Path(__file__).parent / "journal_v1.jsonl").read_bytes())
    done: list[str] = []
    for name in ("pwrite", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(opening.os, name, lambda *a, name=name, real=real: (done.append(name), real(*a))[1])
    with Journal(journal_path):
        assert done[1:] == ["pwrite", "fsync", "fsync"], "the lock's owner, the header, the mark"


def test_a_header_of_version_1_that_is_torn_is_begun_anew(journal_path: Path) -> None:
    journal_path.write_text('{"format": "oplstm-journal", "version": 1}')
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
    assert journal_path.read_bytes().startswith(header())
    assert [record["n"] for record in read(journal_path)] == [0]


def test_every_group_comes_with_the_number_of_its_line(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        for number in range(3):
            journal.append([{"n": number}] * (number + 1))
    lines = list(Journal.lines(journal_path))
    assert [(line.number, len(line.records)) for line in lines] == [(2, 1), (3, 2), (4, 3)]
    assert [record["n"] for line in lines for record in line.records] == [0, 1, 1, 2, 2, 2]


@pytest.mark.slow
def test_a_second_owner_is_told_who_the_first_is(journal_path: Path) -> None:
    with Journal(journal_path):
        assert is_locked(journal_path)
        with pytest.raises(RequestError) as caught:
            Journal(journal_path)
        assert len(caught.value.problems) == 1
        assert str(journal_path) in str(caught.value) and str(os.getpid()) in str(caught.value)
    assert not is_locked(journal_path)


@pytest.mark.parametrize("delay", [0.0, 0.002, 0.005, 0.009])
def test_kill_9_frees_the_journal_and_leaves_whole_groups(journal_path: Path, delay: float) -> None:
    command = [sys.executable, "-c", OWNER, str(journal_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        assert is_locked(journal_path)
        time.sleep(delay)
        owner.send_signal(signal.SIGKILL)
    assert not is_locked(journal_path)
    with Journal(journal_path) as journal:
        journal.append([{"n": -1, "part": 0}])
    *written, last = read(journal_path)
    assert [(record["n"], record["part"]) for record in written] == [
        (number, part) for number in range(len(written) // 5) for part in range(5)
    ]
    assert last["n"] == -1


def test_threads_do_not_mix_their_groups(journal_path: Path) -> None:
    with Journal(journal_path) as journal:

        def write(name: int) -> None:
            for number in range(100):
                journal.append([{"name": name, "n": number}, {"name": name, "n": number}])

        threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    records = read(journal_path)
    assert len(records) == 800
    assert all(records[i]["name"] == records[i + 1]["name"] for i in range(0, 800, 2))


@pytest.mark.slow
def test_appends_are_synced_within_a_second_and_not_one_by_one(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(journal_path) as journal:
        synced: list[float] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda fd: (real(fd), synced.append(time.monotonic()))[0])
        started = time.monotonic()
        for number in range(500):
            journal.append([{"n": number}])
        while not synced and time.monotonic() < started + 3:
            time.sleep(0.01)
        assert len(synced) == 1 and synced[0] - started < 1.0


def test_a_write_that_fails_half_way_leaves_no_trace(journal_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
        before = journal_path.read_bytes()
        real = os.write
        calls: list[int] = []

        def half(fd: int, data: bytes) -> int:
            calls.append(len(data))
            if len(calls) > 1:
                raise OSError(28, "No space left on device")
            return real(fd, data[: len(data) // 2])

        monkeypatch.setattr(os, "write", half)
        with pytest.raises(WorkError, match=r"No space left on device.*space"):
            journal.append([{"n": 1}])
        monkeypatch.undo()
        assert journal_path.read_bytes() == before
        journal.append([{"n": 2}])
    assert [record["n"] for record in read(journal_path)] == [0, 2]


def test_half_a_group_that_cannot_be_taken_back_is_the_last(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}])
        real = os.write
        monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
        monkeypatch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        with pytest.raises(WorkError):
            journal.append([{"n": 1}])
        monkeypatch.undo()
        with pytest.raises(WorkError, match="Input/output error"):
            journal.append([{"n": 2}])
    with Journal(journal_path) as journal:
        journal.append([{"n": 3}])
    assert [record["n"] for record in read(journal_path)] == [0, 3]


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "sync", "append"])
def test_a_sync_in_the_background_that_failed_is_not_forgotten(
    journal_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The kernel reports a failed write once: the syncs that follow succeed, and the data is not on the disk."""
    journal = Journal(journal_path)
    failed = threading.Event()

    def fail(descriptor: int) -> None:
        failed.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    journal.append([{"n": 0}])
    assert failed.wait(5)
    journal._syncer.join(5)
    monkeypatch.undo()
    does = {"close": journal.close, "sync": journal.sync, "append": lambda: journal.append([{"n": 1}])}
    with pytest.raises(WorkError, match=r"Input/output error.*may be lost"):
        does[end]()
    if end != "close":
        with pytest.raises(WorkError, match=r"Input/output error.*may be lost"):
            journal.close()
    assert not is_locked(journal_path)


def test_a_sync_that_failed_fails_again(journal_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(journal_path)
    journal.append([{"n": 0}])
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    with pytest.raises(WorkError, match="Input/output error"):
        journal.sync()
    monkeypatch.undo()
    for again in (journal.sync, journal.close):
        with pytest.raises(WorkError, match="Input/output error"):
            again()


def test_a_place_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="cannot write") as caught:
        Journal(tmp_path / "file" / "journal.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("moment", ["before a group counts as synced", "during its sync, beside another"])
def test_closed_at_any_moment_it_ends(moment: str, journal_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That it closes must not count as a group that has been synced meanwhile: nobody would wake its thread again."""
    monkeypatch.setattr("tracking.journal.journal._SYNC_SECONDS", 0.01)
    journal, told = Journal(journal_path), threading.Event()
    closer = threading.Thread(target=journal.close, daemon=True)
    set_dirty, clear, fsync = journal._dirty.set, journal._dirty.clear, journal._fsync

    def set_and_tell() -> None:
        set_dirty()
        if journal._closing.is_set():
            told.set()

    def closed_meanwhile(then: Callable[[], None]) -> None:
        if closer.ident is None:
            closer.start()
            assert told.wait(5)
            if then is fsync:
                journal.sync()
        then()

    monkeypatch.setattr(journal._dirty, "set", set_and_tell)
    if moment.startswith("before"):
        monkeypatch.setattr(journal._dirty, "clear", lambda: closed_meanwhile(clear))
    else:
        monkeypatch.setattr(journal, "_fsync", lambda: closed_meanwhile(fsync))
    journal.append([{"n": 0}])
    assert told.wait(5)
    closer.join(5)
    assert not closer.is_alive() and not is_locked(journal_path)
    assert read(journal_path)[0]["n"] == 0


def test_nothing_is_written_after_closing(journal_path: Path) -> None:
    journal = Journal(journal_path)
    journal.close()
    journal.close()
    with pytest.raises(ValueError, match="is closed"):
        journal.append([{"n": 0}])
    assert read(journal_path) == []


def test_a_full_disk_is_said_in_one_line_and_mended_by_space(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here: " + mounted.stderr.decode().strip())
    try:
        path = disk / "journal.jsonl"
        (disk / "ballast").write_bytes(b"x" * 40_000)
        with Journal(path) as journal:
            written: list[int] = []

            def fill() -> None:
                while True:
                    journal.append([{"n": len(written), "pad": "x" * 1000}])
                    written.append(len(written))

            with pytest.raises(WorkError) as caught:
                fill()
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)
            assert [record["n"] for record in read(path)] == written
            (disk / "ballast").unlink()
            journal.append([{"n": len(written)}])
        assert [record["n"] for record in read(path)] == [*written, len(written)]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


def test_the_file_is_json_lines(journal_path: Path) -> None:
    with Journal(journal_path) as journal:
        journal.append([{"n": 0}, {"n": 1}])
    head, group = map(json.loads, journal_path.read_text().splitlines())
    assert head == {"format": "oplstm-journal", "version": 4, "checksum": "crc32"}
    *records, checksum = group
    assert [record["n"] for record in records] == [0, 1]
    assert len(checksum) == 8 and int(checksum, 16) < 2**32
