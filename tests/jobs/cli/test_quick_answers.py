"""What only looks answers at once: it imports neither torch nor scipy, Optuna, Ray or MLflow, which take seconds."""

import json
import subprocess
import sys

import pytest

from jobs.store.home import Home
from tests.conftest import ROOT
from tests.jobs.formula_training import job, new_sweep

SLOW = {"torch", "scipy", "optuna", "ray", "mlflow"}
RUN = """
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
runpy.run_module("jobs.cli", run_name="__main__", alter_sys=True)
"""
ANSWERS = {
    "--help": "Usage: ",
    "jobs": "demo",
    "status": "small",
    "status --json": '    "name": "small",',
    "status small": "trial-0002",
    "status small --json": '      "name": "trial-0002",',
    "status small --watch": "small complete: 3 complete",
    "explain small 2": "oplstm train small/trial-0002",
    "stop small": "oplstm: small is not running",
    "stop nobody": "oplstm: no sweep named 'nobody'",
    "data status": "no dataset in",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", ANSWERS)
def test_what_only_looks_imports_nothing_slow(words, small_sweep):
    new_sweep(Home().sweeps / "damaged", job()).header.write_text("nonsense")
    command = [sys.executable, "-c", RUN, *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *complaint, modules = done.stderr.splitlines()
    said = "\n".join(complaint) if words.startswith("stop") else done.stdout
    assert ANSWERS[words] in said
    assert SLOW.intersection(json.loads(modules)) == set()


COMPILER = {"sympy", "torch._dynamo"}
READ = """
import json, sys
from pathlib import Path
from jobs.jobfile.reading import parse_job
for name in sys.argv[1:]:
    parse_job((Path("jobs/jobfile/files") / name).read_text(), name, [])
print(json.dumps(sorted(sys.modules)))
"""


@pytest.mark.slow
def test_a_job_is_read_without_torchs_compiler_which_takes_a_second_to_import():
    names = ["published-sine-op-lstm.yaml", "omniglot-op-lstm.yaml", "miniimagenet-maml.yaml"]
    command = [sys.executable, "-c", READ, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout.splitlines()[-1])
    assert "torch" in modules
    assert COMPILER.intersection(modules) == set()
