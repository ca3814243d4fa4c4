"""The charts of a sweep's view in the MLflow UI: validation first, then training, test last and closed."""

from collections.abc import Collection, Sequence
from typing import Any, Final

_SECTIONS: Final = ("val", "train", "promote", "Model metrics", "test")
"""MLflow's names: what stands before the slash of a metric, and one for all others."""
_LINES: Final = ("train/loss", "val/loss", "val/accuracy", "val/ci95")
_BARS: Final = ("promote/score_a", "promote/score_b", "test/loss", "test/accuracy")
"""One value a run."""


def chart_state(metric: str, tuned: Sequence[str], *, seen: Collection[str], by_tasks: bool) -> dict[str, Any]:
    """The part of a saved view's state that says what is drawn, and in which order.

    MLflow adds a chart for every other metric it meets, behind these.

    Args:
        metric: What trials are compared by.
        tuned: The parameters of the space that differ.
        seen: Metrics that some run has.
        by_tasks: Whether curves stand over the tasks that were seen, for runs of different meta-batch sizes.
    """
    charts = [_chart("LINE", name, scaleType="log" if name.endswith("/loss") else "linear") for name in _LINES]
    charts += [_chart("BAR", name, runsCountToCompare=20) for name in (metric, *_BARS)]
    charts = [chart for chart in charts if chart["metricKey"] in seen]
    if tuned:
        across = _chart("PARALLEL", metric, showAllRuns=True)
        charts.append(across | {"selectedParams": list(tuned), "selectedMetrics": [metric]})
    order = ("val/loss", "val/accuracy", "parallel")
    charts.sort(key=lambda chart: order.index(chart["uuid"]) if chart["uuid"] in order else len(order))
    axis = {"xAxisKey": "metric", "selectedXAxisMetricKey": "tasks_seen"} if by_tasks else {"xAxisKey": "step"}
    return {
        "compareRunCharts": charts,
        "compareRunSections": [
            {"uuid": _section_id(name), "name": name, "display": name != "test", "isReordered": True}
            for name in _SECTIONS
        ],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "globalLineChartConfig": {"lineSmoothness": 0, "selectedXAxisMetricKey": "", **axis},
    }


def _chart(kind: str, metric: str, **more: Any) -> dict[str, Any]:
    prefix, slash, name = metric.rpartition("/")
    place = _section_id(prefix if slash else "Model metrics")
    return {
        "type": kind,
        "uuid": "parallel" if kind == "PARALLEL" else metric,
        "metricSectionId": place,
        "metricKey": metric,
        "displayName": "parameters" if kind == "PARALLEL" else name,
        "isGenerated": False,
        "deleted": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        **more,
    }


def _section_id(name: str) -> str:
    return f"oplstm-{name.replace(' ', '-')}"
