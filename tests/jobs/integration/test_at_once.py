"""Sweeps at the same time in one home and on one server do not meet; of verbs that want the same sweep one wins."""

from typing import Any

import pytest

from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest
from tracking.server.embedded import Server


def sweep_of(tasks: int, trials: int) -> dict[str, Any]:
    return {"trials": trials, "budget": {"tasks": tasks, "validate_every": 500}, "resources": {"pack": 1}}


@pytest.mark.long
def test_two_sweeps_in_one_home_on_one_cluster_and_server(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, unique: str
):
    """The second begins and ends while the first goes on, and finds the same at the same updates."""
    long, short = oplstm.job(f"{unique}-long", **sweep_of(10**6, 1)), oplstm.job(unique, **sweep_of(2000, 2))
    verb = oplstm.start("sweep", long, "--name", "one", "--tracking-uri", server.uri, "--ray-address", ray_address)
    oplstm.await_points("one", 1, verb=verb)
    oplstm.here("sweep", short, "--name", "two", "--tracking-uri", server.uri).ok()
    assert verb.running()
    oplstm.here("stop", "one").ok()
    verb.wait().incomplete()
    TrackedSweep(rest, oplstm, "two", unique).check()
    for name in ("one", "two"):
        oplstm.here("doctor", name).ok()
    one, two = (
        {(event["trial"], event["update"]): event["metrics"]["val/loss"] for event in oplstm.events(name, "point")}
        for name in ("one", "two")
    )
    assert {place: two[place] for place in one.keys() & two.keys()} == {
        place: one[place] for place in one.keys() & two.keys()
    }
    assert len(one.keys() & two.keys()) > 2


@pytest.mark.long
def test_of_verbs_that_want_one_sweep_at_once_one_wins(oplstm: Oplstm, server: Server, rest: Rest, unique: str):
    fixed = {"widths": [4], "passes": 1, "meta_batch_size": 4, "lr": 0.01}
    job = oplstm.job(unique, space=None, fixed=fixed, budget={"tasks": 10**6, "validate_every": 100})
    command = ("train", job, "--name", "s", "--tracking-uri", server.uri)
    for words, refusals in (
        (command, ("name 's' is taken",)),
        (("resume", "s"), ("s is running", "is in use by process")),
    ):
        verbs = [oplstm.start(*words) for _ in range(4)]
        wait_until(lambda verbs=verbs: sum(verb.running() for verb in verbs) == 1)
        [winner] = [verb for verb in verbs if verb.running()]
        points = len(oplstm.events("s", "point"))
        oplstm.await_points("s", points + 2, verb=winner)
        oplstm.here("stop", "s").ok()
        winner.wait().incomplete()
        for verb in verbs:
            if verb is not winner:
                done = verb.wait()
                assert (done.code, done.out) == (2, "")
                [line] = [line for line in done.err.splitlines() if line.startswith("oplstm: ")]
                assert any(refusal in line for refusal in refusals)
    assert len(oplstm.events("s", "resumed")) == 1
    [trial] = TrackedSweep(rest, oplstm, "s", unique).trials.values()
    known = [(event["update"], event["metrics"]["val/loss"]) for event in oplstm.events("s", "point")]
    assert rest.history(trial, "val/loss") == known
