"""`oplstm gc`: what nothing needs goes, and whatever goes on with a sweep afterwards finds what it would have found."""

import os
import shutil

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.jobfile.sections import Resources
from jobs.operations.evaluate import Tasks, evaluate
from jobs.operations.garbage import Garbage
from jobs.operations.sweep_check import check_sweep
from jobs.store.events import Validated
from jobs.store.home import Home, SweepFolder
from jobs.store.reruns import failed, train_again
from jobs.store.states import TrialState
from tests.jobs.cli.verbs import answer, files_in, run, the_complaint
from tests.jobs.execution.test_pack_worker import JOB, Killed, results
from tests.jobs.formula_training import new_sweep, opened, state_of
from tests.jobs.promoting import select

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

DEAD = 4_194_304  # one more than the last process of a Linux has
ALONE = JOB.model_copy(update={"resources": Resources(pack=1)})


def work(folder, *, lose=None, fails=False):
    """Train what is left, but that the process of a pack is killed in the midst: that pack has failed, or is left."""
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:

        def ticks(update, runs, pack=assignment.pack):
            if (pack, update) == (lose, 5):
                raise Killed

        try:
            train_pack(assignment, coordinator, folder, resources=coordinator.job.resources, tick=ticks)
        except Killed:
            if fails:
                coordinator.pack_failed(assignment.pack, "it was killed")
    coordinator.close(flush_seconds=0)


@pytest.fixture(scope="module")
def never(tmp_path_factory, no_waiting_for_the_disk):
    folder = new_sweep(tmp_path_factory.mktemp("never") / "sweeps" / "s", ALONE)
    work(folder)
    return folder


@pytest.fixture(params=["killed", "failed"])
def unended(request, oplstm_home, tmp_path):
    """A sweep of packs of one, of whose first a checkpoint is left: it was killed with the sweep, or is lost."""
    folder = new_sweep(tmp_path / "before" / "sweeps" / "s", ALONE)
    work(folder, lose="pack-0000", fails=request.param == "failed")
    shutil.move(folder.path.parent, oplstm_home / "sweeps")
    return SweepFolder(oplstm_home / "sweeps" / "s")


def put(path, content="x" * 100):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for one in (path, path.parent):
        os.utime(one, (1, 1))
    return path


def garbage_in(home, folder):
    """One of each kind, by where it is."""
    pruned = next(trial for trial in state_of(folder).trials.values() if trial.state is TrialState.PRUNED)
    pack = folder.pack(pruned.pack)
    return {
        "interrupted writes": [
            put(folder.trials / f".trial-0000.{DEAD}" / "run.json").parent,
            put(folder.path / f".journal.jsonl.{DEAD}.lock"),
            put(home.sweeps / f".t.{DEAD}" / "sweep.json").parent,
            put(home.path / f".pack-sizes.json.{DEAD}"),
        ],
        "stop requests": [put(folder.stop_request)],
        "checkpoints of packs that nothing goes on with": [put(pack / "update-2" / "x").parent.parent],
        "damaged checkpoints": [put(folder.pack("pack-0002") / "damaged-update-4" / "pack.json").parent],
        "deleted sweeps": [put(home.sweeps / ".u.deleted" / "sweep.json").parent],
        "interrupted imports": [put(home.data / ".cub.importing" / "images").parent],
    }  # fmt: skip


def keep_in(home, folder):
    """What looks like garbage, and is none."""
    fresh = put(folder.path / f".report.{DEAD}" / "report.html")
    os.utime(fresh)
    return [
        fresh,
        put(folder.path / f".report.{os.getpid()}" / "report.html"),
        put(home.data / ".omniglot.replaced" / "images"),
        put(folder.pack("pack-9999") / "update-2" / "x"),
    ]


@pytest.mark.slow
def test_what_nothing_needs_is_named_by_kind_and_freed_and_nothing_else(unended, oplstm_home):
    home = Home()
    before, kept = files_in(home.path), keep_in(home, unended)
    wanted = garbage_in(home, unended)
    paths = sorted(str(path) for of_kind in wanted.values() for path in of_kind)
    there = files_in(home.path)
    said = answer("gc")
    assert sorted(one["path"] for one in said["found"]) == paths
    assert {(one["kind"], one["path"]) for one in said["found"]} == {
        (kind, str(path)) for kind, of_kind in wanted.items() for path in of_kind
    }
    assert (said["bytes"], said["freed"], said["left"]) == (100 * len(paths), [], [])
    assert files_in(home.path) == there
    shown = run("gc").stdout.splitlines()
    assert "     100 B  1 stop requests" in shown and shown[-1] == "nothing was freed; --yes frees it"
    in_sweep = [one["path"] for one in answer("gc", "s")["found"]]
    assert sorted(in_sweep) == [path for path in paths if path.startswith(str(unended.path))]
    assert sorted(answer("gc", "--yes")["freed"]) == paths
    assert sorted(files_in(home.path)) == sorted({*before, *kept, *(unended.path / name for name in LOCKS)})
    assert run("gc").stdout == "nothing is there that is needed by nothing\n"


LOCKS = ("sweep.json.lock",)


def points(told):
    """The points of each trial: others were trained while one was away."""
    found = [event for event in told if isinstance(event, Validated)]
    return sorted(found, key=lambda event: (event.trial, event.update))


@pytest.mark.slow
def test_what_goes_on_afterwards_ends_as_it_would_have(unended, never, oplstm_home):
    home = Home()
    garbage_in(home, unended)
    checkpoints = sorted(path.name for path in unended.path.glob("packs/*/update-*") if (path / "pack.json").is_file())
    assert len(checkpoints) == 2
    assert len(answer("gc", "--yes")["freed"]) == 9
    assert sorted(path.name for path in unended.path.glob("packs/*/update-*")) == checkpoints
    assert [check.line() for check in check_sweep(unended) if not check.ok and check.check != "report"] == []
    if lost := failed(state_of(unended)):
        train_again(unended.journal, state_of(unended), lost)
    work(unended)
    (told, files), (wanted, wanted_files) = results(unended), results(never)
    assert files == wanted_files
    assert points(told) == points(wanted)
    assert select(unended).picked == select(never).picked
    scores = [evaluate(Home(path), "s/trial-0000", Tasks(count=50), uri=None) for path in (unended.home, never.home)]
    assert scores[0] == scores[1]
    assert [check.line() for check in check_sweep(unended) if not check.ok and check.check != "report"] == []


def test_a_sweep_that_runs_or_is_damaged_is_left_alone(oplstm_home):
    home = Home()
    folder = new_sweep(home.sweeps / "runs", JOB)
    put(folder.stop_request)
    found = Garbage.of(home)
    assert [thing.path for thing in found.things] == [folder.stop_request]
    running = opened(folder)
    try:
        put(folder.stop_request)
        new_sweep(home.sweeps / "broken", JOB).header.write_text("nonsense")
        said = answer("gc", "--yes")
        assert (said["found"], said["freed"]) == ([], [])
        assert [line.partition(": ")[0] for line in sorted(said["left"])] == ["broken", "runs is running"]
        assert the_complaint("gc", "runs") == "runs is running; oplstm stop runs stops it"
        assert found.free() == [], "it was not running when it was looked at"
        assert folder.stop_request.exists()
    finally:
        running.close(flush_seconds=0)
