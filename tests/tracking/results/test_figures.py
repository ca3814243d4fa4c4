"""Learning curves: they are drawn from whatever points there are, and show what they should."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from tracking.outbox import records
from tracking.outbox.decoding import decode
from tracking.results import figures

POINTS = [
    {
        "update": 500 * n,
        "tasks_seen": 2000.0 * n,
        "train/loss": 4 * math.exp(-n / 6),
        "val/loss": 4 * math.exp(-n / 6) + 0.1,
        "val/accuracy": 1 - 0.8 * math.exp(-n / 6),
        "val/ci95": 0.05,
    }
    for n in range(20)
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    found: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (found.append(self), save(self, *a, **k))[1])
    return found


def picture(points: list[dict[str, Any]], metric: str = "val/loss") -> Image.Image:
    image = Image.open(io.BytesIO(figures.learning_curve(points, metric, "a title")))
    assert image.format == "PNG" and min(image.size) > 500
    return image


@pytest.mark.slow
def test_losses_share_a_logarithmic_axis_and_the_best_point_is_marked(drawn: list[Figure]) -> None:
    picture([*POINTS, {"update": 10_000, "tasks_seen": 40_000, "val/loss": 2.0}])
    (axes,) = drawn[0].axes
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training loss",
        "95% interval",
        "validation loss",
        "best 0.2686 at 9,500",
    ]
    star = axes.get_lines()[-1]
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (9500, POINTS[-1]["val/loss"])
    assert drawn[0].get_suptitle() == "a title"
    assert axes.get_xlabel() == "meta-updates"
    (above,) = axes.child_axes
    assert above.get_xlabel() == "tasks seen"
    assert above.get_xlim()[1] / axes.get_xlim()[1] == pytest.approx(4)


@pytest.mark.slow
def test_an_accuracy_has_a_panel_of_its_own_and_its_best_is_the_highest(drawn: list[Figure]) -> None:
    picture(POINTS, "val/accuracy")
    upper, lower = drawn[0].axes
    assert (upper.get_yscale(), lower.get_yscale()) == ("linear", "log")
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("validation accuracy", "training loss")
    assert upper.get_lines()[-1].get_ydata()[0] == POINTS[-1]["val/accuracy"]


@pytest.mark.integration
@pytest.mark.parametrize(
    "points",
    [
        [],
        POINTS[:1],
        [{"update": 0, "val/loss": 3.0}],
        [{"update": 0, "val/loss": math.nan}, {"update": 1, "val/loss": math.inf}],
        [{"update": 0, "val/loss": 0.0}, {"update": 1, "val/loss": -1.0}],
        [{"update": 5, "val/loss": 0.2, "val/ci95": 0.5}, {"update": 6, "val/loss": 0.1, "val/ci95": 0.5}],
        [{"update": n, "train/loss": 1.0} for n in range(3)],
        [{"update": n, "val/loss": 2.0 + n / 1000} for n in range(300)],
        [{}],
    ],
)
def test_any_points_can_be_drawn(points: list[dict[str, Any]]) -> None:
    for metric in ("val/loss", "val/accuracy"):
        assert np.asarray(picture(points, metric)).std() > 0


@pytest.mark.slow
def test_points_that_came_through_the_journal_can_be_drawn(drawn: list[Figure]) -> None:
    points = [*POINTS[:5], {"update": 2500, "val/loss": math.nan, "train/loss": math.inf}]
    told = records.LearningCurve("k", points=points, metric="val/loss", title="").encode()
    record = decode(json.loads(json.dumps(told, allow_nan=False)))
    assert isinstance(record, records.LearningCurve)
    figures.learning_curve(record.points, record.metric, record.title)
    assert drawn[0].axes[0].get_lines()[-1].get_xdata()[0] == 2000
