"""Whatever dies in the middle of a sweep, the results are those of a sweep that nothing happened to, to the bit."""

import contextlib
import os
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.operations.running import is_running
from jobs.store.memory import PEAK, SHARING
from tests.jobs.integration.command_line import Oplstm, Verb, wait_until
from tests.jobs.integration.conftest import GPUS
from tests.jobs.integration.tracked_runs import TrackedSweep
from tests.tracking.conftest import Rest, texts
from tests.tracking.faulty_proxy import FaultyProxy
from tracking.server.embedded import Server, ensure_server

SWEEP: dict[str, Any] = {
    "trials": 3,
    "budget": {"tasks": 4000, "validate_every": 250},
    "resources": {"cpus": 1, "pack": 1, "retries": 1},
}


def results(oplstm: Oplstm, name: str) -> dict[str, Any]:
    """All that a sweep found, without what depends on the clock: configurations, seeds, points, ends, files."""
    found: dict[str, Any] = {}
    for event in oplstm.events(name, "asked"):
        trial = f"trial-{event['trial']:04d}"
        assert trial not in found, "asked twice"
        found[trial] = {"params": event["params"], "run": event["run"], "points": [], "end": None}
    for event in oplstm.events(name, "point"):
        metrics = {metric: value for metric, value in event["metrics"].items() if metric != "train/tasks_per_second"}
        found[event["trial"]]["points"].append((event["update"], metrics))
    for event in oplstm.events(name, "ended"):
        if event["state"] != "stopped":
            assert found[event["trial"]]["end"] is None or found[event["trial"]]["end"][0] == "failed", "ended twice"
            scores = {name: value for name, value in event["metrics"].items() if name not in (PEAK, SHARING)}
            found[event["trial"]]["end"] = (event["state"], event["update"], event["best_update"], scores)
    for folder in oplstm.sweep(name).trials.glob("trial-*"):
        found[folder.name]["files"] = {path.name: path.read_bytes() for path in folder.iterdir()}
    return found


@pytest.fixture(scope="module")
def undisturbed(new_oplstm: Callable[[], Oplstm], ray_address: str, server: Server) -> dict[str, Any]:
    oplstm = new_oplstm()
    oplstm.here("sweep", oplstm.job("undisturbed", **SWEEP), "--name", "calm", "--tracking-uri", server.uri).ok()
    found = results(oplstm, "calm")
    assert [trial["end"][0] for trial in found.values()] == ["complete"] * 3
    assert all({"model.safetensors", "run.json", "test.safetensors"} <= set(trial["files"]) for trial in found.values())
    return found


def kill_training_processes(oplstm: Oplstm, name: str, kills: Counter[str]) -> None:
    """kill -9 of the process that trains, a point or two after it has started; so often for each pack."""

    def await_more(event: str, than: int) -> None:
        wait_until(lambda: len(oplstm.events(name, event)) > than)

    starts = 0
    while kills.total():
        await_more("started", starts)
        pack = oplstm.events(name, "started")[starts]["pack"]
        starts += 1
        if kills[pack]:
            kills[pack] -= 1
            await_more("point", len(oplstm.events(name, "point")) + 1)
            kill_ray_process("ray::ResourceTrainable.train", below=os.getpid())


def kill_ray_process(title: str, *, below: int) -> None:
    """kill -9 of the one descendant of a process that has this title, to which Ray adds the method that it is in."""
    family = psutil.Process(below).children(recursive=True)
    [found] = [child for child in family if f"{title_of(child)}.".startswith(f"{title}.")]
    found.kill()


def title_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return "".join(process.cmdline()[:1]).rpartition("/")[2]
    return ""


