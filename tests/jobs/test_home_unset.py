"""In a container that runs under a number without an entry among the users, and without HOME."""

import os
import subprocess
import sys

from tests.conftest import ROOT

SCRIPT = """
import os, pwd

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
assert "HOME" not in os.environ
import jobs
from jobs.cli.main import main
from jobs.store.servers import KnownServers

servers = KnownServers()
servers.add("http://mine")
assert "http://mine" not in servers
main(["--version"])
"""


def test_an_unknown_user_without_home_can_use_it(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CONFIG_HOME")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "version" in done.stdout
    assert list(tmp_path.iterdir()) == []
