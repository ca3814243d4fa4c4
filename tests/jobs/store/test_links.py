"""A results folder is data: nothing in it leads out of it, and nothing in it is waited for."""

import os
import shutil
import socket

import pytest

from jobs.operations.control import Means, resume
from jobs.operations.doctor import ship
from jobs.operations.status import Damaged, all_status
from jobs.store.events import Packed, Started, encode
from jobs.store.header import Header
from jobs.store.home import Home
from oplstm.errors import RequestError, WorkError
from tests.jobs.formula_training import stopped_in_its_first_pack
from tests.jobs.promoting import select
from tracking.journal.file_lock import FileLock, is_locked
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def stopped(oplstm_home):
    """A sweep that was killed in its first pack."""
    folder = stopped_in_its_first_pack(oplstm_home / "sweeps" / "s")
    return folder


@pytest.fixture
def victim(tmp_path):
    """A folder of the user's that is no part of the home."""
    folder = tmp_path / "victim"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    yield folder
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"thesis.tex": "years of work"}


def refused(*, match, kinds=(RequestError, WorkError)):
    """What goes on with ``s`` in whatever way refuses it, before anything is written."""
    verbs = {
        "resume": lambda: resume(Home(), "s", progress=lambda now: None, means=Means()),
        "doctor": lambda: ship(Home(), "s"),
        "promote": lambda: select(Home().sweep("s")),
    }
    for verb, call in verbs.items():
        with pytest.raises(kinds, match=match):  # noqa: PT012
            call()
            pytest.fail(verb)


@pytest.mark.parametrize("event", ["packed", "started"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_pack_by_the_name_of_a_victim_is_not_deleted(event, absolute, stopped, victim):
    packed = encode(Packed(pack="pack-0001", trials=("trial-0001",)))
    started = encode(Started(pack="pack-0001", device={}))
    name = str(victim) if absolute else "../../../../victim"
    assert (stopped.path / "packs" / name).resolve() == victim
    with Journal(stopped.journal) as journal:
        journal.append([packed | {"pack": name} if event == "packed" else started | {"pack": name}])
    with pytest.raises(RequestError, match=f"{event}.pack: String should match pattern"):
        resume(Home(), "s", progress=lambda now: None, means=Means())
    [row] = all_status(Home())
    assert isinstance(row, Damaged)


LINKED = [
    "trials",
    "packs",
    "packs/pack-0000",
    "trials/trial-0000",
    "packs/pack-0000/update-5",
    "trials/trial-0000/model.safetensors",
    "study.log",
    "tune.log",
    "stop",
    "journal.jsonl.shipped",
    "journal.jsonl.refused",
    "journal.jsonl.lock",
    "sweep.json.lock",
    "journal.jsonl",
    "sweep.json",
]


@pytest.mark.parametrize("to", ["folder", "file", "nothing"])
@pytest.mark.parametrize("place", LINKED)
def test_a_link_in_a_sweeps_folder_is_followed_by_nobody(place, to, stopped, victim):
    path = stopped.path / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to({"folder": victim, "file": victim / "thesis.tex", "nothing": victim / "new"}[to])
    refused(match=r"is a symbolic link|no sweep named|cannot write .*\.lock|Too many levels of symbolic links",
            kinds=(RequestError, WorkError, OSError))  # fmt: skip
    all_status(Home())


@pytest.mark.parametrize("place", ["sweeps", "sweeps/s"])
def test_a_link_above_it_is_not_followed_either(place, stopped, tmp_path):
    path = Home().path / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    refused(match="is a symbolic link, and none is followed among results")
    with pytest.raises(RequestError, match="is a symbolic link"):
        Home().check_writable() if place == "sweeps" else Header.read(stopped)
    if place == "sweeps":
        with pytest.raises(RequestError, match="is a symbolic link"):
            all_status(Home())
    else:
        assert [type(row) for row in all_status(Home())] == [Damaged]


def test_a_name_that_is_taken_by_a_link_to_nothing_is_taken(oplstm_home):
    Home().sweeps.mkdir()
    Home().sweep_folder("s").path.symlink_to(oplstm_home / "nothing")
    with pytest.raises(RequestError, match="name 's' is taken"):
        Home().new_sweep("s")
    assert Home().free_name("s") == "s-2"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("place", ["sweep.json", "journal.jsonl", "stop", "sweep.json.lock", "trials/run.json"])
def test_what_is_no_plain_file_is_not_waited_for(place, kind, stopped, monkeypatch):
    path = stopped.path / place
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(path.parent)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    elif os.geteuid() == 0:
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero, which never ends
    else:
        pytest.skip("only root makes devices")
    refused(match="no plain file|no sweep named|cannot write|No such device", kinds=(RequestError, WorkError, OSError))
    all_status(Home())


def test_a_lock_that_is_a_link_does_not_empty_the_file_behind_it(tmp_path, victim):
    for name in ("a", "b"):
        (tmp_path / f"{name}.lock").symlink_to(victim / ("thesis.tex" if name == "a" else "new"))
        with pytest.raises(WorkError, match=r"cannot write .*\.lock"):
            FileLock(tmp_path / name)
        with pytest.raises(OSError, match="symbolic link"):
            is_locked(tmp_path / name)
