"""Job files are checked on few configurations here."""

import pytest


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr("jobs.jobfile.probing.PROBED_CONFIGURATIONS", 8)
