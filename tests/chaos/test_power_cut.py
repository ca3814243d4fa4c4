"""What a power cut takes: all that nobody synced, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos import power_cut
from tests.chaos.power_cut import Disk
from tests.conftest import ROOT

WORK = """
import os, pathlib, shutil
from oplstm.durable import new_folder, write_file
os.chdir("home")
write_file(pathlib.Path("safe.json"), "safe")
pathlib.Path("never").write_text("never synced")
with open("journal", "ab") as journal:
    journal.write(b"synced\\n"); journal.flush(); os.fsync(journal.fileno())
    folder = os.open(".", os.O_RDONLY); os.fsync(folder); os.close(folder)
    journal.write(b"not synced\\n"); journal.flush()
    pathlib.Path("draft").write_text("of another content")
    os.replace("draft", "safe.json")
    os.rename("old", "new")
    os.mkdir("trials")
    with new_folder(pathlib.Path("trials/trial-0000")) as draft:
        (draft / "model").write_text("weights")
    shutil.rmtree("gone")
    pathlib.Path("gone-too").unlink()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    home = tmp_path / "home"
    (home / "gone").mkdir(parents=True)
    for name in ("old", "gone/file", "gone-too", "untouched"):
        (home / name).write_text(name)
    disk = Disk(home, tmp_path / "disk")
    path = os.pathsep.join([str(ROOT / "tests" / "chaos" / "recorder"), str(ROOT)])
    environment = {**os.environ, **disk.environment, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-c", WORK], cwd=tmp_path, env=environment, check=True)
    return disk


def content(disk: Disk) -> dict[str, str]:
    files = (path for path in sorted(disk.root.rglob("*")) if path.is_file())
    return {str(path.relative_to(disk.root)): path.read_text() for path in files}


def test_all_that_was_not_synced_can_be_lost(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(power_cut, "LOST", 1.0)
    losses = disk.cut(0)
    found = content(disk)
    assert found.pop("journal") == "synced\n"
    assert found.pop("never") == "", "its name was synced with the folder, its content never"
    assert found == {"safe.json": "safe", "old": "old", "untouched": "untouched"}
    assert sorted(losses.entries) == ["new", "safe.json", "trials"]
    assert losses.bytes == len("not synced\n" + "never synced")
    assert str(disk.cut(0)) == "lost: no entry; cut: no file, by 0 bytes", "what is left is safe"


def test_what_was_synced_stays_whatever_the_dice_say(disk: Disk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(power_cut, "LOST", 0.0)
    disk.cut(1)
    found = content(disk)
    assert found["journal"].startswith("synced\n")
    assert found["trials/trial-0000/model"] == "weights", "new_folder syncs what it makes"
    assert found["new"] == "old"
    assert "old" not in found


def test_the_same_seed_takes_the_same(tmp_path: Path):
    for seed in range(5):
        found = []
        for _ in range(2):
            home = tmp_path / f"{seed}-{len(found)}"
            home.mkdir()
            disk = Disk(home, home.with_suffix(".disk"))
            for name in "abcdef":
                (home / name).write_text(name * 9)
            disk.cut(seed)
            found.append(content(disk))
        assert found[0] == found[1]
