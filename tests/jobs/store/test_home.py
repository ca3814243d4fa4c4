"""$OPLSTM_HOME: names, and folders that cannot be written."""

import os
import shutil
from pathlib import Path

import pytest

from jobs.store.home import Home
from oplstm.errors import RequestError
from tests.jobs.formula_training import job, new_sweep


def test_the_environment_says_where_it_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPLSTM_HOME", raising=False)
    assert Home().path == tmp_path / "oplstm-home"
    monkeypatch.setenv("OPLSTM_HOME", "")
    assert Home().path == tmp_path / "oplstm-home"
    monkeypatch.setenv("OPLSTM_HOME", "elsewhere")
    assert Home().path == tmp_path / "elsewhere"
    assert Home(tmp_path / "given").path == tmp_path / "given"


@pytest.mark.parametrize("name", ["a", "demo", "demo-2", "2024.run_A", "a" * 80])
def test_good_names(name, oplstm_home):
    assert Home().new_sweep(name).path == oplstm_home / "sweeps" / name


@pytest.mark.parametrize(
    "name", ["", "a/b", "/a", "../a", "..", ".", ".hidden", "-x", "a b", "a\n", "ä", "a:b", "a\\b", "a" * 81, "a\0b"]
)
def test_bad_names(name, oplstm_home):
    with pytest.raises(RequestError) as caught:
        Home().new_sweep(name)
    assert str(caught.value).startswith(f"name {name!r} must be letters, digits, '.', '_' or '-'")
    assert len(caught.value.problems) == 1
    assert list(oplstm_home.iterdir()) == []


def test_a_name_that_is_taken(oplstm_home):
    new_sweep(oplstm_home / "sweeps" / "mine", job())
    with pytest.raises(RequestError, match=r"name 'mine' is taken .*; use resume, or another --name"):
        Home().new_sweep("mine")
    assert Home().free_name("mine") == "mine-2"
    new_sweep(oplstm_home / "sweeps" / "mine-2", job())
    assert Home().free_name("mine") == "mine-3"
    assert Home().free_name("other") == "other"


@pytest.mark.parametrize("name", ["no-such", "", "../sweeps/mine", "mine/", "a/b"])
def test_a_name_that_nobody_has(name, oplstm_home):
    new_sweep(oplstm_home / "sweeps" / "mine", job())
    (oplstm_home / "sweeps" / "no-such").mkdir()  # no header in it
    with pytest.raises(RequestError, match=r"no sweep named .* \(there: mine\)"):
        Home().sweep(name)
    assert Home().sweep("mine").name == "mine"


def test_sweeps_are_listed_oldest_first(oplstm_home):
    assert Home().all_sweeps() == []
    for age, name in enumerate(["c", "a", "b"]):
        folder = new_sweep(oplstm_home / "sweeps" / name, job())
        os.utime(folder.header, (1000 + age, 1000 + age))
    assert [folder.name for folder in Home().all_sweeps()] == ["c", "a", "b"]


def test_a_writable_home_is_made_and_left_empty(tmp_path):
    home = Home(tmp_path / "deep" / "down")
    home.check_writable()
    assert list(home.sweeps.iterdir()) == []


def test_a_home_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"cannot write to .*file/home: Not a directory; set OPLSTM_HOME"):
        Home(tmp_path / "file" / "home").check_writable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_of_somebody_else_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(RequestError, match=r"cannot write to .*: Permission denied; set OPLSTM_HOME"):
        Home(tmp_path / "home").check_writable()


def test_a_read_only_file_system_cannot_be_written():
    with pytest.raises(RequestError, match=r"cannot write to /proc/.*; set OPLSTM_HOME"):
        Home(Path("/proc/oplstm-home")).check_writable()


def test_a_disk_that_is_too_full_says_how_much_is_needed(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    Home(tmp_path).check_writable(free // 2)
    with pytest.raises(RequestError, match=r"has \d+ MiB free and this needs about \d+ MiB; free some space or set"):
        Home(tmp_path).check_writable(2 * free)


def test_a_little_space_is_always_asked_for(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1 << 20))
    with pytest.raises(RequestError, match="has 1 MiB free and this needs about 64 MiB"):
        Home(tmp_path).check_writable(0)
