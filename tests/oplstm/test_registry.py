"""Names of learners, benchmarks and analyses: what ships, what a program adds, and what installed packages declare."""

import subprocess
import sys

import pytest

from oplstm.analysis.registry import ANALYSES
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.learners.registry import LEARNERS
from oplstm.registry import Registry

SHIPPED_TAU = 6.283185307179586
SHIPPED = {"sine": "oplstm.episodes.sine:SineTasks", "tau": "math:tau"}


def registry():
    return Registry("benchmark", "oplstm.benchmarks", SHIPPED)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with entry points, and modules, on the path as pip would."""

    def installed(points, modules=(), *, name="elsewhere", group="oplstm.benchmarks"):
        site = tmp_path / name
        info = site / f"{name}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        lines = "".join(f"{point} = {value}\n" for point, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        for module, source in dict(modules).items():
            (site / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))
        return site

    yield installed
    for module in ("another_benchmark", "broken_benchmark"):
        sys.modules.pop(module, None)


def test_it_is_a_mapping_of_what_ships():
    known = registry()
    assert list(known) == ["sine", "tau"]
    assert len(known) == 2
    assert "sine" in known and "cosine" not in known and 3 not in known
    assert known["tau"] == known.get("tau") == pytest.approx(6.283185307179586)
    assert known["sine"].name == "sine"
    assert known.get("cosine") is None
    with pytest.raises(KeyError, match="cosine"):
        known["cosine"]


@pytest.mark.parametrize("known", [LEARNERS, BENCHMARKS])
def test_what_ships_carries_the_name_it_is_found_by(known):
    assert {name: entry.name for name, entry in known.items()} == {name: name for name in known}


def test_the_names_that_ship():
    assert list(LEARNERS) == ["lstm", "op_lstm", "maml", "protonet", "warp_maml", "sap"]
    assert list(BENCHMARKS) == ["sine", "omniglot", "miniimagenet", "cub", "images"]
    assert list(ANALYSES) == ["update_similarity", "update_similarity_authors", "permutation_variance"]
    assert all(callable(analysis) for analysis in ANALYSES.values())


def test_every_learner_supports_analyses_that_there_are():
    assert all(set(learner.analyses) <= set(ANALYSES) for learner in LEARNERS.values())


# What a program adds


def test_an_entry_can_be_registered():
    known = registry()
    known.register("mine", 3)
    assert list(known) == ["sine", "tau", "mine"]
    assert known["mine"] == 3


@pytest.mark.parametrize("name", ["", "Mine", "2nd", "my-own", "a/b", "../up", "a b", "x" * 65, "mine\n"])
def test_a_name_that_could_not_stand_in_files_and_paths_is_refused(name):
    known = registry()
    with pytest.raises(ValueError, match=r"its name must match \[a-z\]\[a-z0-9_\]\{0,63\}, got"):
        known.register(name, 3)
    assert list(known) == ["sine", "tau"]


def test_a_name_that_is_taken_is_refused():
    known = registry()
    known.register("mine", 3)
    for name in ("sine", "mine"):
        with pytest.raises(ValueError, match=f"there is a benchmark '{name}' already"):
            known.register(name, 4)
    assert known["mine"] == 3


def test_an_entry_is_registered_under_its_own_name():
    with pytest.raises(ValueError, match="under its own name 'sine', got 'cosine'"):
        registry().register("cosine", BENCHMARKS["sine"])


# What installed packages declare


def test_an_installed_package_adds_entries_which_are_imported_when_they_are_looked_up(install):
    install({"another": "another_benchmark:Another.inner"}, {"another_benchmark": "class Another:\n    inner = 7\n"})
    known = registry()
    assert "another" in known
    assert list(known) == ["sine", "tau", "another"]
    assert "another_benchmark" not in sys.modules
    assert known["another"] == 7


def test_installed_packages_are_not_looked_at_for_what_ships(install):
    install({"Impossible": "nowhere:at_all"})
    known = registry()
    assert known["tau"] and "sine" in known
    with pytest.raises(RequestError):
        list(known)


@pytest.mark.parametrize(
    ("points", "modules", "message"),
    [
        (
            {"another": "not_there:Another"},
            {},
            "the benchmark 'another' of elsewhere 1.2 (not_there:Another) cannot be imported "
            "(ModuleNotFoundError: No module named 'not_there'); mend or uninstall that package",
        ),
        (
            {"another": "broken_benchmark:Another"},
            {"broken_benchmark": "1 / 0"},
            "the benchmark 'another' of elsewhere 1.2 (broken_benchmark:Another) cannot be imported "
            "(ZeroDivisionError: division by zero); mend or uninstall that package",
        ),
        (
            {"another": "another_benchmark:Missing"},
            {"another_benchmark": "class Another: ..."},
            "the benchmark 'another' of elsewhere 1.2 (another_benchmark:Missing) cannot be imported (AttributeError: "
            "module 'another_benchmark' has no attribute 'Missing'); mend or uninstall that package",
        ),
        (
            {"another": "another_benchmark:Another"},
            {"another_benchmark": "class Another:\n    name = 'other'\n"},
            "the benchmark 'another' of elsewhere 1.2 (another_benchmark:Another): "
            "it must be registered under its own name 'other', got 'another'",
        ),
        (
            {"An-other": "another_benchmark:Another"},
            {},
            "the benchmark 'An-other' of elsewhere 1.2 (another_benchmark:Another): "
            "its name must match [a-z][a-z0-9_]{0,63}, got 'An-other'",
        ),
        (
            {"sine": "another_benchmark:Another"},
            {},
            "the benchmark 'sine' of elsewhere 1.2 (another_benchmark:Another): there is a benchmark 'sine' already",
        ),
    ],
    ids=["no module", "fails", "no attribute", "another name", "impossible name", "taken"],
)
def test_an_entry_point_that_fails_is_one_error_that_names_it(install, points, modules, message):
    install(points, modules)
    with pytest.raises(RequestError) as caught:
        registry()["another"]
    assert str(caught.value) == message


def test_two_packages_cannot_declare_the_same_name(install):
    install({"another": "math:pi"}, name="first")
    install({"another": "math:e"}, name="second")
    with pytest.raises(RequestError, match=r"of (first|second) 1.2 .*: there is a benchmark 'another' already"):
        list(registry())


def test_an_entry_of_the_program_and_one_of_a_package_cannot_share_a_name(install):
    install({"another": "math:pi"})
    before, after = registry(), registry()
    before.register("another", 1)
    with pytest.raises(RequestError, match="there is a benchmark 'another' already"):
        list(before)
    assert "another" in after
    with pytest.raises(ValueError, match="there is a benchmark 'another' already"):
        after.register("another", 1)


METHOD = '''
"""A whole method, in one file: the mean of the targets."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from oplstm.episodes.sine import SineTasks
from oplstm.learners.learner import Learner


