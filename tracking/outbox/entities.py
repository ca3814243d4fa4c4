"""What a journal record holds for MLflow, as the entities of its log_batch call."""

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

Record = dict[str, Any]

_NUMBER: Final = (int, float)
_FIELDS: Final[Mapping[str, Mapping[str, type | tuple[type, ...]]]] = {
    "create_run": {"name": str, "experiment": str, "tags": dict, "params": dict, "start_time": _NUMBER},
    "points": {"step": int, "metrics": dict, "timestamp": _NUMBER},
    "tags": {"tags": dict},
    "artifact": {"path": str, "folder": str},
    "learning_curve": {"points": list, "metric": str, "title": str},
    "end_run": {"status": str, "end_time": _NUMBER},
    "reopen_run": {},
}


class Entity(NamedTuple):
    """A metric value, a param or a tag of a run."""

    kind: Literal["metric", "param", "tag"]
    name: str
    value: float | str
    step: int = 0
    timestamp: int = 0  # milliseconds


def complaint(record: Record) -> str:
    """What is wrong with a record that another version may have written; "" when nothing is."""
    op = record.get("op")
    if not isinstance(op, str) or op not in _FIELDS:
        return f"unknown operation {op!r}"
    if not isinstance(record.get("key"), str):
        return "it has no key"
    wrong = [name for name, wanted in _FIELDS[op].items() if not isinstance(record.get(name), wanted)]
    if wrong:
        return f"bad or missing fields: {', '.join(wrong)}"
    if op == "points" and not all(isinstance(value, (*_NUMBER, str)) for value in record["metrics"].values()):
        return "a metric that is not a number"
    return ""


def entities(record: Record) -> list[Entity]:
    """The params, tags and metric values in a record that has no `complaint`."""
    items = [Entity("param", name, value) for name, value in record.get("params", {}).items()]
    items += [Entity("tag", name, value) for name, value in record.get("tags", {}).items()]
    if record["op"] == "points":
        timestamp = round(record["timestamp"] * 1000)
        # The journal holds nan and inf as text; MLflow would store inf as 1.8e308, which ruins every chart.
        items += [
            Entity("metric", name, float("nan") if isinstance(value, str) else value, record["step"], timestamp)
            for name, value in record["metrics"].items()
        ]
    return items
