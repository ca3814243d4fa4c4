"""The YAML of job files: what plain values may look like, what is no such value, and where it stands."""

import pytest
import yaml

from jobs.jobfile.places import pointed
from jobs.jobfile.reading import parse_job
from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.template import TEMPLATE
from jobs.jobfile.yaml_text import LARGEST_NUMBER, Unreadable, read_yaml
from oplstm.configuration import Problems
from oplstm.errors import RequestError

pytestmark = pytest.mark.timeout(20)


def read(text):
    problems = Problems()
    value = read_yaml(text, problems).value
    assert not problems
    return value


def refused(text):
    with pytest.raises(Unreadable) as caught:
        read_yaml(text, Problems())
    return caught.value


@pytest.mark.parametrize("text", [*shipped_jobs().values(), TEMPLATE, "", "# nothing\n", "- [1, {a: b}]\n", "yes"])
def test_plain_values_are_those_of_yaml(text):
    assert read(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1_000", 1000), ("-0x1f", -31), ("0b101", 5), ("010", 8), ("1.5e+3", 1500.0), (".5", 0.5), ("-.inf", -1e999),
        ("1e-3", 0.001), ("-1_0E+3", -1e4), ("2.5e4", 25e3), (".5e1", 5.0), ("1e", "1e"), ("e3", "e3"),
        ("0x1e3", 0x1E3), ("'1e-3'", "1e-3"), ("1e-3.5", "1e-3.5"),
        ("~", None), ("off", False), ("!!str 12", "12"), ("!!float 3", 3.0), ("!!int '7'", 7),
        (str(LARGEST_NUMBER), LARGEST_NUMBER), (str(-LARGEST_NUMBER), -LARGEST_NUMBER),
        ("2001-12-14", "2001-12-14"), ("2001-13-45", "2001-13-45"), ("2001-12-14 21:59:43", "2001-12-14 21:59:43"),
        ("1:30", "1:30"), ("190:20:30.15", "190:20:30.15"), ("0x_", "0x_"),
        ('"tab\\tand line\\nbreak"', "tab\tand line\nbreak"),
    ],
)  # fmt: skip
def test_what_a_scalar_means(text, value):
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('a: !!int ""', "'' is no whole number"),
        ("a: !!int _", "'_' is no whole number"),
        ('a: !!float ""', "'' is no number"),
        ("a: !!binary aGk=", "'binary' is no type of a job file"),
        ("a: !!set {x}", "'set' is no type of a job file"),
        ("a: !!omap [x: 1]", "'omap' is no type of a job file"),
        ("a: !!timestamp 2001-12-14", "'timestamp' is no type of a job file"),
        ("a: !!python/object:os.system x", "'python/object:os.system' is no type of a job file"),
        ("a: !!str [x]", "'str' is no type of a job file"),
        ("a: !mine x", "'!mine' is no type of a job file"),
        ("a: !!int x", "'x' is no whole number"),
        ("a: !!float x", "'x' is no number"),
        ("a: !!bool x", "'x' is no true or false"),
        ("[a]: 1", "while constructing a mapping, a key is no text"),
        ("a: *nothing", "found undefined alias 'nothing'"),
        ("a: &x [*x]", "a value is part of itself"),
        ("a: &x {<<: *x}", "a value is part of itself"),
        ('a: "\\e[31m"', "the control character '\\x1b' is not for job files"),
        ('a: "\\0"', "the control character '\\x00' is not for job files"),
        ('a: "\\N"', "the control character '\\x85' is not for job files"),
        ('a: "\\ud800"', "the control character '\\ud800' is not for job files"),
        ('"\\a": 1', "the control character '\\x07' is not for job files"),
        (f"a: {LARGEST_NUMBER + 1}", "a whole number must be below 2^63"),
        (f"a: -{'9' * 5000}", "a whole number must be below 2^63"),
        ("a: \x1b[31m", "unacceptable character #x001b"),
    ],
)
def test_what_is_no_plain_value_is_refused_at_its_place(text, problem):
    error = refused(f"# a comment\n{text}\n")
    assert error.problem == problem
    assert error.place[0] == 2


