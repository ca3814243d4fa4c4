"""What keys, names and places of track records may look like, wherever they come from.

Nothing behind this module checks them again: a key goes into MLflow's search as it is, a place is opened.
"""

import functools
import re
from pathlib import PurePosixPath
from typing import Final

MAX_PARAM: Final = 6000  # characters; these are MLflow's limits
MAX_TAG: Final = 8000
MAX_NAME: Final = 250

_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./ :-]{0,249}")
_EXPERIMENT: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,250}")
_FAR: Final = 1e12  # seconds: some 30,000 years
_PLACE: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,1000}")


@functools.lru_cache(maxsize=4096)
def checked_key(key: str) -> str:
    """The key of a run.

    Raises:
        ValueError: It could not be searched for.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"a run's key must be up to 200 letters, digits and ._:/- and is {key!r}")
    return key


@functools.lru_cache(maxsize=4096)
def checked_name(name: str) -> str:
    """The name of a metric, a parameter or a tag.

    Raises:
        ValueError: MLflow would refuse it.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a name must be up to {MAX_NAME} letters, digits, spaces and _./:- and is {name!r}")
    return name


def checked_experiment(name: str) -> str:
    """The name of an experiment: the user's, in any script.

    Raises:
        ValueError: It is empty, too long, or has characters that cannot be printed.
    """
    if not _EXPERIMENT.fullmatch(name):
        raise ValueError(f"an experiment's name must be 1 to {MAX_NAME} printable characters and is {name!r}")
    return name


def checked_place(place: str, *, top: bool) -> str:
    """A relative path.

    Args:
        place: The path.
        top: Whether it may be what it is relative to.

    Raises:
        ValueError: It is absolute, leads upwards, or has characters that cannot be printed.
    """
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts or not (top or path.parts) or not _PLACE.fullmatch(place):
        raise ValueError(f"an artifact's place must be relative and lead downwards, and is {place!r}")
    return place


def checked_time(seconds: float) -> float:
    """Unix seconds.

    Raises:
        ValueError: They are not finite.
    """
    if not -_FAR <= seconds <= _FAR:  # neither is nan
        raise ValueError(f"a time must be finite and is {seconds}")
    return seconds


def text(value: object, limit: int) -> str:
    """A value as text of at most `limit` characters that every MLflow server can store."""
    # PostgreSQL stores no NUL, and a lone surrogate is not UTF-8: the server would answer 500 for ever
    plain = str(value).replace("\0", "").encode("utf-8", "replace").decode("utf-8")
    return plain if len(plain) <= limit else plain[: limit - 3] + "..."
