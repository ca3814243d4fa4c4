"""Reads track records from a journal or a cursor, which a person or another version may have written."""

from typing import Any, Final

from tracking.journal.format import JsonObject
from tracking.outbox import records

_Wanted = dict[str, type | tuple[type, ...]]

_NUMBER: Final = (int, float)
_FIELDS: Final[dict[type[records.Record], _Wanted]] = {
    records.CreateRun: {
        "name": str,
        "parent_key": (str, type(None)),
        "experiment": str,
        "tags": dict,
        "params": dict,
        "start_time": _NUMBER,
    },
    records.Points: {"step": int, "metrics": dict, "timestamp": _NUMBER},
    records.Tags: {"tags": dict},
    records.Untag: {"names": list},
    records.Artifact: {"path": str, "folder": str},
    records.LearningCurve: {"points": list, "metric": str, "title": str},
    records.EndRun: {"status": str, "end_time": _NUMBER},
    records.ReopenRun: {},
}
_KINDS: Final = {kind.op: kind for kind in _FIELDS}


def decode(data: JsonObject) -> records.Record:
    """The record; what else stands in `data`, such as an event of version 1, is passed over.

    Raises:
        ValueError: It is no track record that this version knows; the text says why.
    """
    op = data.get("op")
    kind = _KINDS.get(op) if isinstance(op, str) else None
    if kind is None:
        raise ValueError(f"unknown operation {op!r}")
    wrong = [name for name, wanted in ({"key": str} | _FIELDS[kind]).items() if not isinstance(data.get(name), wanted)]
    if wrong:
        raise ValueError(f"bad or missing fields: {', '.join(wrong)}")
    rows = data["points"] if kind is records.LearningCurve else []
    if not all(isinstance(row, dict) for row in rows):  # type: ignore[union-attr]
        raise ValueError("bad or missing fields: points")
    if kind is records.Untag and not all(isinstance(name, str) for name in data["names"]):  # type: ignore[union-attr]
        raise ValueError("bad or missing fields: names")
    fields: dict[str, Any] = {name: data[name] for name in ("key", *_FIELDS[kind]) if name in data}
    return kind(**fields)
