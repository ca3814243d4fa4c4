"""Configurations from plain data: types, unknown keys, conventions, impossible values, and all problems at once."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest

from oplstm.configuration import Problems, build, convert, positive, unknown_key
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.learners.op_lstm import OPLSTMConfig


@dataclass(frozen=True, kw_only=True)
class Oven:
    degrees: float
    minutes: int = 30
    grill: bool = False
    mode: Literal["fan", "still"] = "fan"
    trays: tuple[int, ...] = (1,)
    label: str = ""
    limit: float | None = None

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {"grill": True, "mode": "still"}}

    def check(self, problems):
        positive(problems, self, "degrees", "minutes", "limit")


def built(**values):
    problems = Problems()
    oven = build(Oven, values, problems)
    assert not problems, problems.lines()
    return oven


def problems_of(values, cls=Oven):
    problems = Problems()
    assert build(cls, values, problems) is None
    return problems.lines()


def test_defaults_and_given_values():
    assert built(degrees=200) == Oven(degrees=200.0)
    assert isinstance(built(degrees=200).degrees, float)
    given = built(degrees="2e2", minutes=5, grill=True, mode="still", trays=[2, 3], label="bread", limit=1)
    assert given == Oven(degrees=200.0, minutes=5, grill=True, mode="still", trays=(2, 3), label="bread", limit=1.0)


def test_none_is_for_optional_values_alone():
    assert built(degrees=1, limit=None).limit is None
    assert problems_of({"degrees": None}) == ["degrees: must be a finite number, got None"]


def test_a_required_value_is_missed():
    assert problems_of({}) == ["degrees: is required"]


def test_a_wrong_required_value_is_one_problem_not_two():
    assert problems_of({"degrees": "hot"}) == ["degrees: must be a finite number, got 'hot'"]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("minutes", 1.5, "a whole number"),
        ("minutes", "5", "a whole number"),
        ("minutes", True, "a whole number"),
        ("degrees", True, "a finite number"),
        ("degrees", "nan", "a finite number"),
        ("degrees", float("inf"), "a finite number"),
        ("degrees", [1], "a finite number"),
        ("grill", 1, "true or false"),
        ("grill", "yes", "true or false"),
        ("mode", "steam", "one of fan, still"),
        ("mode", 1, "one of fan, still"),
        ("trays", 3, "a list"),
        ("trays", "3", "a list"),
        ("trays", [1, 2.5], "a whole number"),
        ("label", 3, "text"),
        ("limit", "much", "a finite number"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_the_type_wanted(key, value, wanted):
    (line,) = problems_of({"degrees": 1.0, key: value})
    met = value[1] if value == [1, 2.5] else value
    assert line == f"{key}: must be {wanted}, got {met!r}"


def test_a_literal_is_not_fooled_by_an_equal_value_of_another_type():
    with pytest.raises(ValueError, match="must be one of 1, 2, got True"):
        convert(True, Literal[1, 2])


def test_an_unknown_key_is_refused_with_the_nearest_name():
    assert problems_of({"degrees": 1, "minuts": 3}) == ["minuts: unknown 'minuts'; did you mean 'minutes'?"]
    (line,) = problems_of({"degrees": 1, "xyz": 3})
    assert line == "xyz: unknown 'xyz'; known: degrees, grill, label, limit, minutes, mode, trays"
    assert unknown_key("lstmm", ["lstm", "op_lstm"]) == "unknown 'lstmm'; did you mean 'lstm'?"


def test_all_problems_are_reported_at_once():
    lines = problems_of({"convention": "author", "minuts": 3, "mode": "steam", "grill": 2})
    assert {line.partition(":")[0] for line in lines} == {"convention", "minuts", "mode", "grill", "degrees"}
    assert "convention: unknown 'author'; did you mean 'authors'?" in lines


def test_all_impossible_values_are_reported_at_once():
    assert problems_of({"degrees": 0, "minutes": 0, "limit": -2.5}) == [
        "degrees: must be > 0, got 0",
        "minutes: must be >= 1, got 0",
        "limit: must be > 0, got -2.5",
    ]


def test_a_convention_sets_defaults_and_given_values_win():
    assert built(degrees=1, convention="paper") == built(degrees=1)
    assert built(degrees=1, convention="authors") == Oven(degrees=1.0, grill=True, mode="still")
    assert built(degrees=1, convention="authors", grill=False) == Oven(degrees=1.0, grill=False, mode="still")


def test_places_go_down_with_the_file():
    problems = Problems()
    below = problems.below("budget").below("deep")
    below.add("tasks", "too many")
    below.add(("a", "b"), "odd")
    problems.add((), "empty")
    assert problems.lines() == ["budget.deep.tasks: too many", "budget.deep.a.b: odd", "configuration: empty"]
    assert below


def test_problems_found_before_do_not_stop_what_is_right():
    problems = Problems()
    problems.add("elsewhere", "wrong")
    assert build(Oven, {"degrees": 1}, problems) == Oven(degrees=1.0)
    assert len(problems.found) == 1


def test_configurations_are_frozen():
    with pytest.raises(AttributeError):
        built(degrees=1).degrees = 2


@pytest.mark.parametrize("cls", [LSTMConfig, OPLSTMConfig])
def test_the_papers_convention_is_the_default_and_the_authors_differs(cls):
    paper, authors = (build(cls, {"convention": name}, Problems()) for name in ("paper", "authors"))
    assert paper == cls()
    assert authors != paper
    for key, value in cls.conventions["authors"].items():
        assert getattr(authors, key) == value != getattr(paper, key)
