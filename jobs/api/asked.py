"""What a caller hands in: a home, and a job as a file, the name of one that ships, plain data or a ``Job``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.jobfile.schema import Job
    from jobs.store.home import Home

AnyHome = str | os.PathLike[str] | None
"""A folder; None for ``$OPLSTM_HOME``, else ``./oplstm-home``."""


def home_of(home: AnyHome) -> "Home":
    """The home in a folder."""
    from jobs.store.home import Home

    return Home(None if home is None else Path(home))


def job_of(
    job: "str | os.PathLike[str] | Mapping[str, Any] | Job", settings: Mapping[str, Any], *, trials: int | None = None
) -> "tuple[Job, str | None]":
    """A checked job, and the name of its file; None where it has none.

    Args:
        job: Path, name of one that ships, what a job file would say, or a job that was checked before.
        settings: Values to replace, by key, as ``--set`` takes them.
        trials: Replaces the job's, if given.

    Raises:
        RequestError: Everything that is wrong with it.
    """
    import yaml

    from jobs.jobfile.reading import load_job, parse_job
    from jobs.jobfile.schema import Job

    try:
        overrides = texts_of(settings)
        if isinstance(job, str | os.PathLike):
            path = os.fspath(job)
            return load_job(path, overrides, trials=trials), Path(path).stem
        data = job.model_dump(mode="json", exclude_defaults=True) if isinstance(job, Job) else dict(job)
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as error:
        raise RequestError(f"a job must be plain values: {' '.join(str(error).split())[:200]}") from error
    return parse_job(text, "the job", overrides, trials=trials), None


def texts_of(values: Mapping[str, Any]) -> list[str]:
    """Values by key as the command line takes them: ``key=value`` texts, the value in YAML.

    Raises:
        yaml.YAMLError: One is no plain value.
    """
    import yaml

    dumped = {key: yaml.safe_dump(value, default_flow_style=True, width=10**6) for key, value in values.items()}
    lines = {key: text.removesuffix("\n").removesuffix("\n...") for key, text in dumped.items()}
    return [f"{key}={text}" for key, text in lines.items()]
