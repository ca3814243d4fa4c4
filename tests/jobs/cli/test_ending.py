"""How the process of a verb ends."""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

PROGRAM = """
import atexit, sys, threading
from jobs.cli.main import main
from jobs.execution.ray_processes import disconnect
atexit.register(print, "goodbye")
if sys.argv.pop() == "held":
    sys.modules["ray"] = None
    disconnect(threading.Event().wait, 0.0)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(("state", "goodbye"), [("free", "goodbye\n"), ("held", "")])
def test_where_a_lost_ray_holds_it_a_verb_ends_without_goodbye_once_all_is_said(state, goodbye, home):
    """Ray's goodbye would wait for its head for a minute, and then end the process itself."""
    command = [sys.executable, "-c", PROGRAM, "stop", "nothing", state]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("oplstm: ") and "nothing" in done.stderr
    assert done.stdout == goodbye
