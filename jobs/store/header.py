"""What a sweep is: ``sweep.json``, written once, when its folder is made."""

import json
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from jobs.jobfile.schema import Job
from jobs.store.home import SweepFolder
from jobs.store.states import SweepKind
from oplstm.durable import write_file
from oplstm.episodes.measure import MEASURES, Measure
from oplstm.errors import RequestError

VERSION: Final = 2
READ: Final = (1, 2)
"""Versions that are read: 1 has no measure."""


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

    def write(self, folder: SweepFolder) -> None:
        """Make the folder and its header.

        Raises:
            RequestError: The folder is there already.
            OSError: It cannot be written.
        """
        try:
            folder.path.mkdir(parents=True)
        except FileExistsError:
            raise RequestError(f"name {self.name!r} is taken ({folder.path}); use another --name") from None
        data = {**self.__dict__, "job": self.job.model_dump(mode="json"), "measure": self.measure.name}
        write_file(folder.header, json.dumps({"version": VERSION, **data}, indent=1))

    @staticmethod
    def read(folder: SweepFolder) -> "Header":
        """The header of an existing sweep.

        Raises:
            RequestError: It cannot be read, or was written by another version.
        """
        path = folder.header
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            version = data["version"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RequestError(f"{path} is no header of a sweep: {type(error).__name__}: {error}") from error
        if version not in READ:
            raise RequestError(f"{path} has format version {version}, this oplstm reads {READ[0]} to {READ[-1]}")
        try:
            return _from_data(data)
        except (KeyError, TypeError, ValueError) as error:
            problem = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
            raise RequestError(f"{path} is damaged: {type(error).__name__}: {problem}") from error


def _from_data(data: dict[str, Any]) -> Header:
    job = Job.model_validate(data["job"])
    return Header(
        id=data["id"],
        name=data["name"],
        kind=SweepKind(data["kind"]),
        experiment=data["experiment"],
        job=job,
        measure=MEASURES[data["measure"]] if data["version"] > 1 else job.measure,
        tracking_uri=data["tracking_uri"],
        provenance=data["provenance"],
        of=data["of"],
    )
