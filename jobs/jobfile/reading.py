"""Reading a job file: YAML, checked as a whole before any work; every error is reported with its place."""

import copy
import difflib
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from jobs.jobfile.overrides import apply_overrides
from jobs.jobfile.places import Place, line_numbers, located
from jobs.jobfile.probing import check_content
from jobs.jobfile.schema import Job
from jobs.jobfile.shipped import shipped_jobs
from oplstm.configuration import Problems, unknown_key
from oplstm.errors import RequestError


def load_job(reference: str, overrides: Sequence[str] = (), *, trials: int | None = None) -> Job:
    """A job by the name of one that ships or by the path of a file, checked as a whole.

    Args:
        reference: ``sine-lstm`` or ``path/to/job.yaml``.
        overrides: ``key=value`` texts of ``--set``.
        trials: Replaces the file's, if given.

    Raises:
        RequestError: Everything that is wrong with it, one line each with its place.
    """
    shipped = shipped_jobs()
    if reference in shipped:
        text, source = shipped[reference], f"{reference}.yaml"
    elif Path(reference).is_file():
        source = Path(reference).name
        try:
            text = Path(reference).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read {reference}: {error}") from error
    else:
        near = difflib.get_close_matches(reference, shipped, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"jobs that ship: {', '.join(shipped)}"
        raise RequestError(f"no job {reference!r}: it is neither a file nor a job that ships; {hint}")
    return parse_job(text, source, overrides, trials=trials)


def parse_job(text: str, source: str, overrides: Sequence[str] = (), *, trials: int | None = None) -> Job:
    """``load_job`` from the text of a job file."""
    problems = Problems()
    try:
        data = yaml.safe_load(text)
        lines = line_numbers(yaml.compose(text, Loader=yaml.SafeLoader), problems)
    except (yaml.YAMLError, RecursionError) as error:
        raise RequestError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RequestError(f"{source}: a job must be a mapping of keys to values, got {type(data).__name__}")
    set_paths = apply_overrides(data, overrides, problems)
    if trials is not None:
        data["trials"] = trials
        set_paths["trials",] = f"--trials {trials}"
    job, malformed = _validated(data, problems)
    if job is not None:
        content = Problems()
        check_content(job, content)
        problems.found += [entry for entry in content.found if not any(entry[0][: len(p)] == p for p in malformed)]
    if problems or job is None:
        found = dict.fromkeys(problems.found)
        raise RequestError([located(path, message, source, lines, set_paths) for path, message in found])
    return job


def _validated(data: dict[str, Any], problems: Problems) -> tuple[Job | None, list[Place]]:
    """The job and the places that were malformed, whose content cannot be judged.

    Stand-ins take their part, so that the rest is checked too; None where even that does not make a job.
    """
    try:
        return Job.model_validate(data), []
    except ValidationError as error:
        sound, malformed = copy.deepcopy(data), []
        for entry in error.errors():
            place = tuple(str(part) for part in entry["loc"] if part != "[key]")
            if entry["type"] == "extra_forbidden":
                problems.add(place, unknown_key(place[-1], _known_keys(place[:-1])))
            elif entry["type"] == "missing":
                problems.add(place, "is required")
            else:
                problems.add(place, f"{_wanted(entry)}, got {entry['input']!r}")
            malformed.append(place)
            # One entry of a list goes with the whole list: the places of the others must not move.
            _remove(sound, [part for part in entry["loc"] if part != "[key]"][: 1 if place[0] == "enqueue" else None])
    try:
        return Job.model_validate({"learner": "", "benchmark": {}, "budget": {}, **sound}), malformed
    except ValidationError:
        return None, malformed


def _wanted(entry: Mapping[str, Any]) -> str:
    """What pydantic wanted, in the words of all other errors."""
    if entry["type"] in ("dict_type", "model_type"):
        return "must be keys and values"
    words = {"Input should be": "must be", "greater than or equal to": ">=", "less than or equal to": "<="}
    return functools.reduce(lambda text, word: text.replace(word, words[word]), words, str(entry["msg"]))


def _known_keys(section: Place) -> list[str]:
    model: Any = Job
    for part in section:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _remove(data: Any, place: Sequence[Any]) -> None:
    for part in place[:-1]:
        data = data[part] if isinstance(data, dict) and part in data else None
    if isinstance(data, dict):
        data.pop(place[-1], None)
