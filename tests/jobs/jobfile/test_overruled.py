"""What a job fixes that its space makes of dimensions of other names."""

import pytest

from jobs.jobfile.overruled import overruled
from jobs.jobfile.reading import load_job
from jobs.jobfile.shipped import shipped_jobs


@pytest.mark.parametrize(
    ("name", "fixed", "keys"),
    [
        ("sine-lstm", ["widths=[40]"], ["widths"]),
        ("sine-lstm", ["lr=.001", "passes=3", "meta_batch_size=4", "grad_clip=10"], []),
        ("sine-op-lstm", ["lr=.002"], ["lr"]),
        ("sine-maml-widths", ["base_widths=[40,40]", "lr=.002"], ["base_widths"]),
        ("omniglot-protonet", ["train_ways=null"], []),
        ("published-sine-lstm", ["lr=.002"], []),
    ],
)
def test_a_key_that_the_space_makes_of_other_dimensions_is_named(name, fixed, keys):
    found = overruled(load_job(name, fixed))
    assert [line.partition(" ")[0] for line in found] == [f"fixed.{key}" for key in keys]


def test_it_is_one_line():
    assert overruled(load_job("sine-op-lstm", ["lr=.002"])) == [
        "fixed.lr wins over what the space sine-op-lstm makes of its dimensions; those that decide nothing else are "
        "searched in vain: pin those instead"
    ]


@pytest.mark.parametrize("name", shipped_jobs())
def test_no_job_that_ships_searches_in_vain(name):
    assert overruled(load_job(name)) == []
