"""Folders, archives and folders with archives in them: what is listed, read and refused."""

import os
import pickle
from contextlib import closing

import pytest

from oplstm.episodes.datasets import sources
from oplstm.episodes.datasets.sources import open_source
from oplstm.errors import RequestError

from .made_up import as_folder, as_tar, as_zip

PLAIN = {"a/1.png": b"one", "a/2.png": b"two", "b.csv": b"three"}


def read_all(where, archives=()):
    with closing(open_source(where, archives)) as source:
        found = {member.path: member.size for member in source.members()}
        return found, dict(source.read(found))


def refused(where, words, archives=()):
    with pytest.raises(RequestError, match=words) as caught:
        read_all(where, archives)
    assert len(caught.value.problems) == 1


def test_a_folder_and_archives_hold_the_same(tmp_path):
    wanted = {path: len(data) for path, data in PLAIN.items()}
    for where in (
        as_folder(PLAIN, tmp_path / "folder"),
        as_zip(PLAIN, tmp_path / "one"),
        as_tar(PLAIN, tmp_path / "two", "w"),
        as_tar(PLAIN, tmp_path / "three", "w:gz"),
    ):
        assert read_all(where) == (wanted, PLAIN)


def test_named_archives_in_a_folder_are_read(tmp_path):
    as_zip(PLAIN, tmp_path / "deep" / "one.zip")
    as_tar(PLAIN, tmp_path / "two.tgz")
    as_zip(PLAIN, tmp_path / "other.zip")
    as_folder({"c.png": b"four"}, tmp_path)
    found, contents = read_all(tmp_path, ("one.zip", "two.tgz"))
    prefixed = {f"{prefix}/{path}": data for prefix in ("deep/one.zip", "two.tgz") for path, data in PLAIN.items()}
    assert found.keys() == {*prefixed, "c.png", "other.zip"}
    assert {path: contents[path] for path in prefixed} == prefixed
    assert contents["c.png"] == b"four"


def test_an_archive_unpacked_beside_itself_is_not_read(tmp_path):
    as_zip(PLAIN, tmp_path / "one.zip")
    as_folder({"1.png": b"unpacked"}, tmp_path / "one")
    assert read_all(tmp_path, ("one.zip",)) == ({"one/1.png": 8}, {"one/1.png": b"unpacked"})


def test_hidden_files_are_passed_over(tmp_path):
    as_folder({".git/x.png": b"", "__MACOSX/y.png": b"", "a/._z.png": b"", "a/Thumbs.db": b""} | PLAIN, tmp_path)
    assert read_all(tmp_path)[1] == PLAIN


def test_links_in_a_folder_are_refused(tmp_path):
    as_folder(PLAIN, tmp_path)
    (tmp_path / "a" / "3.png").symlink_to("/etc/passwd")
    refused(tmp_path, r"3\.png is a link or a device")
    (tmp_path / "a" / "3.png").unlink()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    refused(tmp_path, "loop is a link or a device")


@pytest.mark.parametrize("name", [b"new\nline.png", b"a/\x1b[31mred.png", b"undecodable \xff.png"])
def test_names_that_cannot_be_printed_are_refused(tmp_path, name):
    as_folder(PLAIN, tmp_path)
    with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
        pass
    refused(tmp_path, "control characters")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "pipe is neither a folder nor a file")


def test_devices_in_a_folder_are_refused(tmp_path):
    os.mkfifo(tmp_path / "1.png")
    refused(tmp_path, r"1\.png is a link or a device")


def test_the_folder_itself_may_be_a_link(tmp_path):
    as_folder(PLAIN, tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_all(tmp_path / "link")[1] == PLAIN


def test_a_folder_of_something_else_is_not_walked_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBERS", 2)
    refused(as_folder(PLAIN, tmp_path), "more than 2 files: name the dataset's own folder")


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_MEMBER_BYTES", 4)
    refused(as_folder(PLAIN, tmp_path), r"b\.csv has more than 4 bytes")


def test_a_file_that_vanishes_is_named(tmp_path):
    source = open_source(as_folder(PLAIN, tmp_path), ())
    source.members()
    (tmp_path / "b.csv").unlink()
    with pytest.raises(RequestError, match=r"b\.csv cannot be read \(No such file"):
        list(source.read(["b.csv"]))


def test_what_is_not_there_or_no_archive_is_refused(tmp_path):
    refused(tmp_path / "absent", "absent does not exist")
    (tmp_path / "text").write_text("hello")
    refused(tmp_path / "text", "text is neither a folder nor a zip, tar or tar.gz archive")
    (tmp_path / "empty").write_bytes(b"")
    refused(tmp_path / "empty", "neither a folder nor")


@pytest.mark.parametrize("name", ["mini-imagenet-cache-train.pkl", "data.pickle", "data"])
def test_pickles_are_refused_unread(tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps({"image_data": 1}))
    refused(tmp_path / name, "pickled distribution.*can run code.*import the image files instead")
