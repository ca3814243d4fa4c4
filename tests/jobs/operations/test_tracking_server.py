"""Which MLflow server a verb speaks to."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from jobs.operations import tracking_server as module
from jobs.operations.doctor import examine
from jobs.operations.tracking_server import chosen_uri, tracking_server
from jobs.store.home import Home
from tracking.server.record import ServerRecord

OWNER = """
import sys, time
from pathlib import Path
from tracking.server.embedded import Server
Server(Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(600)
"""


def test_the_option_wins_over_the_environment_and_without_both_the_server_is_embedded(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert chosen_uri("http://option") == "http://option"
    assert chosen_uri(None) == "http://environment"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert chosen_uri(None) is None


@pytest.mark.integration
@pytest.mark.parametrize("verb", ["with another server", "doctor"])
def test_a_server_whose_owner_was_killed_is_ended_by_the_next_verb(verb, oplstm_home, monkeypatch):
    """One that somebody uses is not."""
    monkeypatch.setattr(module, "check_reachable", lambda uri: None)

    def next_verb():
        if verb == "doctor":
            examine(Home())
            return
        with tracking_server(Home(), "http://other"):
            pass

    with subprocess.Popen([sys.executable, "-c", OWNER, oplstm_home], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "up\n"
        record = ServerRecord.load(oplstm_home / "mlflow")
        next_verb()
        assert psutil.pid_exists(record.pid)
        os.kill(owner.pid, signal.SIGKILL)
    next_verb()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(record.pid) and psutil.Process(record.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)
