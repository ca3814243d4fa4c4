"""A sweep on a Ray cluster of several nodes, which join and die: its results are those on a Ray of one machine."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.jobs.integration.ray_nodes import Node, started_nodes
from tests.jobs.integration.test_faults import results
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.long

SWEEP: dict[str, Any] = {
    "trials": 6,
    "budget": {"tasks": 14_400, "validate_every": 900},
    "resources": {"cpus": 1, "gpus": 0.5, "pack": 1, "retries": 3},
}
LONG = 91
"""Bytes of a TMPDIR as a batch system gives it."""


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., Node]]:
    with started_nodes(root) as start:
        yield start


@pytest.fixture
def unbroken(new_oplstm: Callable[[], Oplstm], server: Server, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """On a Ray of its own, without GPUs, under a long TMPDIR."""
    oplstm, folder = new_oplstm(), tmp_path_factory.mktemp("t")
    folder /= "x" * (LONG - len(str(folder)) - 1)
    folder.mkdir()
    job = oplstm.job("unbroken", **{**SWEEP, "resources": {**SWEEP["resources"], "gpus": 0}})
    verb = oplstm.start("sweep", job, "--name", "calm", "--tracking-uri", server.uri, TMPDIR=str(folder))
    verb.wait(300).ok()
    found = results(oplstm, "calm")
    assert [trial["end"][0] for trial in found.values()] == ["complete"] * 6
    return found


def test_nodes_join_and_die_and_so_does_the_head(
    oplstm: Oplstm,
    start: Callable[..., Node],
    server: Server,
    rest: Rest,
    unbroken: Any,
    unique: str,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """A token guards the cluster (tests/conftest.py). Two packs share the GPU of the node that joins.

    That node, and one of the second cluster, do not see the home, where that can be made so.
    """
    head = start("head")
    head.await_start()
    on, options = ("--ray-address", head.address), ("--tracking-uri", server.uri, "--json")
    verb = oplstm.start("sweep", oplstm.job(unique, **SWEEP), "--name", "wide", *on, *options)
    blind_to = oplstm.home.path if os.geteuid() == 0 else None
    with head.held():
        joined = start("joined", head=head.address, cpus=2, blind_to=blind_to)
        wait_until(lambda: joined.trains() == 2)
    oplstm.await_points("wide", 2, verb=verb, after=points_of(oplstm))
    assert joined.trains()
    joined.kill()
    wait_until(lambda: max(oplstm.starts("wide").values()) > 1)
    oplstm.await_points("wide", 2, verb=verb, after=points_of(oplstm))
    head.kill()
    done = verb.wait(60)
    assert (done.code, done.out) == (1, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("oplstm: ")]
    assert line.endswith("oplstm resume wide")
    assert any(trial["end"] is None for trial in results(oplstm, "wide").values())

    head = start("new-head", cpus=2)
    head.await_start()
    for package in ("oplstm", "search_spaces", "tracking", "jobs"):
        shutil.copytree(root / package, tmp_path / package)
    (tmp_path / "jobs" / "__init__.py").write_text("# another\n")
    unfit = start("other-code", head=head.address, python_path=tmp_path)
    for node in (start("blind", head=head.address, blind_to=blind_to), unfit):
        node.await_start()
    on = ("--ray-address", head.address)
    monkeypatch.chdir(tmp_path.parent)  # Ray's workers look in the driver's working directory first
    refused = oplstm.start("resume", "wide", *on).wait(120)
    assert (refused.code, refused.out) == (2, "")
    [other] = [line for line in refused.err.splitlines() if line.startswith("oplstm: ")]
    assert "node other-code" in other
    assert "has another oplstm, " in other
    assert other.endswith("jobs/__init__.py differs; install the same checkout on every node")
    unfit.kill()
    oplstm.start("resume", "wide", *on, "--json").wait(240).ok()
    assert results(oplstm, "wide") == unbroken
    assert oplstm.sweep("wide").pack_log.read_text().count("is sent through Ray") == (2 if blind_to else 0)
    tracked = TrackedSweep(rest, oplstm, "wide", unique)
    tracked.check()
    assert {texts(run, "tags")["oplstm.gpu_ids"] for run in tracked.trials.values()} == {"0"}


def points_of(oplstm: Oplstm) -> int:
    """How many points beyond update 0 there are."""
    return sum(bool(point["update"]) for point in oplstm.events("wide", "point"))
