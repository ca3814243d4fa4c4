"""What a method, a benchmark, a budget or a run can be told, from the fields of the code itself."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from docs.site.markdown import code, documented, table
from jobs.jobfile.shipped import shipped_jobs
from oplstm.episodes.registry import BENCHMARKS
from oplstm.learners.registry import LEARNERS
from oplstm.training.budget import Budget
from oplstm.training.run import OF_EVERY_RUN, RunConfig


def options(name: str) -> str:
    """The options of a learner or benchmark by its name, of a ``budget``, or of every ``run``."""
    if name == "budget":
        return _table(Budget)
    if name == "run":
        return _table(RunConfig, only=OF_EVERY_RUN)
    if name in BENCHMARKS:
        return _table(BENCHMARKS[name])
    learner = LEARNERS[name]
    on = {benchmark: learner.conventions_on(BENCHMARKS[benchmark]()) for benchmark in ("sine", "omniglot")}
    return _table(learner.config_class, on={name: set_by.get("authors", {}) for name, set_by in on.items()})


def _table(cls: Any, *, only: tuple[str, ...] = (), on: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    hints, meanings = get_type_hints(cls), documented(cls)
    authors = getattr(cls, "conventions", {}).get("authors", {})
    on = {name: values for name, values in (on or {}).items() if values}
    by_authors = bool(authors or on)
    rows = []
    for field in dataclasses.fields(cls):
        if only and field.name not in only:
            continue
        default = "required" if field.default is dataclasses.MISSING else code(field.default)
        row = [code(field.name), takes(hints[field.name]), default, meanings[field.name]]
        if by_authors:
            row.insert(3, _authors(field.name, authors, on))
        rows.append(row)
    return table(["option", "takes", "default", *(["`authors`"] if by_authors else []), "meaning"], rows)


def _authors(name: str, authors: Mapping[str, Any], on: Mapping[str, Mapping[str, Any]]) -> str:
    """What ``convention: authors`` sets, also where that depends on the benchmark."""
    somewhere = [
        f"{code(values[name])} ({'regression' if benchmark == 'sine' else 'images'})"
        for benchmark, values in on.items()
        if name in values
    ]
    return ", ".join(somewhere) or (code(authors[name]) if name in authors else "")


def takes(hint: Any) -> str:
    """What a field of this type takes, in words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(map(code, args))
    if origin in (Union, types.UnionType):
        return " or ".join(takes(one) for one in args)
    if origin is tuple:
        return {int: "whole numbers", str: "names"}.get(args[0], "values") + ", as a list"
    if hint is type(None):
        return "`null`"
    return {int: "a whole number", float: "a number", bool: "`true`, `false`", str: "text"}[hint]


def published(learner: str) -> str:
    """The jobs that are a method's published cells, with the command of each."""
    jobs = {name: yaml.safe_load(text) for name, text in shipped_jobs().items() if name.startswith("published-")}
    of_learner = {name: job for name, job in jobs.items() if job["learner"] == learner}
    rows = [[f"`oplstm train {name}`", job["description"]] for name, job in of_learner.items()]
    return table(["command", "what it is"], rows)
