"""What a sweep is: ``sweep.json``, written when its folder is made, and again where that comes to another place."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from jobs.jobfile.plugins import PluginSource
from jobs.jobfile.schema import Job
from jobs.jobfile.space_source import SpaceSource
from jobs.store.home import SweepFolder
from jobs.store.names import SWEEP_NAME, SweepName
from jobs.store.place import Place
from jobs.store.plugins import offer_plugins
from jobs.store.states import SweepKind
from oplstm.durable import new_folder, write_file
from oplstm.episodes.measure import MEASURES, Measure
from oplstm.errors import RequestError

VERSION: Final = 4
READ: Final = (1, 2, 3, 4)
"""Versions that are read: 1 has no measure, 1 and 2 have no digest, and those before 4 no place."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a sweep is.

    Attributes:
        id: Unique among all sweeps for all time.
        name: The user's.
        kind: What the folder holds.
        experiment: Name of the MLflow experiment.
        job: Its job.
        measure: What its trials are compared by.
        tracking_uri: Of the MLflow server; None for the embedded one.
        provenance: Git commit, versions and so on, at its creation.
        of: For a final run, the id of the sweep whose winner it trains.
        space_source: Where the job's space came from, if it is the user's own.
        plugins: Where the rest of what is not oplstm's came from.
        earlier_names: Those that it had before, the oldest first.
        archived: Whether it was put away: it is kept, and neither listed nor gone on with.
        place: Where its folder is, as far as it is known.
    """

    id: str
    name: str
    kind: SweepKind
    experiment: str
    job: Job
    measure: Measure
    tracking_uri: str | None
    provenance: dict[str, str]
    of: str | None = None
    space_source: SpaceSource | None = None
    plugins: tuple[PluginSource, ...] = ()
    earlier_names: tuple[str, ...] = ()
    archived: bool = False
    place: Place | None = field(default=None, compare=False)

    def write(self, folder: SweepFolder) -> None:
        """Make the folder with its header, in one step: a folder without one could be neither resumed nor begun.

        Raises:
            RequestError: The folder is there already.
            OSError: It cannot be written.
        """
        taken = RequestError(f"name {self.name!r} is taken ({folder.path}); use another --name")
        if os.path.lexists(folder.path):
            raise taken
        try:
            with new_folder(folder.path, replace=False) as draft:
                placed = Place.of(draft, becomes=folder.path)
                (draft / folder.header.name).write_text(self._text(placed), encoding="utf-8")
        except OSError:
            if os.path.lexists(folder.path):  # another process was quicker
                raise taken from None
            raise

    def write_again(self, folder: SweepFolder, *, becomes: Path | None = None) -> None:
        """Write the header of a folder that is there, with the place where it is now, or the one that it ``becomes``.

        Raises:
            OSError: It cannot be written; the header is as it was.
        """
        before = folder.header.stat().st_mtime_ns if folder.header.exists() else None
        write_file(folder.header, self._text(Place.of(folder.path, becomes=becomes)))
        if before is not None:  # sweeps are shown in the order in which they were made
            os.utime(folder.header, ns=(before, before))

    def _text(self, place: Place) -> str:
        data = {**self.__dict__, "job": self.job.model_dump(mode="json"), "measure": self.measure.name}
        data["space_source"] = None if self.space_source is None else asdict(self.space_source)
        data["plugins"] = [asdict(source) for source in self.plugins]
        content = {"version": VERSION, **data, "place": asdict(place)}
        return json.dumps(content | {"digest": digest_of(content)}, indent=1)

    @staticmethod
    def read(folder: SweepFolder, *, named: str | None = None) -> "Header":
        """The header of an existing sweep, whose name is the folder's or the one that is given.

        What its plug-ins bring is known from then on; they are imported when it is looked up.

        Raises:
            RequestError: It cannot be read, is no plain file, was written by another version, or is another sweep's.
        """
        path = folder.header
        folder.check_record()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            version = data["version"]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise RequestError(f"{path} is no header of a sweep: {type(error).__name__}: {error}") from error
        if type(version) is not int or version not in READ:
            found = str(version)[:40]
            raise RequestError(f"{path} has format version {found}, this oplstm reads {READ[0]} to {READ[-1]}")
        try:
            stored = _Stored.model_validate(data)
            if version == 1:
                stored = stored.model_copy(update={"measure": stored.job.measure.name})
            measure = MEASURES[str(stored.measure)]
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place, found = ".".join(str(part) for part in first["loc"]), str(first["input"])[:80]
            raise RequestError(f"{path} is damaged: {place}: {first['msg']}, got {found!r}") from error
        except (KeyError, TypeError) as error:
            raise RequestError(f"{path} is damaged: unknown benchmark or measure {str(error)[:80]}") from error
        if (version >= 3 or "digest" in data) and data.get("digest") != digest_of(data):
            raise RequestError(
                f"{path} is damaged: its content does not have the digest that stands in it; restore it from a copy"
            )
        if stored.name != (named or folder.name):
            raise RequestError(f"{path} is of sweep {stored.name!r}: give its folder that name again")
        values = {name: getattr(stored, name) for name in _Stored.model_fields if name != "measure"}
        offer_plugins(stored.plugins, of=stored.name)
        return Header(**values, measure=measure)


def digest_of(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what a header says but its digest, however it is laid out; empty for what no header says."""
    rest = {key: value for key, value in content.items() if key != "digest"}
    try:
        return hashlib.sha256(json.dumps(rest, sort_keys=True).encode("ascii")).hexdigest()
    except RecursionError:
        return ""


class _Stored(BaseModel):
    """What the file holds; version 1 has neither measure nor source of the space."""

    model_config = ConfigDict(strict=True)

    id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\z")]
    name: Annotated[str, StringConstraints(pattern=rf"^{SWEEP_NAME.pattern}\z")]
    kind: Annotated[SweepKind, Field(strict=False)]
    experiment: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,250}\z")]
    job: Job
    measure: Literal["loss", "accuracy"] | None = None
    tracking_uri: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x20\x7f]{1,2000}\z")] | None
    provenance: dict[str, str]
    of: str | None
    space_source: SpaceSource | None = None
    plugins: Annotated[tuple[PluginSource, ...], Field(strict=False)] = ()
    earlier_names: Annotated[tuple[SweepName, ...], Field(strict=False)] = ()
    archived: bool = False
    place: Place | None = None
