"""What is written from the schema of a job file: the template, and the JSON schema for editors."""

import json
from pathlib import Path

import pytest
import yaml

from jobs.jobfile.reading import parse_job
from jobs.jobfile.schema import Job, json_schema
from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.template import TEMPLATE
from tests.conftest import ROOT
from tests.jobs.jobfile.job_texts import JOB


def test_the_template_loads_and_says_the_defaults():
    job = parse_job(TEMPLATE, "job.yaml")
    for section in ("resources", "promotion", "final"):
        assert getattr(job, section) == Job.model_fields[section].default, section
    assert set(yaml.safe_load(TEMPLATE)) == set(Job.model_fields) - {"seeds", "first_seed"}
    assert job.sampler == Job.model_fields["sampler"].default


def test_the_schema_that_ships_is_that_of_the_code():
    path = ROOT / "jobs" / "jobfile" / "files" / "job.schema.json"
    assert path.read_text() == json_schema(), "write it anew with jobs.jobfile.schema.json_schema()"


@pytest.mark.slow
def test_the_schema_accepts_what_ships_and_refuses_an_unknown_key():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json_schema())
    for text in [*shipped_jobs().values(), TEMPLATE]:
        jsonschema.validate(yaml.safe_load(text), schema)
        first_line = text.partition("\n")[0]
        assert not first_line.startswith("# yaml-language-server") or Path(first_line.partition("=")[2]).name in (
            path.name for path in (ROOT / "jobs" / "jobfile" / "files").iterdir()
        )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(JOB + "trails: 3\n"), schema)
