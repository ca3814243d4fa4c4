"""The tutorial and the Python of the how-to pages do what they say: every command as it stands, shortened."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.code_blocks import blocks
from tests.conftest import ROOT
from tests.jobs.integration.command_line import Oplstm
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration

SHORT = [
    word
    for setting in (
        "budget={tasks: 120, validate_every: 40, validation_tasks: 20, test_tasks: 20}",
        "final.budget={tasks: 120, test_tasks: 20}",
        "promotion={replicates: {leaders: 2, seeds: 1}, tasks: 40}",
        "trials=4",
        "pruner.options={n_startup_trials: 2}",
    )
    for word in ("--set", setting)
]
"""What makes seconds of the tutorial's minutes."""
SHORTENED = ("plan", "sweep", "train")
NOT_HERE = {
    "git": "needs the repository's address",
    "cd": "a shell's own",
    "make": "installs, or waits for Ctrl-C; CI begins with the one, test_ui.py is of the other",
    "source": "a shell's own",
}


def tutorial() -> list[list[str]]:
    """The commands of the tutorial, in their order."""
    text = "".join(blocks(ROOT / "docs/tutorial.md", "sh"))
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def done(new_oplstm, ray_address, server, tmp_path_factory):
    """The command line after the tutorial, and what each of its commands printed."""
    oplstm, printed = new_oplstm(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tutorial"))
        patch.setenv("MLFLOW_TRACKING_URI", server.uri)
        for program, *words in tutorial():
            if program in NOT_HERE:
                continue
            assert program == "oplstm", program
            ended = oplstm.here(*words, *(SHORT if words[0] in SHORTENED else ()))
            printed[" ".join(words)] = ended.ok().out
    return oplstm, printed


def test_the_tutorial_does_what_it_says(done: tuple[Oplstm, dict[str, str]]):
    printed = done[1]
    assert "first complete: " in printed["sweep demo --name first"]
    assert "champion in the MLflow Model Registry: demo:" in printed["promote first"]


def test_the_python_of_the_pandas_page_runs(done: tuple[Oplstm, dict[str, str]], server: Server, tmp_path: Path):
    page = ROOT / "docs/howto/pandas.md"
    code = "".join(blocks(page, "python")).replace("http://127.0.0.1:5000", server.uri)
    here = Path(sys.executable).parent
    environment = {
        **os.environ, "OPLSTM_HOME": str(done[0].home.path), "PATH": f"{here}:{os.environ['PATH']}",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-c", code + "\nassert len(trials) == 4 and len(runs) >= 4 and len(curve)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
