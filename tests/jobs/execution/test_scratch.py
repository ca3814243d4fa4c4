"""Ray Tune's own state lies in a temporary folder, which goes with its process, however that ends."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from jobs.execution.scratch import TUNE, scratch_folder

OWNER = """
import sys, tempfile, time
from pathlib import Path
from tracking.journal.file_lock import FileLock
folder = Path(tempfile.mkdtemp(prefix=sys.argv[1]))
(folder / "state.pkl").write_text("")
lock = FileLock(folder / "owner")
print(folder.name, flush=True)
time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, of this test and its processes."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def age(path):
    os.utime(path, (0, 0))


def test_it_goes_with_its_process(temporary):
    with scratch_folder(TUNE) as folder:
        assert os.listdir(temporary) == [os.path.basename(folder)]
    assert os.listdir(temporary) == []


def test_that_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(temporary):
    with subprocess.Popen([sys.executable, "-c", OWNER, TUNE], stdout=subprocess.PIPE, text=True) as owner:
        name = owner.stdout.readline().strip()
        age(temporary / name)
        with scratch_folder(TUNE):
            assert len(os.listdir(temporary)) == 2
        os.kill(owner.pid, signal.SIGKILL)
    age(temporary / name)
    with scratch_folder(TUNE) as folder:
        assert os.listdir(temporary) == [os.path.basename(folder)]


def test_what_is_young_or_no_folder_of_ours_stays(temporary, tmp_path):
    (temporary / f"{TUNE}young").mkdir()
    (tmp_path / "victim").mkdir()
    (temporary / f"{TUNE}link").symlink_to(tmp_path / "victim")
    os.utime(temporary / f"{TUNE}link", (0, 0), follow_symlinks=False)
    (temporary / "other").mkdir()
    age(temporary / "other")
    with scratch_folder(TUNE):
        assert len(os.listdir(temporary)) == 4
    assert (tmp_path / "victim").is_dir()
