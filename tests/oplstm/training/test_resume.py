"""Stopped anywhere and resumed equals never stopped, to the bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from oplstm.errors import WorkError
from oplstm.testing.packs import assert_same_when_stopped, files, train
from oplstm.testing.recorder import Recorder
from tests.oplstm.training.runs import LEARNERS, run


@pytest.mark.integration
def test_a_pack_stopped_again_and_again_with_pruning_between(tmp_path):
    runs = [run(seed=s, lr=0.01 * (s + 1)) for s in range(4)]
    assert_same_when_stopped(tmp_path, runs, [4, 11, 12, 25], prune={10: {"run-2"}, 20: {"run-0"}})


@pytest.mark.integration
@pytest.mark.parametrize("stop", [9, 20, 21, 40])
def test_a_pack_of_different_meta_batches_and_passes_stopped_and_resumed(tmp_path, stop):
    sizes = [(1, 2), (4, 3), (3, 1)]
    runs = [run("op_lstm", seed=size, meta_batch_size=size, passes=passes) for size, passes in sizes]
    assert_same_when_stopped(tmp_path, runs, [stop], prune={7: {"run-2"}})


@pytest.mark.integration
@pytest.mark.parametrize("learner", LEARNERS)
def test_a_pack_that_the_run_of_the_most_passes_has_left_stopped_and_resumed(tmp_path, learner):
    """A resume builds the others alone, and then again with one of still more passes that has joined."""
    runs = [run(learner, seed=seed, passes=passes) for seed, passes in enumerate((2, 3, 4))]
    assert_same_when_stopped(tmp_path, runs, [10, 13, 33], prune={10: {"run-1"}}, join={20: 2})


@pytest.mark.integration
@pytest.mark.parametrize("stop", [3, 10, 11, 20, 33])
def test_a_pack_that_others_join_stopped_and_resumed(tmp_path, stop):
    runs = [run(seed=1), run(seed=2), run(seed=3, passes=3), run(seed=4, meta_batch_size=3)]
    runs = [replace(one, lr_half_life=life) for one, life in zip(runs, (None, 7.0, 5.0, 3.0), strict=True)]
    assert_same_when_stopped(tmp_path, runs, [stop], prune={10: {"run-0"}, 7: {"run-3"}}, join={10: 2, 20: 3})


class Dying(Recorder):
    """Its process ends while it is asked who joins."""

    def joins(self, update, room):
        raise KeyboardInterrupt


@pytest.mark.integration
def test_a_pack_that_dies_before_a_run_joins_is_joined_when_it_goes_on(tmp_path):
    runs = [run(seed=1), run(seed=2), run(seed=3, passes=3)]
    given = {"prune": {10: {"run-0"}}, "join": {10: [("run-2", runs[2])]}}
    train(tmp_path / "whole", runs, Recorder(**given), initial=2)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", runs, Dying(**given), initial=2)
    train(tmp_path / "parts", runs, Recorder(**given), initial=2)
    assert files(tmp_path / "parts" / "runs") == files(tmp_path / "whole" / "runs")


@pytest.mark.integration
@pytest.mark.parametrize("lost", [1, 2])
def test_joins_are_made_again_from_an_older_checkpoint_or_from_none(tmp_path, lost):
    runs = [run(seed=1), run(seed=2), run(seed=3, passes=3)]
    given = {"prune": {10: {"run-0"}}, "join": {10: [("run-2", runs[2])]}}
    whole = Recorder(**given)
    train(tmp_path / "whole", runs, whole, initial=2)
    train(tmp_path / "parts", runs, Recorder(**given, stop_at=14), initial=2)
    for folder in sorted((tmp_path / "parts" / "pack").iterdir(), key=lambda path: path.stat().st_mtime)[-lost:]:
        shutil.rmtree(folder)
    again = Recorder(**given)
    train(tmp_path / "parts", runs, again, initial=2)
    assert again.asked == whole.asked[2 - lost :]
    assert again.metrics().items() <= whole.metrics().items()
    assert {name: end.metrics for name, end in again.ends.items()}.items() <= {
        name: end.metrics for name, end in whole.ends.items()
    }.items()
    assert files(tmp_path / "parts" / "runs") == files(tmp_path / "whole" / "runs")


@pytest.mark.integration
def test_a_lost_newest_checkpoint_costs_time_and_nothing_else(tmp_path):
    runs = [run(seed=s) for s in range(2)]
    whole = Recorder()
    train(tmp_path / "whole", runs, whole)
    train(tmp_path / "parts", runs, Recorder(stop_at=25))
    newest = max((tmp_path / "parts" / "pack").iterdir(), key=lambda path: int(path.name.partition("-")[2]))
    assert newest.name == "update-25"
    shutil.rmtree(newest)
    again = Recorder()
    train(tmp_path / "parts", runs, again)
    assert again.metrics() == {k: v for k, v in whole.metrics().items() if k[1] > 20}
    assert files(tmp_path / "parts" / "runs") == files(tmp_path / "whole" / "runs")


CHILD = """
import sys
from pathlib import Path
from oplstm.testing.packs import train
from oplstm.testing.recorder import Recorder
from tests.oplstm.training.test_resume import LONG
train(Path(sys.argv[1]), LONG, Recorder())
"""
LONG = [run(seed=s, tasks=2000, validate_every=100) for s in range(2)]


@pytest.mark.slow
def test_a_killed_process_leaves_what_a_resume_needs(tmp_path, root):
    environment = {**os.environ, "PYTHONPATH": str(root)}
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    killed = subprocess.Popen([sys.executable, "-c", CHILD, str(parts)], cwd=root, env=environment)
    try:
        while killed.poll() is None and len(list((parts / "pack").glob("update-*"))) < 2:
            time.sleep(0.005)
        time.sleep(random.uniform(0, 0.2))  # anywhere: within updates, a validation or a checkpoint
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert (parts / "pack").exists(), "it failed before it was killed"
    assert not (parts / "runs").exists(), "it had ended before it was killed"
    train(whole, LONG, Recorder())
    train(parts, LONG, Recorder())
    assert files(parts / "runs") == files(whole / "runs")


@pytest.mark.integration
def test_the_checkpoint_of_another_run_is_refused(tmp_path):
    train(tmp_path, [run()], Recorder(stop_at=5))
    with pytest.raises(WorkError, match=r"update-5 holds another configuration of run-0"):
        train(tmp_path, [run(lr=0.02)], Recorder())


@pytest.mark.integration
def test_of_a_checkpoint_that_holds_a_run_more_its_own_go_on(tmp_path):
    """So a pack that was halved goes on from the checkpoint of the whole."""
    train(tmp_path, [run(), run(seed=1)], Recorder(stop_at=5))
    listener = Recorder()
    train(tmp_path, [run()], listener)
    assert {point.run for point in listener.points} == {"run-0"}
    assert min(point.update for point in listener.points) > 5
    assert set(listener.ends) == {"run-0"}
