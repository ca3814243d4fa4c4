"""Job files that nobody meant to write: what ships, mutated as text, and settings beside it."""

import random
import re

from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.template import TEMPLATE

FULL = """\
version: 1
description: Everything at once.
learner: op_lstm
benchmark: {name: omniglot, ways: 5, shots: 1, queries: 3, cross_domain: []}
fixed: &fixed
  base_widths: [8, 8]
  convention: authors
  precision: float32
space: omniglot-op-lstm
sampler: {name: grid, options: {}}
pruner: {name: HyperbandPruner, options: {min_resource: 1, max_resource: 9}, patience: null}
trials: 3
seeds: 1
seed: 7
enqueue:
  - {meta_batch_size: 4, passes: 1, cells: 5-5-1}
budget:
  updates: 10
  validate_every: 5
  validation_tasks: 3
  test_tasks: 3
  analyses: [permutation_variance]
  max_hours: 1.5
resources: {cpus: 1, gpus: 0, pack: auto, retries: 0}
promotion: {leaders: 2, tasks: 10}
final:
  seeds: 2
  budget: {updates: 20, validate_every: 10}
"""
NASTY = (
    "", "null", "~", "true", "no", "-1", "0", "1", "2.5", "-0.0", "1e999", ".inf", "-.inf", ".nan", "1_000_000",
    "0x7fff", "9" * 19, "9" * 25, "9" * 5000, f"-{'9' * 400}", f"0x{'f' * 600}", "1e-320", "1e308", "1.0e+40", "4096",
    "100001", "10000000000", "2001-12-14", "2001-13-45", "1:30:00", "'text'", '"\\e[31mred\\e[0m"', '"\\u202eback"',
    '"\\ud800"', '"\\0"', "ünïcödé", "日本", "x" * 300, "x" * 20_000, "[]", "{}", "[[]]", "[1, [2, [3]]]",
    "{a: {b: {c: 1}}}", "[" * 40 + "]" * 40, "[" * 400, "{" * 30, "[1, 2", "{a: 1", "*fixed", "*nothing",
    "&again [*again]", "&a {<<: *a}", "!!binary aGk=", "!!set {a, b}", "!!python/name:os.system x", "!!int x",
    "!!float x", "!!bool x", "!own x", "- - -", "? x", ": x", "<<: *fixed", "%TAG", "|\n  text", ">\n  text",
    "'unfinished", '"unfinished', "\t", "@", "`", "# comment", "[" + "1, " * 2000 + "1]",
    "{" + ", ".join(f"k{n}: {n}" for n in range(150)) + "}", "sine", "lstm", "protonet", "sap", "warp_maml",
    "op_lstm", "maml", "omniglot", "cub", "grid", "TPESampler", "CmaEsSampler", "NSGAIISampler", "QMCSampler",
    "PartialFixedSampler", "GridSampler", "WilcoxonPruner", "SuccessiveHalvingPruner", "HyperbandPruner",
    "sine-op-lstm", "nowhere.at.all:space", "tests.jobs.jobfile.odd_spaces:escapes",
    "tests.jobs.jobfile.odd_spaces:infeasible", "tests.jobs.jobfile.odd_spaces:astronomical",
    "tests.jobs.jobfile.odd_spaces:wordless", "tests.jobs.user_spaces:rates", ":", "a:b:c", "[50000, 50000]",
    "[100000, 1]", "[-1]", "[1.5]", "[true]", "authors", "bf16", "conv4", "auto",
)  # fmt: skip
RAW = (
    "\x00", "\x1b[31m", "\x07", "\x85", "\u2028", "\ufeff", "\r", "\t", "{", "}", "[", "]", ":", "- ", "&x ", "*x",
    "!", "|", ">", "'", '"', "#", "%", "@", "? ", "---\n", "...\n", "<<: ", "\\", "🙂", "\udcff",
)  # fmt: skip
KEYS = (
    "shots", "queries", "ways", "lr", "meta_batch_size", "grad_clip", "precision", "widths", "base_widths", "cells",
    "passes", "eval_passes", "convention", "cpus", "gpus", "pack", "retries", "tasks", "updates", "validate_every",
    "validation_tasks", "test_tasks", "max_hours", "analyses", "trials", "seeds", "seed", "space", "learner",
    "enqueue", "benchmark.name", "sampler.name", "sampler.options.seed", "sampler.options.n_startup_trials",
    "pruner.name", "pruner.options.n_warmup_steps", "pruner.patience", "final.budget.tasks", "final.seeds",
    "promotion.tasks", "fixed", "budget", "enqueue.0", "", ".", "..", "a.b.c", "fixed." * 30 + "x", "x" * 400, "\x1b",
    "version", "description",
)  # fmt: skip
_VALUE = re.compile(r"(?<=[:\[,{-]) *[^\s,\[\]{}#:][^\n,\[\]{}#]*")
_NUMBER = re.compile(r"-?\d+\.?\d*")


def _lines(text: str, dice: random.Random) -> str:
    lines = text.splitlines(keepends=True)
    first, second = (dice.randrange(len(lines)) for _ in range(2))
    match dice.randrange(6):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines[first] = " " * dice.randrange(6) + lines[first]
        case 4:
            lines[first] = lines[first].lstrip()
        case _:
            del lines[first:]
    return "".join(lines)


def _value(text: str, dice: random.Random) -> str:
    found = list(_VALUE.finditer(text))
    if not found:
        return text + dice.choice(NASTY)
    chosen = dice.choice(found)
    return f"{text[: chosen.start()]} {dice.choice(NASTY)}{text[chosen.end() :]}"


def _number(text: str, dice: random.Random) -> str:
    found = list(_NUMBER.finditer(text))
    if not found:
        return text
    chosen = dice.choice(found)
    new = dice.choice(["0", "-1", "1", "3.7", f"{chosen.group()}{'0' * dice.randrange(1, 25)}", f"-{chosen.group()}"])
    return text[: chosen.start()] + new + text[chosen.end() :]


def _raw(text: str, dice: random.Random) -> str:
    place = dice.randrange(len(text) + 1)
    cut = dice.randrange(4)
    return text[:place] + dice.choice(RAW) * dice.choice([1, 1, 2, 50]) + text[place + cut :]


def _key(text: str, dice: random.Random) -> str:
    return f"{text}{dice.choice(KEYS)}: {dice.choice(NASTY)}\n"


def mutated(dice: random.Random) -> tuple[str, list[str]]:
    """The text of a job file, and settings beside it."""
    text = dice.choice([*shipped_jobs().values(), TEMPLATE, FULL, FULL])
    for _ in range(dice.choice([0, 1, 1, 1, 2, 2, 3, 5])):
        text = dice.choice([_lines, _value, _value, _number, _raw, _key])(text, dice) or text
    count = dice.choice([0, 0, 1, 2])
    return text, [f"{dice.choice(KEYS)}{dice.choice('===:')}{dice.choice(NASTY)}" for _ in range(count)]
