"""Every bit of a small sweep's files flipped, every end cut off: nothing of what is read changes, or the file is named.

The long tier goes through them all and reads the file; the unit tier draws some and has `doctor` look at the sweep.
"""

import os
import random
import shutil
from collections import Counter

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.operations.sweep_check import check_sweep
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.study_file import damage_in
from oplstm.errors import RequestError, WorkError
from oplstm.training.sealed import read_sealed
from tests.jobs.formula_training import job, new_sweep, opened, state_of
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

SMALL = {
    "budget": {"updates": 2, "validate_every": 1, "validation_tasks": 2, "test_tasks": 2},
    "trials": 2,
}
DRAWN = 40


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One trial has ended; the other was stopped, so that a resume goes on from its checkpoint."""
    folder = new_sweep(tmp_path_factory.mktemp("small") / "s", job("rates", **SMALL))
    coordinator = opened(folder)
    train_pack(coordinator.next_pack(), coordinator, folder, resources=coordinator.job.resources)
    second = coordinator.next_pack()
    folder.stop_request.touch()
    train_pack(second, coordinator, folder, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    folder.stop_request.unlink()
    assert all(check.ok for check in check_sweep(folder)), check_sweep(folder)
    return folder


def files(folder):
    """All that is read of it: the header, the journal, the study, and the files of a checkpoint and of a model."""
    [checkpoint] = folder.pack("pack-0001").glob("update-*")
    model = folder.trial("trial-0000")
    assert len(list(checkpoint.iterdir())) == 2 and len(list(model.iterdir())) == 4
    return [folder.header, folder.journal, folder.study, *sorted(checkpoint.iterdir()), *sorted(model.iterdir())]


def read(path):
    """What is read of a file, by those who read it.

    Raises:
        RequestError, WorkError: What is wrong with it.
    """
    folder = SweepFolder(path.parent)
    if path == folder.header:
        return Header.read(folder)
    if path == folder.journal:
        return [line.records for line in Journal.lines(path)]
    if path == folder.study:
        if (damage := damage_in(path)) is not None:
            raise WorkError(damage)
        return path.read_bytes()
    manifest = next(path.parent.glob("*.json"))
    sealed = read_sealed(manifest)
    if path == manifest:
        return sealed.data
    return {name: tensor.tolist() for name, tensor in sealed.tensors(path.name).items()}


def outcome(path, known):
    """What becomes of another content: ``named``, ``harmless`` or ``silent``; any other error is raised."""
    try:
        return "harmless" if read(path) == known else "silent"
    except (RequestError, WorkError) as error:
        return "named" if str(path) in str(error) and "\n" not in str(error) else "badly named"


@pytest.mark.long
def test_every_flip_is_named_or_changes_nothing(small):
    found = Counter()
    for path in files(small):
        whole, known = path.read_bytes(), read(path)
        with path.open("r+b", buffering=0) as file:
            for place, byte in enumerate(whole):
                for bit in range(8):
                    os.pwrite(file.fileno(), bytes([byte ^ 1 << bit]), place)
                    found[path.name, outcome(path, known)] += 1
                os.pwrite(file.fileno(), bytes([byte]), place)
    print(f"{found.total()} flips: {dict(found)}")
    assert {what for _, what in found} <= {"named", "harmless"}
    harmless = {name: count for (name, what), count in found.items() if what == "harmless"}
    assert set(harmless) <= {"sweep.json"}, "spaces between its values"


@pytest.mark.long
def test_every_end_that_is_cut_off_is_named_or_leaves_what_was_before(small):
    """Of the journal and the study, whole lines less may be what was before; `doctor` compares the two."""
    found = Counter()
    for path in files(small):
        whole, known = path.read_bytes(), read(path)
        for length in reversed(range(len(whole))):
            os.truncate(path, length)
            what = outcome(path, known)
            if what == "silent" and path == small.study:
                assert whole[:length].endswith(b"\n") or not length
            elif what == "silent":
                assert path == small.journal
                assert read(path) == known[: max(0, whole[:length].count(b"\n") - 1)]
            found[path.name, what] += 1
        path.write_bytes(whole)
    print(f"{found.total()} cuts: {dict(found)}")
    assert {what for _, what in found} <= {"named", "harmless", "silent"}
    assert {name for name, what in found if what == "silent"} == {"journal.jsonl", "study.log"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_doctor_names_flips_and_cuts(seed, small, tmp_path):
    """Drawn so that every file comes often."""
    folder = SweepFolder(shutil.copytree(small.path, tmp_path / "s"))
    Header.read(folder).write_again(folder)
    dice, states, paths = random.Random(seed), state_of(folder).trials, files(folder)
    for path in dice.choices(paths, k=DRAWN // 4):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        bit = dice.randrange(8 * len(whole))
        flipped[bit // 8] ^= 1 << bit % 8
        for content in (flipped, whole[: dice.randrange(len(whole))]):
            path.write_bytes(content)
            wrong = [check for check in check_sweep(folder) if not check.ok]
            assert wrong or state_of(folder).trials == states, (path, bit)
            assert not wrong or any(str(path) in check.found for check in wrong) or path == folder.journal, wrong
            assert not any("\n" in check.found for check in wrong)
            path.write_bytes(whole)
