"""Tracking servers as people have them: tokens, accounts, own TLS, PostgreSQL; what is secret is kept nowhere."""

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest

from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking import postgres
from tests.tracking.certificates import Authority
from tests.tracking.conftest import Rest
from tests.tracking.faulty_proxy import FaultyProxy, basic, bearer
from tests.tracking.postgres import Postgres
from tests.tracking.shared_server import SharedServer
from tracking.server.access import AUTHORITY, PASSWORD, TOKEN, USERNAME
from tracking.server.embedded import Server

A_TOKEN = "t0ken-of-a-researcher"
ANN = ("ann", "pa%s/w0rd of ann")
HEADER, VALUE, _ = basic(*ANN)
ANNS = {HEADER: VALUE}
SECRETS = (A_TOKEN, ANN[1], quote(ANN[1], safe=""), VALUE.removeprefix("Basic "))


def found_in(places: Sequence[Path]) -> list[str]:
    """Where a secret stands in what was written."""
    wanted = [secret.encode() for secret in SECRETS]
    files = [path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files for secret in wanted if secret in path.read_bytes()]


def in_command_lines() -> list[str]:
    """Processes whose arguments, which everybody on the machine can read, name a secret."""
    found = []
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        found += [words for secret in SECRETS if secret in words]
    return found


def written(oplstm: Oplstm) -> list[Path]:
    """The folders in which a verb can have written something: its home and output, the user's, Ray's, Tune's."""
    import ray

    session = Path(ray._private.worker._global_node.get_session_dir_path())
    return [oplstm.folder, Path(os.environ["XDG_CONFIG_HOME"]), session, *tunes_own()]


def tunes_own() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("oplstm-tune-*"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres | None]:
    """PostgreSQL where it is installed."""
    if postgres.missing():
        yield None
        return
    running = Postgres()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, database: Postgres | None, code_under_test: None
) -> Iterator[SharedServer]:
    """One with accounts, one of which is Ann's."""
    running = SharedServer(tmp_path_factory.mktemp("shared"), database and database.uri)
    running.add_user(*ANN)
    yield running
    running.end()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What verbs in this process settle is gone afterwards; the cluster was started without any of it."""
    for name in (USERNAME, PASSWORD, TOKEN, "NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "")


@pytest.mark.integration
def test_a_sweep_behind_tls_and_a_token(
    oplstm: Oplstm,
    ray_address: str,
    server: Server,
    rest: Rest,
    authority: Authority,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
):
    front = FaultyProxy(server.uri, tls=authority.tls, prefix="/mlflow")
    front.guard = bearer(A_TOKEN)
    found_midway: list[list[str]] = []

    def look(request: str) -> None:
        if request.endswith("log-batch") and not found_midway:
            found_midway.append([*in_command_lines(), *found_in(tunes_own())])

    front.after = look
    verb = ("sweep", oplstm.job(unique), "--name", "guarded", "--ray-address", ray_address, "--tracking-uri", front.uri)
    monkeypatch.setenv(AUTHORITY, str(authority.file))
    monkeypatch.setenv(TOKEN, "no" + A_TOKEN)
    wrong = oplstm.here(*verb)
    assert (wrong.code, wrong.out) == (2, "")
    assert wrong.err == f"oplstm: tracking server {front.uri}: it refuses the token of {TOKEN} (HTTP 401)\n"
    monkeypatch.setenv(TOKEN, A_TOKEN)
    right = oplstm.here(*verb, "--json").ok()
    assert right.json["records_waiting"] == 0
    TrackedSweep(rest, oplstm, "guarded", unique).check()
    checks = oplstm.here("doctor", "--json")
    assert f"{front.uri}, of 1 sweep here" in [check["found"] for check in checks.json]
    (oplstm.folder / "said").write_text(repr((right, checks)))
    assert found_midway == [[]] and found_in([*written(oplstm), server.folder]) == []
    (oplstm.folder / "said").write_text(f"Bearer {A_TOKEN}")
    assert found_in(written(oplstm)) == [str(oplstm.folder / "said")]
    front.close()


@pytest.mark.long
def test_a_training_behind_mlflows_own_accounts(
    oplstm: Oplstm,
    ray_address: str,
    shared: SharedServer,
    database: Postgres | None,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
):
    """The address holds the password; a resume finds it in the environment."""
    config = {"widths": [8], "passes": 2, "meta_batch_size": 2, "lr": 0.005}
    job = oplstm.job(unique, space=None, fixed=config, budget={"tasks": 4000, "validate_every": 500})
    named = shared.uri.replace("://", f"://{ANN[0]}:{quote(ANN[1], safe='')}@")
    verb = oplstm.start("train", job, "--name", "ours", "--json", MLFLOW_TRACKING_URI=named)
    oplstm.await_points("ours", 1, verb=verb)
    verb.interrupt()
    assert verb.wait().incomplete().json["state"] == "stopped"
    stranger = oplstm.here("resume", "ours")
    assert (stranger.code, stranger.out) == (2, "")
    assert f"tracking server {shared.uri}: it refuses calls without credentials" in stranger.err
    monkeypatch.setenv(USERNAME, ANN[0])
    monkeypatch.setenv(PASSWORD, ANN[1])
    done = oplstm.here("resume", "ours", "--json").ok()
    assert done.json["records_waiting"] == 0
    TrackedSweep(Rest(shared.uri, ANNS), oplstm, "ours", unique).check()
    assert json.loads(oplstm.sweep("ours").header.read_text())["tracking_uri"] == shared.uri
    (oplstm.folder / "said").write_text(repr(done))
    folders = [*written(oplstm), shared.folder, *([database.files()] if database else [])]
    assert found_in(folders) == [] and in_command_lines() == []


@pytest.mark.long
def test_two_sweeps_at_once_on_postgresql_whose_server_is_restarted(
    oplstm: Oplstm,
    ray_address: str,
    shared: SharedServer,
    database: Postgres | None,
    unique: str,
    monkeypatch: pytest.MonkeyPatch,
):
    if database is None:
        pytest.skip(postgres.missing())
    monkeypatch.setenv(USERNAME, ANN[0])
    monkeypatch.setenv(PASSWORD, ANN[1])
    job = oplstm.job(unique, budget={"tasks": 1500, "validate_every": 50}, resources={"pack": 2})
    address = ("--ray-address", ray_address, "--tracking-uri", shared.uri, "--json")
    verb = oplstm.start("sweep", job, "--name", "one", *address)

    def restart() -> None:
        for name in ("one", "two"):
            oplstm.await_points(name, 2)
        shared.end()
        assert verb.running(), "it has ended too soon for this test"
        shared.start()

    with ThreadPoolExecutor() as aside:
        restarted = aside.submit(restart)
        two = oplstm.here("sweep", job, "--name", "two", *address)
        restarted.result()
    for name, done in (("one", verb.wait()), ("two", two)):
        if done.ok().json["records_waiting"]:  # it waits for half a minute
            oplstm.here("doctor", name).ok()
        sweep = TrackedSweep(Rest(shared.uri, ANNS), oplstm, name, unique)
        sweep.check()
        sweep.check_model("trial-0001", oplstm.folder / f"model-of-{name}")
        assert sweep.parent["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    assert list(shared.artifacts.rglob("model.safetensors")), "the server has stored them"
    assert (unique,) in database.rows("select name from experiments")
