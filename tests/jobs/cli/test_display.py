"""What a person sees."""

import io
import math

import pytest
from rich.console import Console

from jobs.cli import display
from jobs.promotion.selection import Choice, Leader
from jobs.store.intervals import Interval
from jobs.store.scores import FinalResult, Score
from oplstm.errors import RequestError, WorkError

pytestmark = pytest.mark.unit


@pytest.fixture
def seen(monkeypatch):
    """What is written to stderr."""
    written = io.StringIO()
    monkeypatch.setattr(display, "stderr", Console(file=written, width=120))
    return written


def shown(table):
    written = io.StringIO()
    Console(file=written, width=160).print(table)
    return written.getvalue()


PROGRESS = {
    "fraction": 1.5,
    "trials": 3,
    "asked": 2,
    "exhausted": False,
    "counts": {"complete": 1, "diverged": 1, "running": 1},
    "best": 0.12345,
    "leader": "trial-0000",
    "waiting_records": 7,
    "tracking_error": None,
}


def test_the_bar_counts_runs_and_names_the_best(seen):
    with display.progress_bar("[demo]") as show:
        show(PROGRESS)
    assert "[demo]" in seen.getvalue()
    assert "50%" in seen.getvalue()
    assert "2/3 runs, best 0.1235, 1 diverged" in seen.getvalue()


def test_an_exhausted_space_ends_the_bar_early_and_a_waiting_server_is_said(seen):
    with display.progress_bar("demo") as show:
        show(PROGRESS | {"exhausted": True, "fraction": 2.0, "best": None, "tracking_error": "refused"})
    assert "100%" in seen.getvalue()
    assert "2/2 runs, 1 diverged, MLflow waits (7 records)" in seen.getvalue()


def test_no_bar_stays_behind_when_nothing_was_started(seen):
    with pytest.raises(RequestError), display.progress_bar("demo"):
        raise RequestError("wrong")
    assert "starting" not in seen.getvalue()
    with pytest.raises(WorkError), display.progress_bar("demo"):
        raise WorkError("broken")
    assert "starting" in seen.getvalue()


def test_intervals():
    assert display.interval(Interval(0.04061, 0.00231)) == "0.0406 ± 0.0023"
    assert display.interval(Interval(0.5, math.nan)) == "0.5000"


def loss(*score):
    return FinalResult("loss", Score(*score), {})


def test_a_result_says_which_claim_each_interval_makes():
    lines = display.result_lines("demo-final", loss(0.0406, 0.0023, 0.0249, (0.0298, 0.0496, 0.0425)))
    assert lines == [
        "demo-final: test MSE 0.0406",
        "  ± 0.0023 (95% over all test tasks pooled: about these trained weights)",
        "  ± 0.0249 (95% over 3 seeds: about the configuration)",
        "  seeds: 0.0298  0.0496  0.0425",
    ]
    assert len(display.result_lines("one", loss(0.04, 0.002, math.nan, (0.04,)))) == 3


def test_a_choice_shows_what_was_picked_and_what_was_tied():
    one = Interval(0.1, 0.01)
    leaders = tuple(Leader(f"trial-{number:04d}", one, one, tied=True, score_a=one) for number in range(2))
    text = shown(display.choice_table(Choice("trial-0001", leaders, Interval(0.2, 0.02))))
    rows = [line for line in text.splitlines() if "trial-" in line]
    assert ["tied" in rows[0], "picked" in rows[1]] == [True, True]
    assert "trial-0001 on block B, which picked nothing: 0.2000 ± 0.0200" in " ".join(text.split())


def test_parameters_are_shown_as_they_are():
    params = {"kind": "[red]", "lr": 0.1234567}
    trial = {"name": "trial-0000", "state": "complete", "fraction": 1.0, "best": 0.5, "params": params, "note": ""}
    assert "kind=[red]  lr=0.1235" in shown(display.trials_table([trial]))
