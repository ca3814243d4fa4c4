"""The benchmark of orchestration: whole commands, and sections shortened to seconds."""

import http.server
import subprocess
import threading
import time
import urllib.request
from types import SimpleNamespace

import psutil
import pytest

from tests.benchmark.measuring import Bench
from tests.benchmark.orchestration import commands, shares, tracking_cost
from tracking.server.embedded import Server

pytestmark = pytest.mark.long


def test_the_seconds_are_those_of_a_command_that_succeeds(tmp_path):
    assert commands.seconds_of(["jobs"], tmp_path) > 0
    with pytest.raises(subprocess.CalledProcessError):
        commands.seconds_of(["plan", "no-such-job"], tmp_path)


@pytest.mark.usefixtures("ray_address")
def test_tracking_costs_something_and_everything_arrives(monkeypatch):
    monkeypatch.setattr(tracking_cost, "SECONDS", 0.6)
    monkeypatch.setattr(tracking_cost, "CASES", (("train", 2), ("sweep", 2)))
    monkeypatch.setattr(tracking_cost, "STATES", ("slow", "down"))
    [(title, rows)] = tracking_cost.sections(lambda text: None)
    assert "1,000 points" in title
    assert [(row["mode"], row["server"]) for row in rows] == [
        (mode, state) for mode in ("train", "sweep") for state in ("slow", "down")
    ]
    for row in rows:
        assert row["sent"] > 0
        assert row["arrived"] == (None if row["server"] == "down" else row["sent"])
        assert 0 < row["tracking"] < row["waiting"] < 1
        assert row["working"] > 0
        assert (row["progress"] > 0) == (row["mode"] == "train")
        assert row["threads"] > 0
        parts = row["tracking"] + row["progress"] + row["deciding"] + row["round_trip"]
        assert row["waiting"] == pytest.approx(parts)
        assert (row["server_cpu"] is None) == (row["server"] == "down")


def test_the_processor_time_of_a_server_is_that_of_all_its_processes(server: Server):
    own = psutil.Process(server.pid)
    alone = sum(own.cpu_times()[:2])
    assert 0 < alone < tracking_cost.cpu_seconds(server)


def test_shares_of_a_real_training_are_parts_of_it(monkeypatch):
    monkeypatch.setattr(shares, "PACKS", (1, 2))
    few = {"tasks": 400, "validate_every": 100, "validation_tasks": 20, "test_tasks": 0}
    monkeypatch.setattr(shares, "BUDGET", few)
    [(_, rows)] = shares.sections(Bench(seconds=0.1, progress=lambda text: None))
    assert [row["runs"] for row in rows] == [1, 2]
    for row in rows:
        parts = [row[name] for name in ("sampling", "validation", "tracking", "scheduling")]
        assert min(parts) > 0
        assert sum(parts) < 1


def test_the_slow_proxy_passes_everything_on_late(monkeypatch):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(tracking_cost, "DELAY_SECONDS", 0.5)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    there = SimpleNamespace(uri=f"http://127.0.0.1:{server.server_port}")
    with tracking_cost.address("slow", there) as uri:
        for _ in range(2):
            began = time.monotonic()
            with urllib.request.urlopen(uri, data=b"points" * 100_000, timeout=10) as reply:
                assert reply.read() == b"points" * 100_000
            assert time.monotonic() - began >= 0.5
    server.shutdown()
    server.server_close()
