"""A folder appears whole or not at all: after errors, after kills, beside another process."""

import errno
import fcntl
import os
import shutil
from collections import namedtuple

import pytest

from oplstm.episodes.datasets import staging
from oplstm.episodes.datasets.staging import staged
from oplstm.errors import RequestError, WorkError

from .made_up import left_in


def stage(target, text, size=0):
    with staged(target, size) as draft:
        (draft / "a").write_text(text)


def test_the_folder_is_there_when_the_block_ends(tmp_path):
    with staged(tmp_path / "home" / "new", 0) as draft:
        (draft / "a").write_text("one")
        assert not (tmp_path / "home" / "new").exists()
    assert left_in(tmp_path) == ["home", "home/new", "home/new/a"]
    assert (tmp_path / "home" / "new" / "a").read_text() == "one"


def test_a_folder_is_replaced(tmp_path):
    stage(tmp_path / "new", "one")
    (tmp_path / "new" / "old").touch()
    stage(tmp_path / "new", "two")
    assert left_in(tmp_path) == ["new", "new/a"]
    assert (tmp_path / "new" / "a").read_text() == "two"


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_to_a_folder_elsewhere_stays(tmp_path, dangling):
    if not dangling:
        stage(tmp_path / "disk" / "real", "one")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "new").symlink_to(tmp_path / "disk" / "real")
    for text in ("two", "three"):
        stage(tmp_path / "home" / "new", text)
        assert left_in(tmp_path) == ["disk", "disk/real", "disk/real/a", "home", "home/new"]
        assert (tmp_path / "home" / "new" / "a").read_text() == text


@pytest.mark.parametrize("error", [RequestError("bad"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("before", [False, True])
def test_a_block_that_fails_leaves_what_was(tmp_path, error, before):
    if before:
        stage(tmp_path / "new", "one")
    was = left_in(tmp_path)

    def fail():
        with staged(tmp_path / "new", 0) as draft:
            (draft / "a").write_text("two")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert left_in(tmp_path) == was
    assert not before or (tmp_path / "new" / "a").read_text() == "one"


def test_a_full_disk_is_work_that_failed(tmp_path):
    with pytest.raises(WorkError, match=r"cannot write .*new: .*No space left"), staged(tmp_path / "new", 0):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert left_in(tmp_path) == []


def test_too_little_space_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda path: usage(10**9, 0, 10**9))
    with pytest.raises(RequestError, match="has 1000000000 bytes free, 2001048576 are needed"):
        stage(tmp_path / "new", "one", size=2 * 10**9)
    assert left_in(tmp_path) == []
    stage(tmp_path / "new", "one", size=10**9 - staging.SPARE_BYTES)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="file cannot be written"):
        stage(tmp_path / "file" / "new", "one")


def test_two_at_once_are_refused(tmp_path):
    with staged(tmp_path / "new", 0) as draft:
        (draft / "a").write_text("first")
        with pytest.raises(RequestError, match="another process is importing into"):
            stage(tmp_path / "new", "second")
        stage(tmp_path / "other", "third")  # another target is free
    assert (tmp_path / "new" / "a").read_text() == "first"
    assert left_in(tmp_path) == ["new", "new/a", "other", "other/a"]


def test_a_lock_that_was_removed_while_waiting_for_it_is_not_held(tmp_path, monkeypatch):
    """Its holder removes the lock file: a second process that had opened it must not believe it holds the lock."""
    locked, flock = [], fcntl.flock

    def slow_flock(descriptor, how):
        if not locked:
            (tmp_path / ".new.lock").unlink()
        locked.append(descriptor)
        flock(descriptor, how)

    monkeypatch.setattr(staging.fcntl, "flock", slow_flock)
    stage(tmp_path / "new", "one")
    assert len(locked) == 2
    assert left_in(tmp_path) == ["new", "new/a"]


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / ".new.importing").mkdir()
    (tmp_path / ".new.importing" / "half").touch()
    (tmp_path / ".new.lock").touch()
    stage(tmp_path / "new", "one")
    assert left_in(tmp_path) == ["new", "new/a"]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_kill_between_the_two_renames_loses_nothing(tmp_path, renamed):
    stage(tmp_path / "new", "one")
    (tmp_path / "new").rename(tmp_path / ".new.replaced")
    if renamed:
        shutil.copytree(tmp_path / ".new.replaced", tmp_path / "new")
        (tmp_path / "new" / "a").write_text("two")
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "new", 0):
        raise ZeroDivisionError
    assert left_in(tmp_path) == ["new", "new/a"]
    assert (tmp_path / "new" / "a").read_text() == ("two" if renamed else "one")


def test_everything_is_on_disk_before_the_rename(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def recorded(descriptor):
        synced.append((os.readlink(f"/proc/self/fd/{descriptor}"), (tmp_path / "new").exists()))
        fsync(descriptor)

    monkeypatch.setattr(staging.os, "fsync", recorded)
    stage(tmp_path / "new", "one")
    draft = str(tmp_path / ".new.importing")
    assert synced == [(f"{draft}/a", False), (draft, False), (str(tmp_path), True)]
