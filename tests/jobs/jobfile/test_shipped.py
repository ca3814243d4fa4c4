"""The jobs that ship: each is read, and those on sine are executed, shortened; test_image_jobs.py has the others."""

import pytest
import yaml

from jobs.jobfile.reading import load_job, parse_job
from jobs.jobfile.shipped import descriptions, shipped_jobs
from oplstm.training.device import Device
from tests.jobs.jobfile.job_texts import ask_some
from tests.jobs.jobfile.jobs_that_ship import ON_SINE, trains_its_first


@pytest.mark.integration
@pytest.mark.parametrize("name", ON_SINE)
def test_a_job_that_ships_trains_its_first_configurations(name, tmp_path):
    trains_its_first(name, 3, tmp_path, Device())


@pytest.mark.integration
@pytest.mark.parametrize("name", sorted(shipped_jobs()))
def test_a_job_that_ships_says_what_it_is_and_keeps_its_enqueued_points_first(name):
    job = load_job(name)
    assert job.description.endswith(".")
    assert descriptions()[name] == job.description
    first = ask_some(job, len(job.enqueue))
    assert [proposal.params for proposal in first] == job.enqueue
    assert parse_job(yaml.safe_dump(job.model_dump(mode="json")), "again.yaml") == job


def test_what_jobs_are_for_is_said_without_checking_them(monkeypatch):
    texts = {"broken": "description: What for.\nlearner: nonsense\n", "bare": "learner: lstm\n"}
    monkeypatch.setattr("jobs.jobfile.shipped.shipped_jobs", lambda: texts)
    assert descriptions() == {"broken": "What for.", "bare": ""}


def test_the_demo_tries_at_least_eight_configurations():
    assert load_job("demo").trials >= 8