def test_aliases_are_values_of_their_own():
    value = read("a: &x {k: [1]}\nb: *x\nc: {<<: *x, l: 2}\nd: {<<: [*x, {k: 3, m: 4}]}\n")
    assert value == {"a": {"k": [1]}, "b": {"k": [1]}, "c": {"k": [1], "l": 2}, "d": {"k": [1], "m": 4}}
    value["a"]["k"].append(5)
    assert value["b"] == {"k": [1]}


def test_a_setting_of_one_place_leaves_its_alias_alone():
    text = """\
learner: lstm
benchmark: {name: sine}
fixed: {lr: 0.1, meta_batch_size: 1}
budget: &budget {tasks: 1000, validate_every: 500}
final: {budget: *budget}
"""
    job = parse_job(text, "job.yaml", ["budget.validation_tasks=7"])
    assert job.budget["validation_tasks"] == 7
    assert job.final.budget == {"tasks": 1000, "validate_every": 500}


def test_merged_keys_are_not_given_twice_and_keys_that_are_have_both_lines():
    read("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3\n")
    problems = Problems()
    read_yaml("a: 1\nb: 2\na: 3\n", problems)
    assert problems.lines() == ["a: is given twice, in lines 1 and 3"]


JOB = "learner: lstm\nbenchmark: {name: sine}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            f"{JOB}fixed: {{lr: 0.1]\n",
            "job.yaml: not valid YAML: while parsing a flow mapping, expected ',' or '}', but got ']' "
            "(line 3, column 16)\n  fixed: {lr: 0.1]\n                 ^",
        ),
        (
            f"{JOB}fixed: [0.1\n\n",
            "job.yaml: not valid YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>' "
            "(line 5, column 1)\n  fixed: [0.1\n             ^",
        ),
        (
            f"{JOB}\tfixed: 3\n",
            "job.yaml: not valid YAML: while scanning for the next token, found character '\\t' that cannot start any "
            "token (line 3, column 1)\n   fixed: 3\n  ^",
        ),
        (
            f"{JOB}lr: !!set {{}}\n",
            "job.yaml: not valid YAML: 'set' is no type of a job file (line 3, column 5)\n  lr: !!set {}\n      ^",
        ),
        (
            f"{JOB}fixed: {'[' * 50}\n",
            "job.yaml: more than 20 levels (line 3, column 27), and a job file may have no more",
        ),
    ],
)
def test_an_error_points_at_its_place(text, wanted):
    with pytest.raises(RequestError) as caught:
        parse_job(text, "job.yaml")
    assert str(caught.value) == wanted


def test_a_long_line_is_shown_around_the_caret():
    line, caret = pointed(f"{'x' * 500}!{'y' * 500}\n", 1, 501).splitlines()
    assert len(line) < 90
    assert line[len(caret) - 1] == "!"
    assert pointed("", 1, 1).splitlines() == ["  ", "  ^"]
    assert pointed("a: \x1b[31m\u202e\n", 1, 4).splitlines() == ["  a:  [31m ", "     ^"]


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "null\n", "~"])
def test_an_empty_file_is_called_empty(text):
    with pytest.raises(RequestError, match=r"^job.yaml: is empty; oplstm init writes a commented job file$"):
        parse_job(text, "job.yaml")


@pytest.mark.parametrize(("text", "what"), [("- a\n", "a list"), ("lstm", "'lstm'"), ("3", "3"), ("1.5", "1.5")])
def test_a_file_of_another_shape_is_named_by_what_it_is(text, what):
    with pytest.raises(RequestError, match=rf"^job.yaml: a job must be keys and values, got {what}$"):
        parse_job(text, "job.yaml")
