"""The journal records that become MLflow runs, points, tags and artifacts. Pure functions.

Every record has `"kind": "track"`, an `"op"` and the `"key"` of its run. What MLflow would refuse for its form
(length, characters, too long a text) is refused or cut here, before it is written.
"""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

Record = dict[str, Any]
Scalar = str | int | float | bool | None
EndStatus = Literal["FINISHED", "FAILED", "KILLED"]

KEY_TAG: Final = "oplstm.key"
PARENT_TAG: Final = "oplstm.parent"
MAX_PARAM: Final = 6000  # characters, MLflow's limit
MAX_TAG: Final = 8000
MAX_NAME: Final = 250

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ :-]{0,249}")


def create_run(
    key: str,
    *,
    name: str,
    parent_key: str | None,
    experiment: str,
    tags: Mapping[str, str],
    params: Mapping[str, Scalar],
    start_time: float,
) -> Record:
    """A run comes into being; its parent, if it has one, was created before it.

    Args:
        key: Unique among all runs for all time; stored as the tag `oplstm.key`.
        name: What the user sees.
        parent_key: The key of the run that this one is a child of.
        experiment: Name of the MLflow experiment.
        tags: Their names and values.
        params: Their names and values; logged once, they never change.
        start_time: Unix seconds.

    Raises:
        ValueError: A key or a name has characters that MLflow refuses.
    """
    return {
        **_record("create_run", key),
        "name": name,
        "parent_key": None if parent_key is None else _checked_key(parent_key),
        "experiment": experiment,
        "tags": _texts(tags, MAX_TAG),
        "params": _texts(params, MAX_PARAM),
        "start_time": start_time,
    }


def points(key: str, *, step: int, metrics: Mapping[str, float], timestamp: float) -> Record:
    """Metric values of one meta-update.

    Args:
        key: The run's key.
        step: Number of meta-updates.
        metrics: By metric name; a value that is not finite is kept, and becomes nan in MLflow.
        timestamp: Unix seconds. It must never change: MLflow tells a repeated point by it.

    Raises:
        ValueError: A metric's name has characters that MLflow refuses.
    """
    values = {_checked_name(name): _jsonable(float(value)) for name, value in metrics.items()}
    return {**_record("points", key), "step": step, "metrics": values, "timestamp": timestamp}


def tags(key: str, tags: Mapping[str, str]) -> Record:
    """Set tags; a tag that is there already gets the new value.

    Raises:
        ValueError: A tag's name has characters that MLflow refuses.
    """
    return {**_record("tags", key), "tags": _texts(tags, MAX_TAG)}


def artifact(key: str, *, path: str, folder: str) -> Record:
    """Upload a file, or what is in a directory.

    Args:
        key: The run's key.
        path: Where it lies, relative to the journal's folder.
        folder: Where it goes among the run's artifacts; "" is the top.

    Raises:
        ValueError: One of them is absolute or leads upwards.
    """
    for place in (path, folder):
        if place.startswith("/") or ".." in place.split("/"):
            raise ValueError(f"an artifact's place must be relative and lead downwards, and is {place!r}")
    return {**_record("artifact", key), "path": path, "folder": folder}


def learning_curve(key: str, *, points: Sequence[Mapping[str, float]], metric: str, title: str) -> Record:
    """Draw the learning curve when it is shipped and upload it as `learning_curve.png`.

    Args:
        key: The run's key.
        points: What `tracking.results.figures.learning_curve` takes.
        metric: The validation metric that is drawn.
        title: Of the picture.
    """
    rows = [{name: _jsonable(float(value)) for name, value in point.items()} for point in points]
    return {**_record("learning_curve", key), "points": rows, "metric": metric, "title": title}


def end_run(key: str, *, status: EndStatus, end_time: float) -> Record:
    """The run has ended, at `end_time` in unix seconds."""
    return {**_record("end_run", key), "status": status, "end_time": end_time}


def reopen_run(key: str) -> Record:
    """The run, which had ended, goes on."""
    return _record("reopen_run", key)


def _record(op: str, key: str) -> Record:
    return {"kind": "track", "op": op, "key": _checked_key(key)}


@functools.lru_cache(maxsize=4096)
def _checked_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"a run's key must be up to 200 letters, digits and ._:/- and is {key!r}")
    return key


@functools.lru_cache(maxsize=4096)
def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name must be up to {MAX_NAME} letters, digits, spaces and _./:- and is {name!r}")
    return name


def _texts(values: Mapping[str, Scalar], limit: int) -> dict[str, str]:
    return {_checked_name(name): _cut(str(value), limit) for name, value in values.items()}


def _cut(text: str, limit: int) -> str:
    # PostgreSQL stores no NUL, and a lone surrogate is not UTF-8: the server would answer 500 for ever
    text = text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _jsonable(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
