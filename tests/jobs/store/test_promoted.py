"""What a promotion's forecast was worth, in words."""

import dataclasses

import pytest

from jobs.store.intervals import StatedInterval
from jobs.store.promoted import Promoted

CLASSES = "of meta-validation classes, and found of test classes, which may be easier or harder"
MADE = Promoted(picked="trial-0000", score_b=StatedInterval(0.2, 0.1), leaders=(), forecast=StatedInterval(0.5, 0.1))


@pytest.mark.parametrize(
    ("found", "measure", "same_budget", "said"),
    [
        (0.55, "loss", True, "inside its interval (95%)"),
        (0.65, "loss", True, "outside its interval (95%)"),
        (0.55, "loss", False, "for the sweep's budget, and the final run had another"),
        (
            0.55,
            "accuracy",
            True,
            "of meta-validation classes, and found of test classes, which may be easier or harder",
        ),
        (0.55, "accuracy", False, "for the sweep's budget, and the final run had another"),
    ],
)
def test_a_forecast_stands_beside_what_was_found(found, measure, same_budget, said):
    line = MADE.on_forecast(found, measure, same_budget=same_budget)
    assert line == f"forecast 0.5000 ± 0.1000, found {found:.4f}: {said}"


def test_where_nothing_was_forecast_nothing_is_said():
    for none in (None, StatedInterval(None, None), StatedInterval(0.5, None)):
        assert dataclasses.replace(MADE, forecast=none).on_forecast(0.5, "loss", same_budget=True) is None
