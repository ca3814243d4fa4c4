"""What is written in one step appears whole, survives a power cut, and leaves no draft behind."""

import os
import stat

import pytest

from oplstm.durable import make_folder, new_folder, write_file


@pytest.fixture
def synced(monkeypatch):
    """What was brought to the disk, oldest first: the path of every descriptor that was synced."""
    paths = []
    fsync = os.fsync
    monkeypatch.setattr("os.fsync", lambda fd: (paths.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    return paths


def test_a_file_takes_the_place_of_another_and_its_name_is_on_the_disk_too(tmp_path, synced):
    path = tmp_path / "file.json"
    path.write_text("old")
    write_file(path, "neu: é")
    assert path.read_text(encoding="utf-8") == "neu: é"
    assert [os.path.basename(place).startswith(".file.json") for place in synced[:-1]] == [True]
    assert synced[-1] == str(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


def test_a_file_can_be_for_its_owner_alone(tmp_path):
    write_file(tmp_path / "secret", b"x", mode=0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_a_write_that_fails_leaves_the_old_file_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", lambda fd: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_file(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_appears_whole_with_all_of_it_on_the_disk(tmp_path, synced):
    target = tmp_path / "made"
    (target / "old").mkdir(parents=True)
    with new_folder(target) as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "file").write_text("x")
        assert (target / "old").is_dir()
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == [
        "made", "made/inner", "made/inner/file",
    ]  # fmt: skip
    assert {os.path.basename(place) for place in synced[:-2]} == {"inner", "file"}
    assert synced[-1] == str(tmp_path)


def test_the_names_of_the_folders_above_it_are_on_the_disk_too(tmp_path, synced):
    with new_folder(tmp_path / "a" / "b" / "c"):
        pass
    assert {str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")} <= set(synced)
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert synced == []


def test_a_folder_takes_the_place_of_no_other_where_that_is_not_wanted(tmp_path):
    (tmp_path / "there" / "of-another").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"), new_folder(tmp_path / "there", replace=False):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["there", "of-another"]


def test_a_folder_whose_making_fails_is_not_there(tmp_path):
    def fail():
        with new_folder(tmp_path / "made") as draft:
            (draft / "file").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []
