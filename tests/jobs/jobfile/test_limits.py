"""What a job file may ask for: every huge value is one line, at its place, in no time and in no memory."""

import json
import re

import pytest
import yaml

from jobs.jobfile import schema, sections, yaml_text
from jobs.jobfile.reading import load_job, parse_job
from jobs.jobfile.shipped import shipped_jobs
from oplstm import limits
from oplstm.errors import RequestError
from tests.conftest import ROOT

pytestmark = pytest.mark.timeout(30)

JOB = """\
learner: lstm
benchmark: {name: sine, shots: 5}
space: sine-lstm
budget:
  tasks: 1000
  validate_every: 500
"""
HUGE = 10**13
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 9)}]}}\n" for i in range(20)
)


def the_problem(text, *overrides, **top_level):
    with pytest.raises(RequestError) as caught:
        parse_job(text, "job.yaml", overrides, **top_level)
    [problem] = caught.value.problems
    assert "\n" not in problem
    assert len(problem) < 700
    return problem


LINES = {
    f"trials: {HUGE}": f"trials: must be <= 100000, got {HUGE}",
    f"seeds: {HUGE}": f"seeds: must be <= 1000, got {HUGE}",
    f"fixed: {{passes: {HUGE}}}": f"fixed.passes: must be <= 1000, got {HUGE}",
    f"fixed: {{meta_batch_size: {HUGE}}}": f"fixed.meta_batch_size: must be <= 10000, got {HUGE}",
    f"fixed: {{widths: [3, {HUGE}]}}": f"fixed.widths: must be <= 100000, got {HUGE}",
    f"fixed: {{widths: {[2] * 101}}}": "fixed.widths: must have at most 100 entries, got 101",
    "fixed: {widths: [50000, 50000]}": "fixed.widths: the run would have 30,001,250,001 parameters, and may have "
                                       "200,000,000",
    "fixed: {lr: 1.0e+300}": "fixed.lr: must be within 1e30 of zero, got 1e+300",
    "fixed: {lr: 2001-13-45}": "fixed.lr: must be a finite number, got '2001-13-45'",
    "fixed: {lr: 2001-12-14}": "fixed.lr: must be a finite number, got '2001-12-14'",
    "fixed: {lr: 1:30}": "fixed.lr: must be a finite number, got '1:30'",
    f"resources: {{pack: {HUGE}}}": f"resources.pack: must be <= 1000, got {HUGE}",
    f"resources: {{cpus: {HUGE}}}": f"resources.cpus: must be <= 4096, got {HUGE}",
    f"resources: {{gpus: {HUGE}}}": f"resources.gpus: must be <= 1024, got {HUGE}",
    f"resources: {{retries: {HUGE}}}": f"resources.retries: must be <= 100, got {HUGE}",
    f"pruner: {{patience: {HUGE}}}": f"pruner.patience: must be <= 100000, got {HUGE}",
    f"promotion: {{leaders: {HUGE}}}": f"promotion.leaders: must be <= 1000, got {HUGE}",
    f"promotion: {{tasks: {HUGE}}}": f"promotion.tasks: must be <= 100000, got {HUGE}",
    f"final: {{seeds: {HUGE}}}": f"final.seeds: must be <= 1000, got {HUGE}",
    f"final: {{budget: {{tasks: {HUGE}}}}}": f"final.budget.tasks: must be <= 1000000000, got {HUGE}",
    f"final: {{budget: {{test_tasks: {HUGE}}}}}": f"final.budget.test_tasks: must be <= 100000, got {HUGE}",
    f"sampler: {{name: TPESampler, options: {{n_ei_candidates: {HUGE}}}}}":
        f"sampler: TPESampler does not take these options: n_ei_candidates must be <= 100000, got {HUGE}",
    f"pruner: {{name: SuccessiveHalvingPruner, options: {{min_early_stopping_rate: {HUGE}}}}}":
        "pruner: SuccessiveHalvingPruner does not take these options: min_early_stopping_rate must be <= 100, got",
    f"trials: {'9' * 5000}": "job.yaml: not valid YAML: a whole number must be below 2^63 (line 7, column 9)",
    f"trials: 0x{'f' * 5000}": "job.yaml: not valid YAML: a whole number must be below 2^63 (line 7, column 9)",
    f"description: {'x' * 10001}": "job.yaml: more than 10,000 characters in one text (line 7, column 14), and a job",
    f"enqueue: [{'{},' * 1001}]": "job.yaml: more than 1,000 entries in one list (line 7, column 10), and a job file",
    f"enqueue: [{'{},' * 50000}]": "job.yaml: more than 20,000 keys and values (line 7, column 59",
    f"fixed: {{{', '.join(f'k{i}: 1' for i in range(101))}}}": "job.yaml: more than 100 keys in one place (line 7, ",
    f"fixed: {{{'k: 1, ' * 101}}}": "job.yaml: more than 100 keys in one place (line 7, column 8), and a job file may",
    f"fixed: {'[' * 30000}": "job.yaml: more than 20 levels (line 7, column 27), and a job file may have no more",
    f"description: {'x' * (1 << 18)}": "job.yaml: more than 262,144 characters, and a job file may have no more",
    LAUGHS: "job.yaml: more than 20,000 keys and values, aliases written out (line 11, column 4), and",
    MERGED: "job.yaml: more than 20,000 keys and values, aliases written out (line 11, column 12), and",
    "fixed: &self {passes: *self}": "job.yaml: not valid YAML: a value is part of itself (line 7, column 8)",
}  # fmt: skip


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:40])
def test_too_much_in_a_file_is_one_line(line):
    with pytest.raises(RequestError) as caught:
        parse_job(f"{JOB}{line}\n", "job.yaml")
    [problem] = caught.value.problems
    problem, *snippet = problem.split("\n")
    assert problem.startswith(LINES[line])
    assert len(problem) < 300
    assert [len(shown) < 90 for shown in snippet] in ([], [True, True])


