"""Packs in processes of their own: the same results as in one, stops, deaths and failures."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from jobs.execution.in_process import run_in_process
from jobs.store.states import SweepKind
from oplstm.errors import WorkError
from tests.conftest import ROOT
from tests.jobs.formula_training import job, new_sweep, no_server, opened, state_of
from tracking.journal.file_lock import is_locked

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("no_waiting_for_the_disk", "no_waiting_for_the_server")]

FIXED = {"widths": [4, 3], "passes": 2, "meta_batch_size": 2, "lr": 0.01}
SHORT = {"updates": 40, "validate_every": 20, "validation_tasks": 30, "test_tasks": 30}
LONG = {"updates": 1_000_000, "validate_every": 20, "validation_tasks": 4, "test_tasks": 4}


def seeds(path, count=3, budget=SHORT, *, fixed=FIXED, **resources):
    of = job(None, fixed=fixed, seeds=count, trials=None, budget=budget, resources=resources)
    return new_sweep(path, of, kind=SweepKind.FINAL)


def processes(of=None):
    """Ids of the packs' processes that this one has started, or that of this id."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == (of or os.getpid()) and b"jobs.execution.pack_process" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def lives(process):
    """Whether it runs; who adopts the processes of a dead one may be slow to take notice of their ends."""
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def scores(folder):
    return {path.parent.name: load_file(path)["loss"] for path in folder.trials.glob("*/test.safetensors")}


def test_the_results_of_a_seed_do_not_depend_on_how_seeds_are_spread(tmp_path):
    alone, spread = seeds(tmp_path / "alone"), seeds(tmp_path / "spread")
    run_in_process(alone, no_server, lambda progress: None)
    shown = []
    last, _ = run_in_process(spread, no_server, shown.append, slots=2)
    assert last.counts == {"complete": 3}
    assert [len(pack.trials) for pack in state_of(alone).packs.values()] == [3]
    assert [len(pack.trials) for pack in state_of(spread).packs.values()] == [2, 1]
    assert shown[-1].fraction == 3
    expected, found = scores(alone), scores(spread)
    assert len(expected) == 3
    assert found.keys() == expected.keys()
    for name, losses in expected.items():
        torch.testing.assert_close(found[name], losses, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(expected["trial-0000"], expected["trial-0001"], rtol=0.1)
    assert processes() == []
    assert spread.pack_log.read_text() == ""


def test_a_stop_is_heard_by_all_and_the_next_goes_on(tmp_path):
    folder = seeds(tmp_path / "s", 2, LONG)

    def stop(progress):
        if all(trial.points for trial in state_of(folder).trials.values()):
            folder.stop_request.touch()

    last, _ = run_in_process(folder, no_server, stop, slots=2)
    assert last.counts == {"stopped": 2}
    assert processes() == []
    assert not is_locked(folder.journal)
    coordinator = opened(folder)
    assert {coordinator.next_pack(2).pack, coordinator.next_pack(2).pack} == {"pack-0000", "pack-0001"}
    coordinator.close(flush_seconds=0)


def when_trained(folder, then):
    """Call `then` once, from a thread, when both seeds have made a point; returns the thread."""

    def watch():
        while len([trial for trial in state_of(folder).trials.values() if trial.points]) < 2:
            time.sleep(0.1)
        then()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_signals_that_all_processes_get_end_no_pack(tmp_path):
    """As from a keyboard: the packs' processes get them too, and are asked to stop by this one alone."""
    folder, alive = seeds(tmp_path / "s", 2, LONG), []

    def interrupt():
        before = processes()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for one in before:
                os.kill(one, number)
        time.sleep(1.0)
        alive.append((before, processes()))
        folder.stop_request.touch()

    thread = when_trained(folder, interrupt)
    last, _ = run_in_process(folder, no_server, lambda progress: None, slots=2)
    thread.join()
    [(before, after)] = alive
    assert len(before) == 2
    assert after == before
    assert last.counts == {"stopped": 2}


@pytest.mark.parametrize("retries", [0, 1])
def test_a_process_that_dies_is_replaced_as_often_as_the_job_allows(retries, tmp_path):
    folder = seeds(tmp_path / "s", 2, LONG, retries=retries)
    victims = []

    def kill():
        victims.extend(processes()[:1])
        os.kill(victims[0], signal.SIGKILL)
        while victims[0] in processes():
            time.sleep(0.02)
        while len(processes()) < 2 if retries else "failed" not in state_of(folder).counts():
            time.sleep(0.1)
        folder.stop_request.touch()

    thread = when_trained(folder, kill)
    last, _ = run_in_process(folder, no_server, lambda progress: None, slots=2)
    thread.join()
    assert last.counts == ({"stopped": 2} if retries else {"stopped": 1, "failed": 1})


def test_an_error_in_a_pack_ends_all_and_says_what_it_was(tmp_path):
    folder = seeds(tmp_path / "s", 2, LONG)
    folder.path.joinpath("packs").write_text("no folder")
    with pytest.raises(WorkError, match="packs"):
        run_in_process(folder, no_server, lambda progress: None, slots=2)
    assert processes() == []
    assert not is_locked(folder.journal)


def test_who_is_interrupted_for_good_leaves_no_process(tmp_path):
    folder = seeds(tmp_path / "s", 2, LONG)

    def interrupt(progress):
        if len(processes()) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_in_process(folder, no_server, interrupt, slots=2)
    assert processes() == []
    assert not is_locked(folder.journal)


PARENT = """
import sys
from pathlib import Path
from jobs.execution.in_process import run_in_process
from jobs.store.home import SweepFolder
run_in_process(SweepFolder(Path(sys.argv[1])), lambda: 1 / 0, lambda progress: None, slots=2)
"""


def test_no_pack_outlives_a_process_that_was_killed(tmp_path):
    """In the midst of a validation, which says nothing to anybody and would take many minutes."""
    budget = {**LONG, "validation_tasks": 100_000}
    folder = seeds(tmp_path / "s", 2, budget, fixed={**FIXED, "widths": [512, 512], "passes": 8})
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder.path)], cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        while len(state_of(folder).running_packs) < 2:
            time.sleep(0.1)
        packs = processes(parent.pid)
    finally:
        parent.kill()
        parent.wait()
    assert len(packs) == 2
    until = time.monotonic() + 60
    while left := [pack for pack in packs if lives(pack)]:
        assert time.monotonic() < until, f"{left} live on"
        time.sleep(0.1)
