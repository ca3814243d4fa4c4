"""``oplstm ui``: the embedded server, opened where it shows something."""

import json
import urllib.request

import pytest

from tests.jobs.integration.command_line import Oplstm, wait_until
from tests.tracking.conftest import Rest
from tracking.server.embedded import Server
from tracking.server.process import group_exists

pytestmark = pytest.mark.integration


def address(verb) -> str:
    wait_until(lambda: verb.out().strip())
    return json.loads(verb.out())["url"]


def test_the_ui_serves_what_a_training_left_behind_and_ends_its_server(oplstm: Oplstm):
    config = {"widths": [4], "passes": 2, "meta_batch_size": 4, "lr": 0.01}
    job = oplstm.job("shown", space=None, fixed=config)
    assert oplstm.run("train", job, "--name", "shown", "--json").ok().json["records_waiting"] == 0
    verb = oplstm.start("ui", "--no-browser", "--json")
    url = address(verb)
    with urllib.request.urlopen(url.partition("#")[0], timeout=30) as page:
        assert b"<div id=" in page.read()
    rest = Rest(url.partition("/#")[0])
    assert {key.partition("/")[2] for key in rest.runs("shown")} == {"", "trial-0000"}
    verb.interrupt()
    assert verb.wait().code == 0
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url.partition("#")[0], timeout=5)


def test_the_ui_of_another_server_is_only_announced(oplstm: Oplstm, server: Server):
    done = oplstm.here("ui", "--no-browser", "--json", "--tracking-uri", server.uri).ok()
    assert done.json["url"].startswith(server.uri)


def test_the_ui_joins_the_server_of_a_training_and_outlives_it(oplstm: Oplstm):
    config = {"widths": [4], "passes": 2, "meta_batch_size": 4, "lr": 0.01}
    job = oplstm.job("watched", space=None, fixed=config, budget={"tasks": 10**6})
    training = oplstm.start("train", job, "--name", "watched")
    wait_until(lambda: oplstm.events("watched", "started"))
    served = json.loads((oplstm.home.path / "mlflow" / "server.json").read_text())["uri"]
    verb = oplstm.start("ui", "--no-browser", "--json")
    assert address(verb).startswith(served)
    assert answers(served)
    training.kill()
    assert answers(served)
    assert oplstm.here("status", "watched", "--json").ok().json["state"] == "stopped"
    verb.interrupt()
    assert verb.wait().code == 0
    assert not answers(served), "the last to use the server ends it, whoever started it"


@pytest.mark.parametrize("moment", ["serving", "starting"])
def test_a_ui_that_is_terminated_ends_its_server(oplstm: Oplstm, moment: str):
    verb = oplstm.start("ui", "--no-browser", "--json")
    record = oplstm.home.path / "mlflow" / "server.json"
    wait_until(record.is_file if moment == "starting" else lambda: verb.out().strip())
    server = json.loads(record.read_text())
    verb.terminate()
    verb.wait()
    assert not group_exists(server["pid"])
    assert not record.exists()


def answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/health", timeout=5) as reply:
            return reply.status == 200
    except OSError:
        return False