@pytest.mark.long
def test_a_process_that_dies_is_replaced_and_one_that_always_dies_is_given_up_and_can_be_trained_again(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, undisturbed: dict[str, Any], unique: str
):
    """One pack at a time: the first dies once, the second as often as it is tried, the third lives.

    Trained again, the second goes on from its last checkpoint, and the others are left alone.
    """
    job = oplstm.job(unique, **{**SWEEP, "resources": {**SWEEP["resources"], "gpus": GPUS}})
    with ThreadPoolExecutor() as killers:
        killing = killers.submit(kill_training_processes, oplstm, "deaths", Counter({"pack-0000": 1, "pack-0001": 2}))
        done = oplstm.here("sweep", job, "--name", "deaths", "--tracking-uri", server.uri, "--json").incomplete()
        killing.result()
    assert (done.json["state"], done.json["counts"]) == ("incomplete", {"complete": 2, "failed": 1})
    assert oplstm.starts("deaths") == {"pack-0000": 2, "pack-0001": 2, "pack-0002": 1}
    found = results(oplstm, "deaths")
    for trial in ("trial-0000", "trial-0002"):
        assert found[trial] == undisturbed[trial]
    assert found["trial-0001"]["end"][0] == "failed"
    tracked = TrackedSweep(rest, oplstm, "deaths", unique)
    tracked.check()
    assert "died" in texts(tracked.trials["trial-0001"], "tags")["mlflow.note.content"]

    assert "oplstm rerun-failed deaths" in oplstm.here("resume", "deaths").err
    points = len(oplstm.events("deaths", "point"))
    assert oplstm.here("rerun-failed", "deaths", "--json").ok().json["counts"] == {"complete": 3}
    assert results(oplstm, "deaths") == undisturbed
    assert {event["trial"] for event in oplstm.events("deaths", "point")[points:]} == {"trial-0001"}
    assert len(oplstm.events("deaths", "point")) - points < len(undisturbed["trial-0001"]["points"])
    tracked = TrackedSweep(rest, oplstm, "deaths", unique)
    tracked.check()
    assert texts(tracked.trials["trial-0001"], "tags")["mlflow.note.content"].startswith("Trial 1 of ")


LOST = {
    "ray::Coordinator": "the coordinator of killed has died",
    "gcs_server": "the head service of Ray (gcs_server)",
}
"""What the line says when a process with this title dies."""


@pytest.mark.long
@pytest.mark.parametrize("victim", ["ray::Coordinator", "gcs_server"])
def test_kill_and_resume(
    oplstm: Oplstm,
    ray_address: str,
    server: Server,
    rest: Rest,
    undisturbed: dict[str, Any],
    unique: str,
    victim: str,
):
    """kill -9 of a part of Ray ends the command, and what is left of Ray with it."""
    verb = oplstm.start("sweep", oplstm.job(unique, **SWEEP), "--name", "killed", "--tracking-uri", server.uri)
    oplstm.await_points("killed", 5, verb=verb)
    family = psutil.Process(verb.pid).children(recursive=True)
    kill_ray_process(victim, below=verb.pid)
    done = verb.wait(50)  # Ray itself would wait for a minute for its head
    assert (done.code, done.out) == (1, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("oplstm: ")]
    assert LOST[victim] in line
    assert "Traceback" not in done.err
    wait_until(lambda: not any(process.is_running() for process in family), 30)
    assert line.endswith("oplstm resume killed")
    if victim != "ray::Coordinator":
        assert "GCS may have been killed" not in done.err
    assert any(trial["end"] is None for trial in results(oplstm, "killed").values())
    wait_until(lambda: not is_running(oplstm.sweep("killed")), 30)
    assert oplstm.here("status", "killed", "--json").ok().json["state"] == "stopped"

    assert oplstm.here("resume", "killed", "--json").ok().json["counts"] == {"complete": 3}
    assert results(oplstm, "killed") == undisturbed
    TrackedSweep(rest, oplstm, "killed", unique).check()


@pytest.mark.long
def test_stop_interrupt_and_resume(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, undisturbed: dict[str, Any], unique: str
):
    """Stopped from another process, resumed, stopped with Ctrl-C, resumed."""
    job, on_ray = oplstm.job(unique, **SWEEP), ("--ray-address", ray_address, "--json")
    verb = oplstm.start("sweep", job, "--name", "paused", "--tracking-uri", server.uri, *on_ray)
    oplstm.await_points("paused", 3, verb=verb)
    assert oplstm.here("stop", "paused", "--json").ok().json == {"name": "paused", "state": "stopped"}
    assert is_stopped(oplstm, verb)
    assert TrackedSweep(rest, oplstm, "paused", unique).parent["info"]["status"] == "KILLED"

    points = len(oplstm.events("paused", "point"))
    verb = oplstm.start("resume", "paused", *on_ray)
    wait_until(lambda: len(oplstm.events("paused", "point")) > points)
    verb.interrupt()
    assert is_stopped(oplstm, verb)
    assert "stopping at the next update" in verb.err()

    assert oplstm.here("resume", "paused", "--json").ok().json["counts"] == {"complete": 3}
    assert results(oplstm, "paused") == undisturbed
    TrackedSweep(rest, oplstm, "paused", unique).check()
    again = oplstm.here("resume", "paused")
    assert (again.code, "has ended" in again.err) == (2, True)


