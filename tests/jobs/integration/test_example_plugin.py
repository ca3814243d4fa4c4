"""The example project: by its name, and installed; stopped, resumed, promoted, evaluated; its own tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store.header import Header
from tests.conftest import ROOT
from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.jobs.integration.network import network
from tests.jobs.integration.ray_nodes import started_nodes
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.jobs.plugins import as_in_a_new_process
from tests.tracking import postgres
from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy, bearer
from tests.tracking.postgres import Postgres
from tests.tracking.shared_server import SharedServer
from tracking.server.access import TOKEN
from tracking.server.embedded import Server

SHORT = ("--set", "updates=40", "--set", "validate_every=10", "--set", "validation_tasks=20", "--set", "test_tasks=20",
         "--set", "promotion.tasks=20", "--trials", "2")  # fmt: skip
A_TOKEN = "t0ken-of-a-researcher"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, in which building it may leave what it likes."""
    copied = tmp_path_factory.mktemp("example") / "project"
    return Path(shutil.copytree(ROOT / "tests/example_plugin", copied, ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process, in a folder from which the plug-in is not found by its name, and knowing nothing of it."""
    monkeypatch.chdir(tmp_path)
    with as_in_a_new_process():
        yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "oplstm_reptile"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultyProxy, Rest]]:
    """An MLflow server on PostgreSQL, where that is installed, behind a token."""
    database = None if postgres.missing() else Postgres()
    server = SharedServer(tmp_path_factory.mktemp("shared"), database and database.uri, accounts=False)
    front = FaultyProxy(server.uri)
    front.guard = bearer(A_TOKEN)
    yield front, Rest(server.uri)
    front.close()
    server.end()
    if database:
        database.stop()


@pytest.mark.long
def test_it_is_swept_on_two_nodes_of_which_one_dies_stopped_resumed_from_elsewhere_promoted_and_evaluated(
    oplstm: Oplstm,
    tracking: tuple[FaultyProxy, Rest],
    project: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """All that others bring along at once: their code, their cluster, their server; nothing is lost or doubled.

    The second node has a network of its own where this user may make one, so it does not reach the server.
    """
    front, rest = tracking
    slow = ("updates=4000", "validate_every=100", "final.budget.updates=100", "resources.cpus=1", "resources.retries=2")
    changed = [word for one in slow for word in ("--set", one)]
    with network() as own, started_nodes(ROOT) as start:
        head = start("head", network=own)
        head.await_start()
        second = start("second", head=head.address, network=own)
        second.await_start()
        where = ("--ray-address", head.address, "--tracking-uri", front.uri)
        monkeypatch.chdir(project)
        monkeypatch.setenv(TOKEN, A_TOKEN)  # of the verbs alone: the nodes have started without it
        verb = oplstm.start("sweep", "waves.yaml", *SHORT, *changed, "--plugin", "oplstm_reptile", *where)
        wait_until(lambda: len(oplstm.starts("waves")) == 2)
        oplstm.await_points("waves", 1, verb=verb)
        assert head.trains() and second.trains()
        second.kill()
        wait_until(lambda: oplstm.starts("waves").total() > 2)
        verb.interrupt()
        verb.wait().incomplete()

        monkeypatch.chdir(elsewhere)
        [source] = Header.read(oplstm.sweep("waves")).plugins
        assert source.path == str(project / "oplstm_reptile/__init__.py")
        assert source.brings == ("benchmark waves", "learner reptile", "space reptile")
        done = oplstm.start("resume", "waves", *where[:2], "--json").wait().ok().json
        assert (done["counts"], done["records_waiting"]) == ({"complete": 2}, 0)
    promoted = oplstm.start("promote", "waves", "--replicates", "0", "--json").wait().ok().json
    assert promoted["final"] == "waves-final"
    assert "oplstm_reptile" not in sys.modules
    for name in ("waves", "waves-final"):
        TrackedSweep(rest, oplstm, name, "waves").check()
    found = oplstm.here("evaluate", "waves", "--tasks", "50", "--json").ok().json
    assert found["benchmark"]["name"] == "waves" and found["tasks"] == 50
    assert oplstm.here("doctor", "waves").code == 0


@pytest.mark.integration
def test_its_pictures_are_imported_and_trained_on(
    oplstm: Oplstm, server: Server, project: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project)
    subprocess.run([sys.executable, "draw_shapes.py", str(elsewhere / "shapes")], check=True)
    data = ("--name", "shapes", "--size", "16", "--gray", "--json")
    assert oplstm.here("data", "import", str(elsewhere / "shapes"), *data).ok().json["size"] == [16, 16, 1]
    where = ("--tracking-uri", server.uri, "--json")
    done = oplstm.here("train", "shapes.yaml", *SHORT[:8], "--plugin", "oplstm_reptile", *where).ok().json
    assert done["counts"] == {"complete": 1}
    trial = oplstm.here("evaluate", "shapes-train/trial-0000", "--tasks", "20", "--json").ok().json
    assert (trial["benchmark"]["dataset"], trial["measure"]) == ("shapes", "accuracy")
    oplstm.here("data", "import", str(elsewhere / "shapes"), "--name", "others", *data[2:]).ok()
    on_others = ("evaluate", "shapes-train/trial-0000", "--dataset", "others", "--tasks", "20", "--json")
    assert oplstm.here(*on_others).ok().json["benchmark"]["dataset"] == "others"


@pytest.mark.integration
def test_it_keeps_the_contracts(project: Path):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.long
def test_installed_it_is_found_by_its_entry_points(oplstm: Oplstm, server: Server, project: Path, tmp_path: Path):
    """On a Ray of its own, whose workers find what is installed."""
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(project)], check=True)
    installed = {"PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}
    job = str(project / "waves.yaml")
    where = ("--tracking-uri", server.uri, "--name", "installed", "--json")
    done = oplstm.start("sweep", job, *SHORT, *where, **installed).wait().ok().json
    assert done["counts"] == {"complete": 2}
    [source] = Header.read(oplstm.sweep("installed")).plugins
    assert source.package == "oplstm-reptile 0.1.0" and Path(source.path).is_relative_to(site)
    assert oplstm.start("evaluate", "installed/trial-0001", "--tasks", "20", **installed).wait().code == 0
    without = oplstm.run("evaluate", "installed/trial-0001", "--tasks", "20")
    assert (without.code, without.out) == (2, "")
    assert without.err.strip() == (
        "oplstm: installed was made with the learner reptile and the benchmark waves and the space reptile of "
        "oplstm-reptile 0.1.0, which is not installed here: install it"
    )


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