@dataclass(frozen=True, kw_only=True)
class MeanConfig:
    conventions: ClassVar = {"paper": {}}

    def check(self, problems):
        pass


class Mean(Learner):
    name = "mean"
    config_class = MeanConfig
    analyses = ("permutation_variance", "offsets")

    def init(self, config, generator):
        return {"offset": torch.zeros(1)}

    def begin(self, params, support):
        return support.support_y.mean(2)

    def one_pass(self, params, support, state):
        return state

    def fast(self, state):
        return state

    def predict(self, params, fast, query_x):
        return (fast + params["offset"][:, None]).unsqueeze(2).expand(-1, -1, query_x.shape[2], -1)


class Flat(SineTasks):
    name = "flat"
    amplitude = (2.0, 2.0)


def offsets(learner, params, episode):
    return {"mean/offset": params["offset"].expand(-1, episode.task_count)}
'''
RUN = """
from oplstm.configuration import Problems
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig, build_run

data = {
    "learner": "mean",
    "benchmark": {"name": "flat", "shots": 3},
    "budget": {"tasks": 8, "validate_every": 4, "validation_tasks": 5, "analyses": ["offsets"]},
    "meta_batch_size": 2, "lr": 0.1, "seed": 0, "evaluation_seed": 1,
}
problems = Problems()
run = build_run(data, problems)
assert run is not None, problems.lines()
assert RunConfig.from_dict(run.to_dict()) == run
pack = Pack([run, run], ["a", "b"])
pack.step()
assert pack.state.weights.abs().min() > 0
assert pack.validation_scores()["loss"].shape == (2, 5)
assert pack.analyses()["mean/offset"].shape == (2, 5)

build_run(data | {"learner": "lstm"}, problems)
print(*problems.lines(), sep="\\n")
"""


@pytest.mark.integration
def test_a_method_a_benchmark_and_an_analysis_of_another_package_train(install, root):
    site = install({"mean": "mean:Mean"}, {"mean": METHOD}, group="oplstm.learners")
    points = site / "elsewhere-1.2.dist-info" / "entry_points.txt"
    points.write_text(
        points.read_text() + "[oplstm.benchmarks]\nflat = mean:Flat\n[oplstm.analyses]\noffsets = mean:offsets\n"
    )
    path = {"PYTHONPATH": f"{root}:{site}", "OMP_NUM_THREADS": "1"}
    result = subprocess.run([sys.executable, "-c", RUN], env=path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "budget.analyses: offsets is an analysis of mean, got lstm\n"


def test_what_is_declared_is_imported_when_it_is_looked_up():
    known = registry()
    known.declare("circle", "math:tau")
    known.declare("gone", "math:gone")
    known.declare("circle", "math:tau")
    assert "circle" in known and known["circle"] == SHIPPED_TAU
    with pytest.raises(RequestError, match=r"\(math:gone\) cannot be imported"):
        known["gone"]
    with pytest.raises(ValueError, match="there is a benchmark 'gone' already"):
        known.declare("gone", "math:pi")


def test_registering_what_ones_own_package_declares_is_no_conflict(install):
    install({"another": "another_benchmark:Another"}, {"another_benchmark": "class Another: ...\n"})
    for looked in (False, True):
        known = registry()
        assert not looked or "another" in known
        known.declare("another", "another_benchmark:Another")
        assert list(known) == ["sine", "tau", "another"]
        assert known.point("another").value == "another_benchmark:Another" and known["another"].__name__ == "Another"


def test_what_is_offered_is_loaded_when_nothing_else_has_the_name(install):
    known, asked = registry(), []
    known.offer("mine", lambda: (asked.append("mine"), known.register("mine", 3)))
    known.offer("tau", lambda: asked.append("tau"))
    assert "mine" in known and list(known) == ["sine", "tau"] and not asked
    assert (known["mine"], known["mine"], known["tau"]) == (3, 3, SHIPPED_TAU)
    assert asked == ["mine"]
