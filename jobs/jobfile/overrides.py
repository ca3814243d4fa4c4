"""``--set key=value``: replacing values of a job file from the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from jobs.jobfile.places import Place
from jobs.jobfile.schema import Job
from jobs.jobfile.sections import Resources
from jobs.jobfile.yaml_text import DEEPEST, Unreadable, read_yaml
from oplstm.configuration import Problems, unknown_key
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import quoted, shown
from oplstm.learners.registry import LEARNERS
from oplstm.training.budget import Budget
from oplstm.training.run import OF_EVERY_RUN


def apply_overrides(data: dict[str, Any], overrides: Sequence[str], problems: Problems) -> dict[Place, str]:
    """Set ``key=value`` texts in the data of a job file, in place.

    Args:
        data: Of the job file, not checked yet.
        overrides: As given on the command line.
        problems: Takes what is wrong with them.

    Returns:
        The text by the path that it set.
    """
    paths: dict[Place, str] = {}
    for text in sorted(overrides, key=lambda text: not _decides_keys(text)):
        try:
            place, parsed = _parsed(text, data)
        except ValueError as error:
            problems.add(("--set",), str(error))
            paths[("--set",)] = "command line"
            continue
        section = data
        for part in place[:-1]:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        if place[0] in ("budget",) and place[-1] in ("tasks", "updates"):
            section.pop("updates" if place[-1] == "tasks" else "tasks", None)
        section[place[-1]] = parsed
        paths[place] = f"--set {quoted(text)}"
    return paths


def _decides_keys(text: str) -> bool:
    """Whether it says what the short keys of others mean, wherever it stands among them."""
    return text.partition("=")[0].strip() in ("learner", "benchmark.name")


def _parsed(text: str, data: Mapping[str, Any]) -> tuple[Place, Any]:
    """Where a text wants to put what.

    Raises:
        ValueError: It does not say that.
    """
    key, equals, value = text.partition("=")
    place, wanted = _override_path(key.strip(), data), "must be key=value, with a value in YAML"
    repeated = Problems()
    try:
        parsed = read_yaml(value, repeated).value
    except Unreadable as error:
        raise ValueError(f"{wanted}, got {shown(text)}: {error.problem}") from error
    if not equals:
        raise ValueError(f"{wanted}, got {shown(text)}")
    if place is None:
        raise ValueError(unknown_key(key, [*Job.model_fields, *_short_keys(data)]))
    if place[0] == "plugins":  # which are imported before --set is read, because they know keys of it
        raise ValueError(f"plug-ins are named with --plugin mine.py, got {shown(text)}")
    if len(place) > DEEPEST:
        raise ValueError(f"must be at most {DEEPEST} keys deep, got {shown(text)}")
    for path, problem in repeated.found:
        raise ValueError(f"{'.'.join((*place, *path))} {problem}")
    return place, parsed


def _short_keys(data: Mapping[str, Any]) -> dict[str, str]:
    """Keys that ``--set`` takes without their section, with the section."""
    section = data.get("benchmark")
    named = section.get("name") if isinstance(section, dict) else None
    keys = {name: "fixed" for name in (*OF_EVERY_RUN, "convention")}
    for learner in _named(data.get("learner"), LEARNERS):
        keys |= {f.name: "fixed" for f in fields(learner.config_class)}
    keys |= {name: "resources" for name in Resources.model_fields}
    keys |= {f.name: "budget" for f in fields(Budget)}
    return keys | {f.name: "benchmark" for benchmark in _named(named, BENCHMARKS) for f in fields(benchmark)}


def _named(name: Any, known: Mapping[str, Any]) -> list[Any]:
    """The one of that name; all of them where there is none, which is an error of its own."""
    return [known[name]] if isinstance(name, str) and name in known else list(known.values())


def _override_path(key: str, data: Mapping[str, Any]) -> Place | None:
    if "." in key:
        return tuple(key.split("."))
    if key in Job.model_fields:
        return (key,)
    section = _short_keys(data).get(key)
    return None if section is None else (section, key)
