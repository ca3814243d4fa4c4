"""The metric dictionary, and the page that is made from it."""

import re

import pytest

from tests.conftest import ROOT
from tracking.outbox import records
from tracking.results.metrics import METRICS, markdown


def test_names_are_unique_and_can_be_logged() -> None:
    assert len(METRICS) == len(re.findall(r"^\| `", markdown(), flags=re.MULTILINE))
    for name, metric in METRICS.items():
        assert name == metric.name
        records.Points("k", step=0, metrics={name.replace("<dataset>", "cub"): 0.0}, timestamp=0.0)
        assert metric.meaning and metric.source and "|" not in metric.meaning


def test_directions() -> None:
    assert METRICS["val/loss"].better == "lower"
    assert METRICS["val/accuracy"].better == "higher"
    assert METRICS["tasks_seen"].better is None


def test_every_metric_that_the_code_names_is_in_the_dictionary() -> None:
    code = "".join(
        path.read_text() for folder in ("oplstm", "jobs", "tracking") for path in (ROOT / folder).rglob("*.py")
    )
    named = set(re.findall(r'"((?:train|val|test|final|promote)/[a-z_0-9]+)"', code)) | {"tasks_seen", "diverged"}
    assert named <= set(METRICS), f"not described in tracking/results/metrics.py: {sorted(named - set(METRICS))}"


def test_the_page_is_made_from_the_dictionary() -> None:
    page = ROOT / "docs" / "metrics.md"
    if not page.exists():
        pytest.skip("there is no docs/metrics.md")
    assert page.read_text() == markdown(), (
        "run: python -c \"from tracking.results.metrics import markdown; print(markdown(), end='')\" > docs/metrics.md"
    )
