"""Every signal that asks a sweep to end stops it cleanly, whenever it comes, and the verb says so."""

import os
import signal

import pytest

from jobs.operations.running import is_running
from tests.chaos.processes import Processes
from tests.jobs.integration.command_line import Oplstm, wait_until
from tracking.server.ending import end_unused_server

pytestmark = pytest.mark.timeout(600)

NEVER_ENDS = {"tasks": 4_000_000, "validate_every": 500}


def said_that_it_stopped(done, name):
    assert done.code == 1, done.err
    assert f"{name} stopped: " in done.out, done.err
    assert f"go on with: oplstm resume {name}" in done.out
    assert "*** SIG" not in done.err, "a C++ stack"
    return True


@pytest.mark.long
def test_sigterm_an_interrupt_while_ray_starts_and_a_closed_terminal(oplstm: Oplstm, server, unique: str):
    folder = oplstm.sweep(unique)
    job = oplstm.job(unique, budget=NEVER_ENDS, trials=1)
    sweep = oplstm.start("sweep", job, "--tracking-uri", server.uri)
    oplstm.await_points(unique, 1, verb=sweep)
    sweep.terminate()
    assert said_that_it_stopped(sweep.wait(), unique)

    points = len(oplstm.events(unique, "point"))
    resumed = oplstm.start("resume", unique)
    wait_until(lambda: is_running(folder))
    resumed.interrupt()
    assert said_that_it_stopped(resumed.wait(), unique)
    assert len(oplstm.events(unique, "point")) == points, "it trained on"
    assert not folder.stop_request.exists()

    resumed = oplstm.start("resume", unique)
    oplstm.await_points(unique, 1, verb=resumed, after=points)
    os.killpg(resumed.pid, signal.SIGHUP)
    assert said_that_it_stopped(resumed.wait(), unique)
    assert oplstm.run("status", unique, "--json").json["state"] == "stopped"


@pytest.mark.slow
def test_a_batch_system_signals_all_processes_and_ray_s_too(oplstm: Oplstm, unique: str):
    """Ray's head and node then go before the sweep has stopped."""
    job = oplstm.job(unique, budget=NEVER_ENDS, trials=1)
    sweep = oplstm.start("sweep", job)  # with a server of its own
    oplstm.await_points(unique, 1, verb=sweep)
    os.killpg(sweep.pid, signal.SIGTERM)
    done = sweep.wait()
    assert done.code == 1
    assert f"oplstm resume {unique}" in done.out + done.err, done.err
    assert "*** SIG" not in done.err and "Traceback" not in done.err
    wait_until(lambda: not Processes(sweep.pid).all())
    assert not end_unused_server(oplstm.home.path), "its server was left behind"
    assert oplstm.run("status", unique, "--json").json["state"] == "stopped"
    assert oplstm.events(unique, "point")


@pytest.mark.long
def test_an_interrupt_before_there_is_anything_makes_nothing(oplstm: Oplstm, server, unique: str):
    sweep = oplstm.start("sweep", oplstm.job(unique, budget=NEVER_ENDS), "--tracking-uri", server.uri)
    wait_until(lambda: oplstm.home.sweeps.is_dir())  # the disk was looked at, so the signals are waited for
    sweep.interrupt()
    done = sweep.wait()
    assert done.code == 1
    assert not oplstm.sweep(unique).path.exists() or "stopped: " in done.out
