"""What holds for the repository as a whole: imports, names, sizes, versions."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

PACKAGES = ("oplstm", "search_spaces", "tracking", "jobs")
SCIENCE = {"torch", "torchvision", "numpy", "PIL", "safetensors"}  # all that a GPU image can be asked for
PICKLING = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def imports(source: str) -> set[str]:
    """The top-level names that a module imports absolutely, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def calls(source: str) -> set[str]:
    """Every call in a module, as dotted names."""
    return {ast.unparse(node.func) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)}


def pins() -> dict[str, Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    requirements = [Requirement(line) for line in lines if line]
    names = [canonicalize_name(requirement.name) for requirement in requirements]
    assert sorted(set(names)) == sorted(names), "a package is pinned twice"
    return dict(zip(names, requirements, strict=True))


LIKE_A_LIBRARY = {
    "forward": "torch.autograd.Function",
    "__torch_dispatch__": "TorchDispatchMode",
    "suggest_discrete_uniform": "optuna.Trial",
    "show": "warnings.showwarning",
}
"""Functions that others call, in their own way."""


def takes_more_than_three_by_place(function: ast.FunctionDef) -> bool:
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args)]
    by_click = any("command" in ast.unparse(one) or "option" in ast.unparse(one) for one in function.decorator_list)
    return not by_click and len(names) - (names[:1] in (["self"], ["cls"])) > 3


@pytest.mark.slow
def test_functions_of_more_than_three_arguments_take_them_by_keyword():
    functions = [
        (path, node)
        for path, source in SOURCES.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name not in LIKE_A_LIBRARY
    ]
    assert [(path, one.name) for path, one in functions if takes_more_than_three_by_place(one)] == []


def test_the_four_packages_are_there():
    assert {path.partition("/")[0] for path in SOURCES} == set(PACKAGES)


@pytest.mark.slow
def test_oplstm_imports_the_science_and_nothing_else():
    allowed = SCIENCE | {"oplstm"} | sys.stdlib_module_names
    beyond = {path: imports(source) - allowed for path, source in SOURCES.items() if path.startswith("oplstm/")}
    assert {path: names for path, names in beyond.items() if names} == {}


@pytest.mark.slow
def test_oplstm_runs_where_only_the_science_is_installed(tmp_path):
    others = {Requirement(line).name for line in PROJECT["project"]["dependencies"]} - SCIENCE - {"pillow", "pyyaml"}
    code = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {others | {"yaml", "pandas"}!r}:
            raise ModuleNotFoundError(f"{{name}} is not installed", name=name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, {str(ROOT)!r})
import oplstm
for module in pkgutil.walk_packages(oplstm.__path__, "oplstm."):
    importlib.import_module(module.name)
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_every_import_is_of_a_declared_dependency():
    distributions = {"PIL": "pillow", "yaml": "pyyaml", "pydantic_core": "pydantic-core"}
    declared = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
    declared |= {"torchvision"}  # imported lazily, by one adapter
    known = sys.stdlib_module_names | set(PACKAGES)
    beyond = {
        path: {name for name in imports(source) - known if distributions.get(name, name) not in declared}
        for path, source in SOURCES.items()
    }
    assert {path: names for path, names in beyond.items() if names} == {}


@pytest.mark.slow
def test_no_pickle_is_written_or_read():
    for path, source in SOURCES.items():
        assert not imports(source) & PICKLING, path
        assert not calls(source) & {"torch.load", "torch.save"}, path
        assert "allow_pickle=True" not in source, path


def test_modules_are_small_and_named_for_one_thing():
    for path in SOURCES:
        assert not re.search(r"/(utils?|helpers?|common|misc)\b", path), path
    lines = sorted(len(source.splitlines()) for path, source in SOURCES.items() if not path.endswith("__init__.py"))
    assert lines[len(lines) // 2] <= 110
    assert lines[int(len(lines) * 0.9)] <= 230
    assert lines[-1] <= 350


def test_every_module_lies_in_a_package_so_that_the_wheel_has_it():
    assert {path for path in SOURCES if not (ROOT / path).with_name("__init__.py").exists()} == set()
    find = PROJECT["tool"]["setuptools"]["packages"]["find"]
    assert set(find["include"]) == {pattern for package in PACKAGES for pattern in (package, f"{package}.*")}
    assert find["namespaces"] is False, "namespace search would take folders such as oplstm-home along"


def test_tests_mirror_the_packages():
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/test_*.py")}
    assert folders <= {*PACKAGES, "benchmark", "chaos", "example_plugin"}


def test_constraints_are_exact_and_portable():
    for requirement in pins().values():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), f"{requirement}: one version, no local suffix"
        assert not (requirement.url or requirement.marker or requirement.extras), requirement


@pytest.mark.slow
def test_constraints_pin_every_direct_dependency_within_its_range():
    project = PROJECT["project"]
    for line in itertools.chain(project["dependencies"], *project["optional-dependencies"].values()):
        wanted = Requirement(line)
        [pin] = pins()[canonicalize_name(wanted.name)].specifier
        assert wanted.specifier.contains(pin.version), f"{wanted}, but constraints.txt has {pin.version}"


def test_a_test_without_a_tier_is_a_unit_test(request):
    assert request.node.get_closest_marker("unit")
    assert request.node.get_closest_marker("timeout").args == (60,)