def is_stopped(oplstm: Oplstm, verb: Verb) -> bool:
    """The verb says, as `status` does, that the sweep is stopped."""
    report = verb.wait().incomplete().json
    assert report["counts"].get("stopped")
    assert oplstm.here("status", report["name"], "--json").ok().json["state"] == "stopped"
    return bool(report["state"] == "stopped")


def die(proxy: FaultyProxy) -> None:
    """As a server that is killed: open connections break, new ones are refused."""
    proxy.fault = lambda request: "drop"
    proxy.close()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(server.uri)
    yield proxy
    proxy.close()


@pytest.mark.long
def test_a_dead_mlflow_server(
    oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, proxy: FaultyProxy, unique: str, tmp_path: Path
):
    """Dead from the first trial to the end of the sweep; what waits is shipped later, also to an empty server."""
    job = oplstm.job(unique, trials=3)
    verb = oplstm.start("sweep", job, "--name", "unseen", "--tracking-uri", proxy.uri, "--ray-address", ray_address)
    wait_until(lambda: oplstm.events("unseen", "asked"))
    die(proxy)
    done = verb.wait().ok()
    assert "unseen complete: 3 complete" in done.out
    assert "records wait for MLflow: oplstm doctor unseen ships them" in done.err
    report = oplstm.here("doctor", "--json")
    assert report.code == 1
    assert [check["ok"] for check in report.json if check["check"] == "unseen"] == [False]
    still_dead = oplstm.here("doctor", "unseen")
    assert still_dead.code == 1
    assert f"LOOK  MLflow: tracking server {proxy.uri}: refused, nothing listens at" in still_dead.out

    back = FaultyProxy(server.uri, port=proxy.port)
    assert oplstm.here("doctor", "unseen", "--json").ok().json["shipped"] > 0
    TrackedSweep(rest, oplstm, "unseen", unique).check()
    assert oplstm.here("doctor", "unseen", "--json").ok().json["shipped"] == 0
    die(back)

    empty = ensure_server(tmp_path / "empty")
    front = FaultyProxy(empty.uri, port=proxy.port)
    try:
        oplstm.run("doctor", "unseen", "--rebuild").ok()
        rebuilt = TrackedSweep(Rest(empty.uri), oplstm, "unseen", unique)
        rebuilt.check()
        rebuilt.check_model("trial-0001", tmp_path / "model")
    finally:
        front.close()
        empty.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 80 MiB; the sweep needs 64 to start."""
    disk = tmp_path / "home"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=80m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here: that takes root and the right to mount")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.long
def test_a_full_disk(
    small_disk: Path, root: Path, ray_address: str, server: Server, rest: Rest, undisturbed: dict[str, Any], unique: str
):
    oplstm = Oplstm(small_disk, root)
    job = oplstm.job(unique, **SWEEP)
    verb = oplstm.start("sweep", job, "--name", "full", "--tracking-uri", server.uri, "--ray-address", ray_address)
    oplstm.await_points("full", 3, verb=verb)
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(b"\0" * (1 << 20))
            file.flush()
    done = verb.wait()
    assert done.code == 1
    complaint = [line for line in done.err.splitlines() if line.startswith("oplstm:")]
    assert len(complaint) == 1
    assert f"no space left for {small_disk}/sweeps/full, which has 0 MiB and needs up to 64 MiB more" in complaint[0]
    assert complaint[0].endswith("free some, then oplstm resume full")
    assert "Traceback" not in done.err + done.out

    assert oplstm.here("status", "full", "--json").ok().json["state"] == "stopped"
    ballast.unlink()
    assert oplstm.here("resume", "full", "--json").ok().json["counts"] == {"complete": 3}
    assert results(oplstm, "full") == undisturbed
    TrackedSweep(rest, oplstm, "full", unique).check()
    oplstm.end()
