"""Ray's processes: a part that dies or falls silent is named, and what is left of a cluster of one's own is ended."""

import os
import shutil
import socket
import subprocess
import sys
import threading

import psutil
import pytest

from jobs.execution.cluster import connected
from jobs.execution.ray_processes import (
    OWN_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    OwnProcesses,
    RayLost,
    VitalProcesses,
    disconnect,
    is_held,
)
from jobs.jobfile.sections import Resources
from oplstm.errors import RequestError, WorkError
from tests.conftest import ROOT


@pytest.fixture
def children(tmp_path):
    """Starts children by the name of a program that only waits; ends those that are left."""
    started = []

    def start(name):
        shutil.copy(shutil.which("sleep"), tmp_path / name)
        started.append(subprocess.Popen([tmp_path / name, "60"]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("name", "words"), [("gcs_server", "head service of Ray"), ("raylet", "Ray's service of this node")]
)
def test_a_part_that_this_process_started_and_that_dies_is_named_at_once(name, words, children):
    others = [children(other) for other in ("gcs_server", "raylet", "log_monitor") if other != name]
    victim = children(name)
    vital = VitalProcesses("127.0.0.1:1", "oplstm resume s")
    vital.check()
    others[-1].kill()  # a part that can be done without
    others[-1].wait()
    vital.check()
    victim.kill()
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)  # it has died, and nobody has asked how
    with pytest.raises(RayLost, match=rf"^.*{words}.* process {victim.pid}, has died; oplstm resume s$"):
        vital.check()


def test_a_head_elsewhere_may_be_silent_for_a_moment_and_not_for_long():
    now = [0.0]
    with socket.create_server(("127.0.0.1", 0)) as head:
        port = head.getsockname()[1]
        vital = VitalProcesses(f"127.0.0.1:{port}", "oplstm resume s", lambda: now[0])
        now[0] += 1000
        vital.check()
    now[0] += PATIENCE_SECONDS - 1
    vital.check()
    with socket.create_server(("127.0.0.1", port)):
        vital.check()
    now[0] += PATIENCE_SECONDS - 1
    vital.check()
    now[0] += 1
    with pytest.raises(RayLost, match=rf"at 127\.0\.0\.1:{port} has not answered for 15 s; oplstm resume s"):
        vital.check()


FAMILY = "import subprocess, sys; subprocess.Popen(['sleep', '60']); print(flush=True); sys.stdin.read()"


@pytest.mark.slow
def test_what_is_left_of_a_cluster_of_one_s_own_is_ended_and_nothing_else(children):
    stranger = children("sleep")
    own = OwnProcesses()
    with subprocess.Popen([sys.executable, "-c", FAMILY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        own.find()
        later = children("later")
        [child] = psutil.Process(parent.pid).children()
        own.kill()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert stranger.poll() is None and later.poll() is None


def test_a_part_that_dies_while_ray_starts_is_one_line_and_what_is_left_is_ended(children, monkeypatch):
    """Ray itself would wait for a minute for it, as the thread here does for ever."""
    started, never = [], threading.Event()

    def init(**_):
        started.extend(map(children, ("gcs_server", "log_monitor", "raylet")))
        started[-1].kill()
        never.wait(60)

    monkeypatch.setattr("jobs.execution.cluster.ray.init", init)
    line = r"^Ray did not start on this machine: .*\(raylet\), process \d+, has died; nothing was begun, so try again$"
    try:
        with pytest.raises(RequestError, match=line), connected(None, Resources()):
            pass
    finally:
        never.set()
    for process in started:
        process.wait(10)


@pytest.mark.parametrize(
    ("address", "words"),
    [(None, "Ray did not start on this machine"), ("10.0.0.1:6379", "cannot connect to Ray at 10.0.0.1:6379")],
)
def test_whatever_ray_raises_while_it_starts_is_one_line(address, words, monkeypatch):
    def init(**_):
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr("jobs.execution.cluster.ray.init", init)
    line = f"^{words}: The current node timed out during startup[^\n]*$"
    with pytest.raises(RequestError, match=line), connected(address, Resources()):
        pass


def test_the_thread_in_which_ray_starts_lives_as_long_as_ray_is_used(monkeypatch):
    """Linux ends what asked to die with its parent when that thread ends."""
    began = []
    monkeypatch.setattr("jobs.execution.cluster.ray.init", lambda **_: began.append(threading.current_thread()))
    monkeypatch.setattr("jobs.execution.cluster.check_resources", lambda resources: None)
    with connected(None, Resources()):
        assert began[0].is_alive()
    began[0].join(10)
    assert not began[0].is_alive()


def test_a_head_that_this_process_started_may_live_and_answer_nobody(children):
    now = [0.0]
    children("raylet")
    assert not VitalProcesses("127.0.0.1:1", "oplstm resume s").head_is_own
    children("gcs_server")
    vital = VitalProcesses("127.0.0.1:1", "oplstm resume s", lambda: now[0])
    assert vital.head_is_own
    now[0] += OWN_PATIENCE_SECONDS - 1
    vital.check()
    now[0] += 1
    with pytest.raises(RayLost, match="has not answered for 2 s; oplstm resume s"):
        vital.check()


def test_who_leaves_a_cluster_that_lets_nobody_go_does_not_wait_for_it():
    disconnect(lambda: None, 60.0)
    assert not is_held()
    gone = threading.Event()
    disconnect(gone.wait, 0.0)
    try:
        assert is_held()
        with pytest.raises(WorkError, match="go on in a new one"), connected(None, Resources()):
            pass
    finally:
        gone.set()


STARTS_BY_ITSELF = """
import jobs, ray
ray.init = lambda: print("another cluster")
try:
    ray.put(1)
except Exception as error:
    print(type(error).__name__)
"""


@pytest.mark.slow
def test_what_still_asks_a_cluster_that_is_gone_starts_no_other():
    """As Tune does, which cleans up in a thread: the process would wait for a minute, for the one that it started."""
    command = [sys.executable, "-c", STARTS_BY_ITSELF]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "RaySystemError\n"
