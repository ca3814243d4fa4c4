"""From the data of a job file to a job: keys, types and limits, all problems at once."""

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import ValidationError

from jobs.jobfile.places import Place
from jobs.jobfile.schema import Job
from oplstm.configuration import Problems, unknown_key
from oplstm.errors import name_of, shown

_EITHER: Final = ("promotion", "replicates")
"""The place that takes values of two kinds, of which pydantic says the faults of both, each below its name."""


def validated(data: dict[str, Any], problems: Problems) -> tuple[Job | None, list[Place]]:
    """The job and the places that were malformed, whose content cannot be judged.

    Stand-ins take their part, so that the rest is checked too; None where even that does not make a job.
    """
    try:
        return Job.model_validate(data), []
    except ValidationError as error:
        sound, malformed = copy.deepcopy(data), []
        for entry in error.errors():
            parts = [part for part in entry["loc"] if part != "[key]" or entry["type"] == "extra_forbidden"]
            if entry["loc"][:2] == _EITHER and len(parts) > 2 and parts.pop(2) == "literal[0]":
                continue
            place = tuple(map(name_of, parts))
            if entry["type"] == "extra_forbidden":
                problems.add(place, unknown_key(place[-1], _known_keys(place[:-1])))
            elif entry["type"] == "missing":
                problems.add(place, "is required")
            else:
                problems.add(place, f"{_wanted(entry)}, got {shown(entry['input'])}")
            malformed.append(place)
            # One entry of a list goes with the whole list: the places of the others must not move.
            _remove(sound, parts[: 1 if place[0] == "enqueue" else None])
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
        kind = model.model_fields[part].annotation
        model = next(one for one in (kind, *get_args(kind)) if hasattr(one, "model_fields"))
    return list(model.model_fields)


def _remove(data: Any, place: Sequence[Any]) -> None:
    for part in place[:-1]:
        data = data[part] if isinstance(data, dict) and part in data else None
    if isinstance(data, dict):
        data.pop(place[-1], None)
