"""Limits of configurations: by the name of a field, whichever learner or benchmark has it."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import pytest

from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
from oplstm.learners.registry import LEARNERS
from oplstm.limits import LARGEST, LARGEST_OTHER, over
from oplstm.training.budget import Budget
from oplstm.training.run import build_run

CONFIGURATIONS = [learner.config_class for learner in LEARNERS.values()] + [*BENCHMARKS.values(), Budget]


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """A learner of another package."""

    depth: int = 1
    rate: float = 0.1
    names: tuple[str, ...] = ()
    flag: bool = False

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    def check(self, problems):
        pass


def lines(cls, **values):
    problems = Problems()
    build(cls, values, problems)
    return problems.lines()


@pytest.mark.parametrize("cls", CONFIGURATIONS)
def test_every_whole_number_of_every_configuration_has_a_limit(cls):
    for field in fields(cls):
        if "int" not in str(field.type):
            continue
        value = 10**12 if "tuple" not in str(field.type) else (10**12,)
        assert f"{field.name}: must be <= {LARGEST[field.name]}, got 1000000000000" in lines(cls, **{field.name: value})


def test_a_limit_itself_is_within_it():
    for name, most in LARGEST.items():
        assert over(name, most) is None
        assert over(name, most + 1) == f"must be <= {most}, got {most + 1}"
        assert over(name, (1, most + 1)) == f"must be <= {most}, got {most + 1}"


def test_fields_of_other_packages_are_limited_too():
    assert lines(Foreign, depth=LARGEST_OTHER, rate=-1e30, names=["x"] * 100, flag=True) == []
    assert lines(Foreign, depth=10**5000) == [
        f"depth: must be <= {LARGEST_OTHER}, got a value of type int that cannot be shown"
    ]
    assert lines(Foreign, rate=-1e31) == ["rate: must be within 1e30 of zero, got -1e+31"]
    assert lines(Foreign, names=["x"] * 101) == ["names: must have at most 100 entries, got 101"]


def test_one_value_too_large_is_one_problem():
    for unit in ("tasks", "updates"):
        assert lines(Budget, **{unit: 10**12, "validate_every": 5}) == [f"{unit}: must be <= 1000000000, got {10**12}"]
    assert lines(Budget, updates="many", validate_every=5) == ["updates: must be a whole number, got 'many'"]
    assert lines(Budget, updates=1, tasks="many", validate_every=1) == ["tasks: must be a whole number, got 'many'"]


RUN = {"learner": "lstm", "benchmark": {"name": "sine"}, "budget": {"tasks": 10, "validate_every": 5}, "seed": 1}
RUN |= {"evaluation_seed": 1, "lr": 0.1, "meta_batch_size": 2}


BESIDE = {
    "meta_batch_size": (10**12, "must be <= 10000, got 1000000000000"),
    "lr": (1e300, "must be within 1e30 of zero, got 1e+300"),
    "lr_half_life": (1e300, "must be within 1e30 of zero, got 1e+300"),
    "grad_clip": (1e300, "must be within 1e30 of zero, got 1e+300"),
    "learner": (10**5000, "unknown 'a value of type int that cannot be shown'; known: "),
}


@pytest.mark.parametrize("key", BESIDE)
def test_what_is_beside_the_learner_is_limited_too(key):
    problems = Problems()
    value, wanted = BESIDE[key]
    assert build_run(RUN | {key: value}, problems) is None
    assert problems.lines()[0].startswith(f"{key}: {wanted}")


def test_a_number_that_is_far_too_small_is_one_problem_too():
    problems = Problems()
    build_run(RUN | {"meta_batch_size": -(10**5000)}, problems)
    assert problems.lines() == ["meta_batch_size: must be >= 1, got a value of type int that cannot be shown"]


def test_seeds_are_any_that_the_streams_take():
    problems = Problems()
    assert build_run(RUN | {"seed": 2**63 - 1}, problems).seed == 2**63 - 1
    assert build_run(RUN | {"seed": 2**63}, problems) is None
    assert problems.lines() == [f"seed: must be below 2^63, got {2**63}"]
