"""What can be known without the seconds that importing torch takes."""

import subprocess
import sys

import pytest

WITHOUT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"{{name}} must not be imported")

sys.meta_path.insert(0, Absent())
sys.path.insert(0, {root!r})
{code}
"""


def run_without(absent, code, root):
    source = WITHOUT.format(absent=absent, root=str(root), code=code)
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize(
    "module",
    [
        "oplstm.analysis.registry",
        "oplstm.configuration",
        "oplstm.durable",
        "oplstm.episodes.measure",
        "oplstm.episodes.registry",
        "oplstm.episodes.split",
        "oplstm.episodes.task_shape",
        "oplstm.errors",
        "oplstm.learners.registry",
        "oplstm.learners.signature",
        "oplstm.nets.precision",
        "oplstm.registry",
        "oplstm.shape",
        "oplstm.training.budget",
        "oplstm.training.reports",
        "oplstm.training.run",
    ],
)
def test_records_names_and_settings_are_imported_without_torch_and_numpy(module, root):
    run_without({"torch", "numpy"}, f"import {module}", root)


def test_the_names_of_learners_benchmarks_and_analyses_are_known_without_torch_and_numpy(root):
    code = """
from oplstm.analysis.registry import ANALYSES
from oplstm.episodes.registry import BENCHMARKS
from oplstm.learners.registry import LEARNERS
assert "lstm" in LEARNERS and "sine" in BENCHMARKS and "permutation_variance" in ANALYSES
print(*LEARNERS, *BENCHMARKS, *ANALYSES)
"""
    assert {"lstm", "sine", "update_similarity"} <= set(run_without({"torch", "numpy"}, code, root))


def test_a_budget_is_built_without_torch_and_numpy(root):
    code = """
from oplstm.configuration import Problems, build
from oplstm.training.budget import Budget
budget = build(Budget, {"tasks": 100, "validate_every": 10, "analyses": ["update_similarity"]}, Problems())
print(budget.update_count(4), len(budget.milestones(4)))
"""
    assert run_without({"torch", "numpy"}, code, root) == ["25", "10"]


@pytest.mark.slow
def test_a_benchmark_is_defined_and_measured_without_torch(root):
    code = """
from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
for name, benchmark in BENCHMARKS.items():
    values = {"dataset": "mine"} if name == "images" else {}
    print(name, benchmark.measure.name, build(benchmark, values, Problems()).digest()[:0])
"""
    assert run_without({"torch"}, code, root) == [
        *("sine", "loss"), *("omniglot", "accuracy"), *("miniimagenet", "accuracy"), *("cub", "accuracy"),
        *("images", "accuracy"),
    ]  # fmt: skip
