"""The numerical part of the benchmark runs on a GPU image, which has none of the platform's packages."""

import subprocess
import sys

import pytest

from tests.benchmark.tables import ROOT

pytestmark = pytest.mark.integration

ABSENT = ("rich", "ray", "optuna", "mlflow", "pydantic", "yaml", "requests", "pandas", "scipy", "matplotlib", "xdist")
BENCHMARK = ROOT / "tests" / "benchmark"


def test_the_numerical_modules_need_the_science_psutil_click_and_pytest_alone(tmp_path):
    files = [path.relative_to(ROOT) for path in sorted(BENCHMARK.rglob("*.py")) if not path.name.startswith("test_")]
    ours = [path for path in files if not {"orchestration", "promotion.py"} & {*path.parts}]
    names = [".".join(path.with_suffix("").parts) for path in ours]
    assert {"tests.benchmark.comparison", "tests.benchmark.gpu_check.part"} <= set(names)
    code = f"""
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(ROOT)!r})
for name in {[*names, "tests.oplstm.training.test_cuda"]!r}:
    importlib.import_module(name)

import torch
from tests.benchmark.tables import machine
assert machine(torch.device("cpu"))["oplstm"]
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
