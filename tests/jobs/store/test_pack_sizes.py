"""What was measured about packs is remembered, whatever becomes of the file."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.operations.doctor import examine
from jobs.store.home import Home
from jobs.store.pack_sizes import PackSizes

WRITTEN_BY_VERSION_1 = '{"version": 1, "sizes": {"a cpu, 1 threads, 0123": {"size": 32, "limit": 256}}}'


def test_a_file_of_version_1_is_read(tmp_path):
    path = tmp_path / "pack-sizes.json"
    path.write_text(WRITTEN_BY_VERSION_1)
    assert PackSizes(path).find("a cpu, 1 threads, 0123", 256, updates=100) == 32
    assert PackSizes(path).find("another", 256, updates=100) is None


BROKEN = ["", "{", "[]", '{"sizes": {}}', '{"version": 0, "sizes": {}}', '{"version": 1, "sizes": []}',
          '{"version": 1, "sizes": {"a": 3}}', '{"version": 1, "sizes": {"a": {"size": 0, "limit": 3}}}',
          '{"version": 1, "sizes": {"a": {"size": 1}}}', "\udcff"]  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_or_foreign_file_counts_as_empty_and_is_written_anew(text, tmp_path):
    path = tmp_path / "pack-sizes.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    sizes = PackSizes(path)
    assert sizes.find("a", 1, updates=100) is None
    sizes.remember("a", 8, 256)
    assert sizes.find("a", 256, updates=100) == 8
    assert json.loads(path.read_text()) == {"version": 2, "sizes": {"a": {"size": 8, "limit": 256}}}


def test_a_file_of_a_later_version_is_left_alone_and_named_by_doctor(oplstm_home):
    path, text = oplstm_home / "pack-sizes.json", '{"version": 3, "sizes": {"a": {"size": 32, "limit": 256}}}'
    path.write_text(text)
    PackSizes(path).remember("a", 8, 256)
    assert PackSizes(path).find("a", 256, updates=100) is None
    assert path.read_text() == text
    [home] = [check for check in examine(Home()) if check.check == "home"]
    assert not home.ok
    assert home.found.startswith(f"{path} has format version 3, this oplstm reads 2, and measures anew: ")


def test_a_size_that_stopped_at_the_number_of_runs_says_nothing_about_more(tmp_path):
    sizes = PackSizes(tmp_path / "pack-sizes.json")
    sizes.remember("a", 4, 3)
    assert [sizes.find("a", limit, updates=100) for limit in (1, 3, 4)] == [4, 4, None]
    sizes.remember("a", 4, 8)
    assert sizes.find("a", 256, updates=100) == 4


def test_a_home_that_cannot_be_written_costs_another_measurement_only(tmp_path):
    (tmp_path / "file").write_text("")
    PackSizes(tmp_path / "file" / "pack-sizes.json").remember("a", 8, 256)
    assert PackSizes(tmp_path / "file" / "pack-sizes.json").find("a", 256, updates=100) is None


def remember_many(path: Path, writer: int) -> None:
    for number in range(20):
        PackSizes(path).remember(f"{writer}-{number}", 1 + number, 256)


def test_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "pack-sizes.json"
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(remember_many, [path] * 3, range(3)))
    assert len(json.loads(path.read_text())["sizes"]) == 60
    assert [file.name for file in tmp_path.iterdir() if file.suffix not in (".json", ".lock")] == []
