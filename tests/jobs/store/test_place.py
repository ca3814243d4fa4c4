"""Where a sweep's folder is: a move is none of anybody's business, and a copy is told apart."""

import os
import shutil
from types import SimpleNamespace

import pytest

from jobs.store import place
from jobs.store.place import Place


@pytest.fixture
def folder(tmp_path):
    """That of a sweep."""
    (tmp_path / "home" / "s").mkdir(parents=True)
    (tmp_path / "home" / "s" / "sweep.json").write_text("{}")
    return tmp_path / "home" / "s"


@pytest.fixture
def another_machine(monkeypatch):
    """From when it is called, this is another machine."""
    return lambda name="other", machine="": (
        monkeypatch.setattr(place.os, "uname", lambda: SimpleNamespace(nodename=name)),
        monkeypatch.setattr(place, "_machine", lambda: machine),
    )


def test_a_folder_is_where_it_is_and_where_it_was_moved_to(folder, tmp_path):
    before = Place.of(folder)
    assert (before.path, before.inode) == (str(folder), folder.stat().st_ino)
    assert before.is_of(folder)
    link = tmp_path / "mounted"
    link.symlink_to(folder.parent)
    assert before.is_of(link / "s")
    renamed = folder.parent.rename(tmp_path / "renamed") / "s"
    assert before.is_of(renamed)
    other_disk = shutil.copytree(renamed, tmp_path / "disk" / "s")
    shutil.rmtree(renamed)
    assert before.is_of(other_disk)


def test_a_copy_is_not_the_original_as_long_as_that_stands(folder, tmp_path):
    before = Place.of(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert not before.is_of(copy)
    assert before.is_of(folder)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)  # a backup, put back
    assert before.is_of(folder)


def test_on_another_machine_only_a_shared_disk_holds_the_original(folder, tmp_path, another_machine):
    before = Place.of(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    another_machine()
    assert before.is_of(folder)
    assert not before.is_of(copy)
    mounted_elsewhere = folder.rename(tmp_path / "elsewhere")
    assert before.is_of(mounted_elsewhere)
    same_path = shutil.copytree(copy, folder)
    assert not before.is_of(same_path)


def test_machines_of_one_name_are_two(folder, tmp_path, another_machine):
    before = Place.of(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(folder)
    another_machine(os.uname().nodename, "another")
    assert not before.is_of(copy)


def test_an_original_that_cannot_be_looked_at_may_stand(folder, tmp_path, monkeypatch):
    before = Place.of(folder)
    copy = shutil.copytree(folder, tmp_path / "copy")

    def closed(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.exists", closed)
    assert not before.is_of(copy)
