"""A disk that is full in the midst of work is one line: the folder, the room that it needs, and what to do."""

import errno
import os
from types import SimpleNamespace

import pytest

from jobs.operations import room
from jobs.operations.room import full_disk_named
from oplstm.errors import WorkError
from tests.jobs.formula_training import job, new_sweep

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "said",
    [
        f"cannot write the journal /home/s/journal.jsonl: {FULL}. Free some space",
        f"cannot write /home/s/packs: Error while serializing: I/O error: {FULL} (os error 28); free some space",
        f"cannot write /home/s/packs: [Errno 122] {os.strerror(errno.EDQUOT)}",
    ],
)
def test_a_full_disk_names_the_folder_the_room_and_what_to_do(said, tmp_path, monkeypatch):
    of = job("rates")
    folder = new_sweep(tmp_path / "s", of)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=3 << 20))
    monkeypatch.setattr(room, "disk_bytes", lambda job: (100 << 20) + room._size(folder))
    with pytest.raises(WorkError) as caught, full_disk_named(folder, of):
        raise WorkError(said)
    assert str(caught.value) == (
        f"no space left for {folder.path}, which has 3 MiB and needs up to 100 MiB more; "
        "nothing is lost: free some, then oplstm resume s"
    )


def test_other_failures_are_left_as_they_are(tmp_path):
    of = job("rates")
    with pytest.raises(WorkError, match=r"^3 packs in a row"), full_disk_named(new_sweep(tmp_path / "s", of), of):
        raise WorkError("3 packs in a row failed alike")
