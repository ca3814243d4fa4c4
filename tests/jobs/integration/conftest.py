"""One Ray cluster and one MLflow server for all tests of this folder."""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.jobs.integration.command_line import Oplstm
from tests.tracking.conftest import Rest
from tests.tracking.session_server import session_server
from tracking.server.embedded import Server

CPUS, GPUS = 4, 2
"""Logical ones: a pack that asks for 4 CPUs has the cluster to itself, whatever this machine has."""


@pytest.fixture(scope="session", autouse=True)
def code_under_test() -> Iterator[None]:
    """Every process that a test starts imports this checkout, and none asks a server of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield


@pytest.fixture(scope="session")
def ray_address(code_under_test: None) -> Iterator[str]:
    """Ray runs in this process, and other processes reach it at this address."""
    import ray

    ray.init(
        address="local",
        num_cpus=CPUS,
        num_gpus=GPUS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, code_under_test: None) -> Iterator[Server]:
    with session_server(tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="session")
def rest(server: Server) -> Rest:
    return Rest(server.uri)


@pytest.fixture(scope="session")
def new_oplstm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Oplstm]]:
    """Makes command lines with a home of their own; ends their processes when the session ends."""
    made: list[Oplstm] = []

    def new() -> Oplstm:
        folder: Path = tmp_path_factory.mktemp("oplstm")
        made.append(Oplstm(folder / "home", ROOT))
        return made[-1]

    yield new
    for one in made:
        one.end()


@pytest.fixture
def oplstm(new_oplstm: Callable[[], Oplstm]) -> Iterator[Oplstm]:
    one = new_oplstm()
    yield one
    one.end()


@pytest.fixture
def unique() -> str:
    """A word that no other test uses, for job files: an experiment is named after them."""
    return "job-" + uuid.uuid4().hex[:12]
