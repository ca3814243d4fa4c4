"""The check of a GPU, without one: what it makes of messages, traces and time, and the whole of it on the CPU."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from tests.benchmark import sine
from tests.benchmark.comparison import Row
from tests.benchmark.gpu_check import __main__ as command
from tests.benchmark.gpu_check import conv4, cuda_tests, process, profiling, speed
from tests.benchmark.gpu_check.part import PARTS
from tests.benchmark.gpu_check.session import Session
from tests.benchmark.tables import ROOT

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def session(told, device="cpu"):
    return Session(device=torch.device(device), until=float("inf"), tell=told.append)


def checked(monkeypatch, tmp_path, say, *options):
    """The command with parts that say what ``say`` of their name does; its result and the files' contents."""
    monkeypatch.setattr(command, "command_of", lambda name, device, seconds: [name, device])
    monkeypatch.setattr(command, "messages", lambda words, seconds: say(*words, seconds))
    files = {option: tmp_path / f"check.{option}" for option in ("json", "markdown")}
    named = [word for option, file in files.items() for word in (f"--{option}", str(file))]
    done = CliRunner().invoke(command.main, ["--device", "cpu", *named, *options])
    return done, json.loads(files["json"].read_text()), files["markdown"].read_text()


def test_without_a_gpu_it_says_so_and_ends_with_2(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command.main, [])
    assert (done.exit_code, done.output) == (2, "no NVIDIA GPU\n")
    assert list(tmp_path.iterdir()) == []


def test_every_figure_is_in_the_files_as_soon_as_it_is_known_and_a_failure_loses_none(monkeypatch, tmp_path):
    def say(name, device, seconds):
        yield {"machine": {"device": "a GPU"}}
        yield {"table": f"Table of {name}", "row": {"name": name, "tasks_per_second": 1234.5}}
        before = json.loads((tmp_path / "check.json").read_text())["parts"]
        assert [part["state"] for part in before[:-1]] == ["done", "failed", "done", "done"][: len(before) - 1]
        assert before[-1]["tables"] == {f"Table of {name}": [{"name": name, "tasks_per_second": 1234.5}]}
        assert "1,234" in (tmp_path / "check.markdown").read_text()
        if name == "speed":
            yield {"error": "no such kernel"}

    done, document, markdown = checked(monkeypatch, tmp_path, say)
    assert done.exit_code == 1, done.output
    assert document["machine"] == {"device": "a GPU"}
    assert [(part["name"], part["state"], part["errors"]) for part in document["parts"]] == [
        ("tests", "done", []), ("speed", "failed", ["no such kernel"]), ("conv4", "done", []), ("profile", "done", []),
    ]  # fmt: skip
    for text in (markdown, done.output):
        assert "CUDA tests: done" in text
        assert "```\nno such kernel\n```" in text
        assert "| speed |   1,234 |" in text


def test_parts_share_the_time_and_what_one_leaves_goes_to_those_after_it(monkeypatch, tmp_path):
    now, given, started = [100.0], {}, 0.0

    def say(name, device, seconds):
        given[name] = seconds
        now[0] += 10.0
        yield from ()

    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(command, "spent", lambda: started)
    weights = {name: part.weight for name, part in PARTS.items()}
    assert sum(weights.values()) == command.SECONDS
    assert checked(monkeypatch, tmp_path, say)[0].exit_code == 0
    assert given == pytest.approx({
        "tests": weights["tests"],
        "speed": 340 * weights["speed"] / (350 - weights["tests"]),
        "conv4": 330 * weights["conv4"] / (weights["conv4"] + weights["profile"]),
        "profile": 320,
    })  # fmt: skip
    given.clear()
    started = 15.0
    checked(monkeypatch, tmp_path, say, "--only", "conv4", "--seconds", "60")
    assert given == {"conv4": 45}


SAYS = "import sys, time\nprint('{\"row\": 1}\\n{\"ro', end='', flush=True)\n"
"""A whole message, and the beginning of another."""


def test_a_part_that_is_late_is_killed_and_what_it_said_is_kept(monkeypatch):
    timers = []

    class Timer:
        def __init__(self, seconds, end):
            assert seconds == 7
            self.end = end
            timers.append(self)

        def start(self):
            pass

        def cancel(self):
            pass

    monkeypatch.setattr(process.threading, "Timer", Timer)
    said = process.messages([sys.executable, "-c", SAYS + "time.sleep(600)"], 7)
    assert next(said) == {"row": 1}
    timers[0].end()
    assert list(said) == [{"error": "killed after its 7 s"}]


@pytest.mark.parametrize(("code", "errors"), [("", []), ("sys.exit(3)", ["the process ended with exit code 3"])])
def test_a_part_that_dies_is_an_error(code, errors):
    row, *others = process.messages([sys.executable, "-c", SAYS + code], 60)
    assert row == {"row": 1}
    assert [message["error"] for message in others] == errors


def test_a_case_that_fails_is_told_and_the_others_go_on():
    told = []
    with session(told).case("the first"):
        raise ValueError("wrong size")
    with session(told).case("the second"):
        pass
    [message] = told
    assert message["error"].startswith("the first: Traceback")
    assert "ValueError: wrong size" in message["error"]


def report(when="call", outcome="passed"):
    flags = {name: name == outcome for name in ("passed", "failed", "skipped")}
    return SimpleNamespace(
        nodeid="tests/a.py::test_b[lstm]", when=when, outcome=outcome, duration=0.5, longreprtext="1 != 2", **flags
    )