SETTINGS = {
    f"shots={HUGE}": f"benchmark.shots: must be <= 1000, got {HUGE} (--set shots={HUGE})",
    f"queries={HUGE}": f"benchmark.queries: must be <= 1000, got {HUGE}",
    f"tasks={HUGE}": f"budget.tasks: must be <= 1000000000, got {HUGE}",
    f"validation_tasks={HUGE}": f"budget.validation_tasks: must be <= 100000, got {HUGE}",
    f"test_tasks={HUGE}": f"budget.test_tasks: must be <= 100000, got {HUGE}",
    f"max_hours={HUGE}": "budget.max_hours: must be <= 100000, got 10000000000000.0",
    f"trials={HUGE}": f"trials: must be <= 100000, got {HUGE}",
    f"final.budget.updates={HUGE}": f"final.budget.updates: must be <= 1000000000, got {HUGE}",
    f"lr={'9' * 5000}": "--set: must be key=value, with a value in YAML, got 'lr=9",
    f"lr={'x' * 20_000_000}": "--set: must be key=value, with a value in YAML, got 'lr=x",
    f"lr={'[' * 100_000}": "--set: must be key=value, with a value in YAML, got 'lr=[",
    f"{'x' * 100_000}=1": "--set: unknown 'xxx",
    f"{'a.' * 50_000}b=1": "--set: must be at most 20 keys deep, got 'a.a.a",
    "fixed.passes=&a [*a]": "--set: must be key=value, with a value in YAML, got 'fixed.passes=&a [*a]': a value is",
    "fixed={passes: 1, passes: 2}": "--set: fixed.passes is given twice, in lines 1 and 1",
}


@pytest.mark.parametrize("override", SETTINGS, ids=lambda override: override[:30])
def test_too_much_in_a_setting_is_one_line(override):
    assert the_problem(JOB, override).startswith(SETTINGS[override])


def test_validation_points_are_limited_too():
    assert the_problem(JOB, "updates=1000000000", "validate_every=9999") == (
        "budget.validate_every: must be >= 10000 with a budget of 1000000000 updates: a run has at most 100000 "
        "validation points, got 9999 (--set validate_every=9999)"
    )
    assert the_problem(JOB, trials=HUGE) == f"trials: must be <= 100000, got {HUGE} (--trials {HUGE})"


