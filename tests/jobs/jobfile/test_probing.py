"""What a user's own space really produces is checked before any work."""

import pytest

from jobs.jobfile.reading import parse_job
from tests.jobs.jobfile.job_texts import ask_some, own_space, problems, the_problem

pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")


def test_a_fixed_value_may_mend_what_the_space_gives():
    assert parse_job(own_space("bad_values", "fixed: {lr: 0.1, passes: 1}\n"), "job.yaml").fixed["lr"] == 0.1


@pytest.mark.parametrize("name", ["rates", "six_cells", "mixed", "named_as_one_likes", "lists"])
def test_a_space_of_ones_own(name):
    job = parse_job(own_space(name), "job.yaml")
    assert len(ask_some(job, 2)) == 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("raises", ["space: {} raises KeyError: 'no such thing'"]),
        ("no_dictionary", ["space: {} raises TypeError: a space must return a dictionary of hyperparameters, got ["]),
        ("bad_keys", ["space: {} gives pases: unknown 'pases'; did you mean 'passes'?",
                      "space: {} gives width: unknown 'width'; did you mean 'widths'?"]),
        ("bad_values", ["space: {} gives passes: must be >= 1, got 0", "space: {} gives lr: must be > 0, got -1."]),
        ("without_rate", ["space: {} gives lr: is required"]),
        ("tuples", ["space: {} raises TypeError: choices must be text, numbers, lists, true, false or null, got "]),
        ("no_such", ["space: cannot import space '{}': "]),
    ],
)  # fmt: skip
def test_a_bad_space_of_ones_own_is_said_once(name, wanted):
    found = problems(own_space(name))
    assert len(found) == len(wanted)
    for problem, start in zip(found, wanted, strict=True):
        assert problem.startswith(start.format(f"tests.jobs.user_spaces:{name}"))
        assert problem.endswith("(job.yaml, line 3)")


def test_the_far_end_of_a_grid_is_checked_too(monkeypatch):
    monkeypatch.undo()
    assert "gives passes: must be >= 1" in the_problem(own_space("rarely_bad", "sampler: {name: grid}\n"))
