"""A job is told by what it trains: the paper's configuration, whatever the job is called."""

import pytest

from jobs.jobfile.published import published_as
from jobs.jobfile.reading import load_job
from jobs.jobfile.shipped import shipped_jobs

PUBLISHED = [name for name in shipped_jobs() if name.startswith("published-")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_published_job_is_known_with_other_shots_and_seeds_too(name):
    for overrides in ([], ["shots=3", "seeds=5", "seed=7"]):
        assert published_as(load_job(name, overrides)) == name


@pytest.mark.parametrize(
    "change", ["lr=0.1", "passes=3", "benchmark.convention=paper", "meta_gradient=mean", "benchmark.queries=7"]
)
def test_another_configuration_is_not_the_paper_s(change):
    assert published_as(load_job("published-sine-lstm", [change])) is None


def test_a_sweep_is_none_even_where_it_begins_with_the_published_point():
    assert published_as(load_job("sine-lstm")) is None
