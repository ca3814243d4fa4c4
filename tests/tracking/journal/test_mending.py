"""One bit that flipped is put back wherever it was, and nothing else is ever made of a damaged journal."""

import random
from pathlib import Path

import pytest

from oplstm.errors import RequestError, WorkError
from tests.tracking.journal.test_checksums import OLD, small
from tracking.journal.journal import Journal
from tracking.journal.mending import mend, torn_end


@pytest.fixture(autouse=True)
def no_disk(no_waiting_for_the_disk: None) -> None:
    """Nothing here is about the disk."""


def flip(text: bytes, *bits: int) -> bytes:
    flipped = bytearray(text)
    for bit in bits:
        flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


@pytest.mark.parametrize("old", [b"", OLD[2]], ids=["new", "from 2"])
@pytest.mark.parametrize("step", [pytest.param(7, marks=pytest.mark.slow), 197])
def test_a_bit_in_a_line_with_a_checksum_is_put_back(journal_path: Path, old: bytes, step: int) -> None:
    whole = small(journal_path, old)
    first = len(old) or whole.index(b"\n") + 1
    for bit in range(8 * first, 8 * len(whole), step):
        journal_path.write_bytes(flip(whole, bit))
        [done] = mend(journal_path)
        assert journal_path.read_bytes() == whole, f"bit {bit}"
        assert done.startswith(f"{journal_path}, line ") and " again" in done
    assert mend(journal_path) == []


@pytest.mark.parametrize("letter", [b"J", b"*", b"\n"])
def test_a_line_that_fell_in_two_and_two_that_became_one_are_mended(journal_path: Path, letter: bytes) -> None:
    whole = small(journal_path)
    place = whole.index(letter, whole.index(b"\n") + 1)
    bit = 8 * place + (letter[0] ^ (0x0A if letter != b"\n" else ord("J"))).bit_length() - 1
    damaged = flip(whole, bit)
    assert damaged.count(b"\n") != whole.count(b"\n")
    journal_path.write_bytes(damaged)
    [done] = mend(journal_path)
    assert "line 2: " in done
    assert journal_path.read_bytes() == whole


@pytest.mark.parametrize("lines", [2, 9])
@pytest.mark.parametrize("old", [b"", OLD[2]], ids=["new", "from 2"])
def test_what_stands_before_the_first_checksum_is_left_alone(journal_path: Path, old: bytes, lines: int) -> None:
    whole = b"".join(small(journal_path, old).splitlines(keepends=True)[: old.count(b"\n") + lines])
    for bit in range(0, 8 * (len(old) or whole.index(b"\n")), 85):
        damaged = flip(whole, bit)
        journal_path.write_bytes(damaged)
        try:
            assert mend(journal_path) == []
        except RequestError as error:
            assert str(journal_path) in str(error)  # noqa: PT017
        assert journal_path.read_bytes() == damaged


@pytest.mark.slow
def test_two_or_three_bits_of_a_line_are_never_taken_for_another(journal_path: Path) -> None:
    lines = small(journal_path).splitlines(keepends=True)
    start, chance = len(b"".join(lines[:2])), random.Random(0)
    for _ in range(40):
        bits = chance.sample(range(8 * start, 8 * (start + len(lines[2]) - 1)), chance.choice([2, 3]))
        damaged = flip(b"".join(lines), *bits)
        journal_path.write_bytes(damaged)
        assert mend(journal_path) == []
        assert journal_path.read_bytes() == damaged


def test_a_bit_in_each_of_two_lines_and_a_torn_end_are_all_mended(journal_path: Path) -> None:
    lines = small(journal_path).splitlines(keepends=True)
    damaged = [lines[0], flip(lines[1], 100), lines[2], flip(lines[3], 77)]
    journal_path.write_bytes(b"".join(damaged) + b"[{")
    with pytest.raises(WorkError, match="line 2: "):
        torn_end(journal_path)
    first, second, cut = mend(journal_path)
    assert ("line 2: " in first, "line 4: " in second, cut) == (
        True, True, f"{journal_path}, line 5: 2 bytes of a line that was not written whole: cut off",
    )  # fmt: skip
    assert journal_path.read_bytes() == b"".join(lines)
    assert torn_end(journal_path) is None


@pytest.mark.slow
def test_a_journal_that_is_held_is_left_alone(journal_path: Path) -> None:
    whole = small(journal_path)
    with Journal(journal_path):
        journal_path.write_bytes(flip(whole, 8 * len(whole) - 100))
        with pytest.raises(RequestError, match="is in use by process"):
            mend(journal_path)