@pytest.mark.parametrize(
    ("space", "wanted"),
    [
        ("huge", "gives widths: must be <= 100000, got 10000000000000 (job.yaml, line 3)"),
        ("astronomical", "gives passes: must be <= 1000, got a value of type int that cannot be shown"),
    ],
)
def test_too_much_from_a_space_is_said_of_the_space(space, wanted):
    name = f"tests.jobs.jobfile.odd_spaces:{space}"
    assert the_problem(JOB.replace("sine-lstm", name)).startswith(f"space: {name} {wanted[:25]}")


def test_a_point_that_is_enqueued_is_limited_too():
    point = f"{{hidden: 40, layers: 2, passes: {HUGE}, meta_batch_size: 4, lr: 0.01, pool_cell: true, loss_on: last}}"
    wanted = "enqueue.0.passes: must be a whole number from 1 to 14, got 1000"
    assert the_problem(f"{JOB}enqueue: [{point}]\n").startswith(wanted)


def test_hundreds_of_problems_are_not_all_said():
    with pytest.raises(RequestError) as caught:
        parse_job(f"{JOB}enqueue: {['x'] * 500}\n", "job.yaml")
    assert len(caught.value.problems) == 101
    assert caught.value.problems[-1] == "job.yaml: and 400 problems more"


@pytest.mark.parametrize("kind", ["file", "huge file"])
def test_a_large_file_is_not_read(kind, tmp_path):
    path = tmp_path / "large.yaml"
    path.write_bytes(b"#" * (20_000_000 if kind == "file" else 0))
    if kind == "huge file":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(RequestError, match=r"large.yaml: more than 256 KiB, and a job file may have no more$"):
        load_job(str(path))


@pytest.mark.slow
def test_what_ships_is_far_from_the_limits():
    for name, text in shipped_jobs().items():
        assert len(text) < yaml_text.LARGEST_FILE / 100, name
        assert parse_job(text, name)


def test_the_reference_of_job_files_names_the_limits():
    text = (ROOT / "docs" / "jobs.md").read_text().partition("## Limits")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([\d,.e]+)", text, re.MULTILINE))
    listed = {key: number for keys, number in rows.items() for key in re.findall(r"`([\w.]+)`", keys)}

    def number(key):
        return float(listed[key].replace(",", ""))

    for key, most in limits.LARGEST.items():
        assert number(key) == most, key
    properties = json.loads(schema.json_schema())
    for key in ("trials", "seeds"):
        there = properties["properties"][key]
        assert number(key) == (there.get("maximum") or there["anyOf"][0]["maximum"])
    for section in ("resources", "promotion", "pruner", "final"):
        for key, there in properties["$defs"][section.capitalize()]["properties"].items():
            most = there.get("maximum") or next((o["maximum"] for o in there.get("anyOf", []) if "maximum" in o), None)
            assert most is None or number(f"{section}.{key}") == most, key
    for words, most in {
        "parameters of a run": limits.MOST_PARAMETERS,
        "meta-validation points of a run": limits.MOST_POINTS,
        "entries of a list of widths": limits.LONGEST,
        "points under `enqueue`": yaml_text.MOST_ENTRIES,
        "KiB of a job file": yaml_text.LARGEST_FILE // 1024,
        "keys and values in it, aliases written out": yaml_text.MOST_VALUES,
        "keys in one place": yaml_text.MOST_KEYS,
        "levels": yaml_text.DEEPEST,
        "characters of a text": yaml_text.LONGEST_TEXT,
    }.items():
        assert float(rows[words].replace(",", "")) == most, words
    assert number("seeds") == sections.MOST_RUNS


@pytest.mark.slow
def test_the_schema_for_editors_says_the_limits_too():
    jsonschema = pytest.importorskip("jsonschema")
    described = json.loads(schema.json_schema())
    huge = [line for line in LINES if str(HUGE) in line and "options" not in line]
    assert len(huge) > 12
    for line in huge:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(yaml.safe_load(JOB) | yaml.safe_load(line), described)
