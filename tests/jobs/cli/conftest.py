"""What the verbs of the command line find in these tests, and what they leave as it was."""

import logging
import signal
import sys

import optuna
import pytest


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """The command line settles things for its whole process; here that is the tests' process."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    level, verbosity = logging.getLogger().level, optuna.logging.get_verbosity()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.getLogger().setLevel(level)
    optuna.logging.set_verbosity(verbosity)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """$OPLSTM_HOME, which does not exist yet."""
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"
