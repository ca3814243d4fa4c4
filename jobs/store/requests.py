"""Requests to a sweep that may be running: files of its folder, taken up and removed by its coordinator.

A request appears whole or not at all. Whether it was answered is said by the journal (``jobs.store.live``), so one that
was answered and not removed, because its coordinator was killed in between, is not answered again.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr, TypeAdapter, ValidationError

from jobs.store.home import SweepFolder, check_plain
from jobs.store.names import TrialName
from oplstm.durable import make_folder, sync, write_file
from oplstm.errors import RequestError

LARGEST: Final = 256 * 1024
"""Bytes."""
_NAME: Final = re.compile(r"([0-9]{20}-[0-9a-f]{8})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune:
    """End a trial as pruned."""

    request: Literal["prune"] = "prune"
    trial: TrialName


@dataclass(frozen=True, slots=True, kw_only=True)
class Add:
    """Train a configuration of the user's own.

    Attributes:
        values: Of the space's parameters, by name.
        like: Name of the trial that gives the others.
        warm_start: Whether it begins with the weights of ``like`` and not with fresh ones.
    """

    request: Literal["add"] = "add"
    values: dict[StrictStr, Any] = field(default_factory=dict)
    like: TrialName | None = None
    warm_start: StrictBool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Let so many trials train at once, at most; None for no limit."""

    request: Literal["limit"] = "limit"
    concurrent: Annotated[StrictInt, Field(ge=1)] | None


Request = Prune | Add | Limit
_REQUESTS: Final[TypeAdapter[Request]] = TypeAdapter(Annotated[Request, Field(discriminator="request")])


def ask(folder: SweepFolder, request: Request) -> str:
    """Leave a request in a sweep's folder; returns its name.

    Raises:
        RequestError: The folder holds something else under the name of theirs.
        OSError: It could not be written, and is not there.
    """
    check_plain(folder.requests, folder=True)
    make_folder(folder.requests)
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    write_file(_path(folder, name), _REQUESTS.dump_json(request))
    return name


def is_left(folder: SweepFolder, name: str) -> bool:
    """Whether a request has not been taken up, or not been removed yet."""
    return _path(folder, name).exists()


def left(folder: SweepFolder) -> Iterator[str]:
    """Names of the requests that are left, the oldest first."""
    try:
        entries = sorted(os.listdir(folder.requests))
    except (FileNotFoundError, NotADirectoryError):  # there never was one, which is the rule
        return
    yield from (found[1] for entry in entries if (found := _NAME.fullmatch(entry)) is not None)


def read(folder: SweepFolder, name: str) -> Request:
    """A request that is left.

    Raises:
        ValueError: The file holds no request; the message says why.
    """
    path = _path(folder, name)
    try:
        check_plain(folder.requests, folder=True)
        check_plain(path)
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"{path} is no request: it is larger than {LARGEST >> 10} KiB")
        return _REQUESTS.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{path} is no request: {first['msg']}") from error
    except (RequestError, OSError) as error:
        raise ValueError(str(error)) from error


def remove(folder: SweepFolder, name: str) -> None:
    """Remove a request, which need not be there."""
    _path(folder, name).unlink(missing_ok=True)
    sync(folder.requests)


def _path(folder: SweepFolder, name: str) -> Path:
    return folder.requests / f"{name}.json"
