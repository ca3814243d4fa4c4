"""The tests that need a GPU, with pytest alone: no plugin has to be there, and none that is there takes part."""

import os
from typing import Any

import pytest

from tests.benchmark.gpu_check.session import Session
from tests.benchmark.tables import ROOT

FILES = ("tests/oplstm/training/test_cuda.py",)
OPTIONS = (
    *("-p", "no:cacheprovider"),
    *("-W", "default::DeprecationWarning", "-W", "default::FutureWarning"),  # or another torch, with news of its own
    *("-v", "--color=no", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")),
)


class Outcomes:
    """A plugin that tells the outcome of each test as soon as it is known.

    Args:
        session: Of the part.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_runtest_logreport(self, report: Any) -> None:
        """After the set-up, the call and the tear-down of a test."""
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("::")[2]
        self._session.row("CUDA tests", {"test": name, "outcome": report.outcome, "seconds": report.duration})
        if report.failed:
            self._session.error(f"{name} ({report.when}): {report.longreprtext}")
        elif report.skipped and self._session.on_cuda:
            self._session.error(f"{name}: skipped, though there is a GPU")

    def pytest_collectreport(self, report: Any) -> None:
        """After a file was read."""
        if report.failed:
            self._session.error(f"{report.nodeid}: {report.longreprtext}")

    def pytest_internalerror(self, excrepr: Any) -> None:
        """pytest itself has failed."""
        self._session.error(str(excrepr))


def run(session: Session) -> None:
    """All tests that need a GPU; on a CPU they are skipped, and say so."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for variable in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(variable, None)
    files = [str(ROOT / file) for file in FILES]
    code = pytest.main([*OPTIONS, *files], plugins=[Outcomes(session)])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        session.error(f"pytest ended with exit code {int(code)}: {pytest.ExitCode(code).name}")
