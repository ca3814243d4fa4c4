"""What lies beside the page of a report: the trial table and the job."""

import csv
import io

import yaml

from jobs.operations.reporting.contents import Contents
from jobs.store.header import Header
from jobs.store.names import SWEEP_NAME


def trials_csv(contents: Contents) -> str:
    """The rows as CSV."""
    rows, text = contents.rows(), io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def job_name(header: Header) -> str:
    """Name of the job file: that of the experiment, so that a sweep of it is tracked there too."""
    stem = header.experiment if SWEEP_NAME.fullmatch(header.experiment) else "job"
    return f"{stem}.yaml"


def job_yaml(header: Header) -> str:
    """The job as it was read, with everything that was set over it."""
    text: str = yaml.safe_dump(
        header.job.model_dump(mode="json", exclude_defaults=True), sort_keys=False, allow_unicode=True, width=100
    )
    return text


def command(header: Header) -> str:
    """What runs the sweep once more, from its job file."""
    name = f"{header.name}-again"
    return f"oplstm sweep {job_name(header)} --name {name if SWEEP_NAME.fullmatch(name) else 'again'}"
