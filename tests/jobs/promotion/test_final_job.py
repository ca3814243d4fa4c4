"""The job of a final run: the winner's configuration over seeds."""

import pytest

from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import final_budget
from jobs.promotion.final_job import final_job
from jobs.store.trial import Trial
from jobs.sweep.packing import pack_size
from jobs.sweep.proposals import Proposals
from tests.jobs.formula_training import job


def winner_of(of):
    proposal = Proposals(of).ask()
    return proposal.run, Trial(proposal.number, proposal.params, proposal.run.to_dict(), of.measure)


@pytest.mark.parametrize("name", ["demo", "sine-lstm", "sine-lstm-sequential", "sine-op-lstm"])
def test_the_final_job_trains_the_winners_configuration_in_one_pack(name):
    of = load_job(name)
    run, winner = winner_of(of)
    final = final_job(of, winner)
    assert (final.space, final.seeds, pack_size(final)) == (None, 3, 3)
    proposals = Proposals(final, final=True)
    runs = [proposals.ask().run for _ in range(3)]
    assert proposals.ask() is None
    assert all(one.configuration() == run.configuration() for one in runs)
    assert all(one.final and one.evaluation_seed == one.seed for one in runs)
    assert len({one.signature for one in runs}) == 1
    assert len({one.seed for one in runs} | {run.seed}) == 4
    assert all(one.budget.total == 70000 and one.budget.unit == "tasks" for one in runs)


def test_seeds_of_the_command_line_win():
    of = job("rates", final={"seeds": 4, "cpus": 3, "gpus": 0.5}, resources={"retries": 7})
    _, winner = winner_of(of)
    final = final_job(of, winner)
    assert final.resources.retries == 7, "a seed is given up no sooner than a trial"
    assert (final.seeds, final.resources.cpus, final.resources.gpus) == (4, 3, 0.5)
    assert final_job(of, winner, seeds=2).seeds == 2


def test_the_final_budget_replaces_keys_and_may_change_the_unit():
    budget = {"tasks": 40, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2}
    assert final_budget(job()) == budget
    assert final_budget(job(final={"budget": {"test_tasks": 9}})) == budget | {"test_tasks": 9}
    by_updates = final_budget(job(final={"budget": {"updates": 30}}))
    assert by_updates == {"updates": 30, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2}
