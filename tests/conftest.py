"""The four tiers, their time limits and totals, and the fixtures that every package's tests share."""

import functools
import gc
import os
import re
import signal
import uuid
from collections import Counter
from pathlib import Path

import pytest

# Before anything imports torch, ray or mlflow; child processes inherit it. One thread: the tests' tensors are small,
# and a matrix product's rounding may depend on the number of threads.
for name, value in {
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "RAY_AUTH_MODE": "token",  # Ray looks once, when it is imported: the tests' clusters share a token of this session
    "RAY_AUTH_TOKEN": uuid.uuid4().hex,
}.items():
    os.environ.setdefault(name, value)

# Behind nohup or in the background signals are ignored, and what a test starts would inherit that; of a handler it does
# not. This process itself stays as deaf as it was.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda signum, frame: None)

collect_ignore = ["example_plugin"]  # of its own: tests/jobs/integration/test_example_plugin.py runs its tests

gc.set_threshold(100_000, 20, 20)  # the collector took an eighth of the unit tier's time, mostly over what never goes

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = {"unit": 60, "integration": 300, "slow": 900, "long": 900}  # one test; its own @pytest.mark.timeout wins
UNIT_TIER_S = 60

_seconds: Counter[str] = Counter()
_tests: Counter[str] = Counter()


def pytest_configure(config):
    if not config.pluginmanager.hasplugin("timeout"):  # a GPU image has pytest and no plugins: no limits there
        config.addinivalue_line("markers", "timeout(seconds): how long a test may take, where pytest-timeout is there")


FIRST = ("jobs/integration", "tracking/outbox", "tracking/server", "benchmark", "benchmark/gpu_check")
"""Folders whose files take longest: a file is one process's, and one that begins late keeps everybody waiting."""


def pytest_ignore_collect(collection_path, config):
    """Files without a test of the tiers that ``-m`` names are not imported, which takes every process ten seconds."""
    asked = set(config.option.markexpr.split(" or "))
    if collection_path.suffix == ".py" and asked <= TIMEOUT_S.keys():
        return not _tiers_in(collection_path) & asked or None
    return None


WHOLE_FILE = re.compile(r"^pytestmark = (?:\[\n(?: .*\n)*\]|.*)", re.MULTILINE)


@functools.cache
def _tiers_in(path: Path) -> set[str]:
    text = path.read_text()
    whole, anywhere = (_tiers_named_in(part) for part in ("".join(WHOLE_FILE.findall(text)), text))
    return whole or {*anywhere, "unit"}


def _tiers_named_in(text: str) -> set[str]:
    return set(re.findall(r"\bmark\.(\w+)", text)) & TIMEOUT_S.keys()


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items):
    for item in items:
        tiers = [tier for tier in TIMEOUT_S if item.get_closest_marker(tier)] or ["unit"]
        if len(tiers) > 1:
            raise pytest.UsageError(f"{item.nodeid}: one tier wanted, got {', '.join(tiers)}")
        if tiers[0] not in _tiers_in(item.path):
            raise pytest.UsageError(f"{item.nodeid}: {tiers[0]}, which its file does not say, so -m would not find it")
        item.add_marker(tiers[0])
        item.user_properties.append(("tier", tiers[0]))  # a report's keywords have the folders' names too
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S[tiers[0]]))
    items.sort(key=_turn)  # stable: within a folder they stay in order


def _turn(item):
    folder = item.path.parent.relative_to(ROOT / "tests").as_posix() if ROOT / "tests" in item.path.parents else ""
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


def pytest_collection_finish():
    gc.freeze()


def pytest_runtest_logreport(report):
    tier = dict(report.user_properties).get("tier")  # none of a test whose process has crashed
    _seconds[tier] += report.duration
    _tests[tier] += report.when == "setup"


def pytest_terminal_summary(terminalreporter, config):
    processes = config.getoption("numprocesses", None) or 1
    for tier in TIMEOUT_S:
        if _tests[tier]:
            seconds = _seconds[tier] / processes
            over = f" (over its budget of {UNIT_TIER_S} s)" if tier == "unit" and seconds > UNIT_TIER_S else ""
            terminalreporter.write_line(f"tier {tier}: {_tests[tier]} tests in {seconds:.1f} s{over}")


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory):
    """The servers that tests name are remembered in no user's configuration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("configuration")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture
def oplstm_home(tmp_path, monkeypatch) -> Path:
    """An empty $OPLSTM_HOME of this test's own."""
    home = tmp_path / "oplstm-home"
    home.mkdir()
    monkeypatch.setenv("OPLSTM_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that OPLSTM_DATA names; the test is skipped, saying so, where there is none."""
    folder = Path(os.environ.get("OPLSTM_DATA", "")).expanduser()
    if not os.environ.get("OPLSTM_DATA") or not folder.is_dir():
        pytest.skip("OPLSTM_DATA names no folder of real images")
    return folder


@pytest.fixture(scope="module")
def no_waiting_for_the_disk():
    """What is written outlives a kill without it; power cuts are for the tests of the journal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda fd: None)
        yield