@pytest.mark.parametrize(
    ("device", "reports", "outcomes", "errors"),
    [
        ("cuda", [report("setup"), report(), report("teardown")], ["passed"], []),
        ("cuda", [report("setup"), report(outcome="failed")], ["failed"], ["test_b[lstm] (call): 1 != 2"]),
        ("cuda", [report("setup", "failed")], ["failed"], ["test_b[lstm] (setup): 1 != 2"]),
        ("cuda", [report("setup", "skipped")], ["skipped"], ["test_b[lstm]: skipped, though there is a GPU"]),
        ("cpu", [report("setup", "skipped")], ["skipped"], []),
    ],
)
def test_the_outcome_of_a_test_is_told(device, reports, outcomes, errors):
    told = []
    plugin = cuda_tests.Outcomes(session(told, device))
    for one in reports:
        plugin.pytest_runtest_logreport(one)
    rows = [message["row"] for message in told if "row" in message]
    assert rows == [{"test": "test_b[lstm]", "outcome": outcome, "seconds": 0.5} for outcome in outcomes]
    assert [message["error"] for message in told if "error" in message] == errors


def test_so_many_runs_one_at_a_time_take_so_many_times_as_long_as_one(monkeypatch):
    rows = [Row(learner="lstm", convention="paper", contender=name, tasks_per_second=9.0, ms_per_update=2.0)
            for name in ("nn.LSTM", "pack of 1", "pack of 8")]  # fmt: skip
    asked = {}

    def compare(setting, packs, bench, *, shares):
        asked.update(packs=packs, seconds=bench.seconds, shares=shares)
        return rows

    monkeypatch.setattr(speed, "compare", compare)
    bench = session([]).bench(1.0)
    found = speed.timed(sine.LSTM, 40.0, bench)
    assert asked == {"packs": (1, 8), "seconds": bench.seconds, "shares": False}
    assert [(row.contender, row.tasks_per_second, row.ms_per_update) for row in found] == [
        ("nn.LSTM", 9.0, 2.0), ("pack of 1", 9.0, 2.0), ("8 one at a time", 9.0, 16.0), ("pack of 8", 9.0, 2.0),
    ]  # fmt: skip
    speed.timed(sine.LSTM, 0.04, bench)
    assert asked["seconds"] == pytest.approx(speed.MEASURING * 0.01), "four contenders"
    assert [row.note for row in speed.timed(sine.LSTM, 0.0, bench)] == ["left out: no time"]


def test_a_whole_run_is_projected_by_hand():
    assert conv4.projected_hours(0.045, 0.0) == pytest.approx(1.0)
    assert conv4.projected_hours(0.0, 3600.0) == 34, "32 validations, one before the first update, and the test"


EVENTS = [
    {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 10.0, "dur": 4.0},
    {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 12.0, "dur": 5.0},
    {"ph": "X", "cat": "gpu_memcpy", "name": "copy", "ts": 11.0, "dur": 1.0},
    {"ph": "X", "cat": "kernel", "name": "add", "ts": 20.0, "dur": 2.0},
    {"ph": "X", "cat": "cpu_op", "name": "aten::add", "ts": 0.0, "dur": 90.0},
    {"ph": "X", "cat": "gpu_user_annotation", "name": "all", "ts": 0.0, "dur": 90.0},
    {"ph": "i", "cat": "kernel", "name": "mark", "ts": 0.0},
    {"ph": "M", "name": "process_name"},
]


def test_a_gpu_is_busy_while_at_least_one_kernel_runs():
    events = profiling.on_gpu(EVENTS)
    assert profiling.busy(events) == pytest.approx(9e-6), "10 to 17 and 20 to 22"
    assert profiling.kernels(events) == [("gemm", 2, pytest.approx(9e-6)), ("copy", 1, 1e-6), ("add", 1, 2e-6)]


@pytest.mark.long
def test_the_whole_check_can_be_tried_on_a_cpu(tmp_path):
    file = tmp_path / "check.json"
    words = ["--device", "cpu", "--json", str(file), "--markdown", str(tmp_path / "check.md")]
    check = [sys.executable, "-m", "tests.benchmark.gpu_check", *words]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(file.read_text())
    assert {part["name"]: part["state"] for part in document["parts"]} == dict.fromkeys(PARTS, "done")
    tests, measured, whole, shares = (list(part["tables"].values()) for part in document["parts"])
    assert {row["outcome"] for row in tests[0]} == {"skipped"}
    *measured, shapes = measured
    for rows in measured:
        assert {row["contender"] for row in rows} >= {"pack of 1", "8 one at a time", "pack of 8"}
        assert all(row["over_baseline"] > 0 for row in rows)
    assert [row["contender"] for row in shapes] == ["8 one by one", "8 side by side"]
    assert all(row["over_one_by_one"] > 0 for row in shapes)
    assert [(row["precision"], row.get("updates"), "hours" in row) for row in whole[0]] == [
        ("float32", "captured", False), ("float32", "eager", True), ("tf32", None, False),
        ("bf16", "captured", False), ("bf16", "eager", True),
    ]  # fmt: skip
    assert all("n/a" in row["note"] for row in whole[0] if "hours" not in row)
    assert len(shares) == 3
    assert [len(rows) for rows in shares] == [2, 10, 10]
    assert done.stdout.count("\n## ") == len(PARTS) - 1
