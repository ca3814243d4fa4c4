"""What a track record holds for MLflow, as the entities of its log_batch call."""

import math
from typing import Literal, NamedTuple

from tracking.outbox.records import CreateRun, Points, Record, Tags


class Entity(NamedTuple):
    """A metric value, a param or a tag of a run."""

    kind: Literal["metric", "param", "tag"]
    name: str
    value: float | str
    step: int = 0
    timestamp: int = 0  # milliseconds


def entities(record: Record) -> list[Entity]:
    """The params, tags and metric values in a record."""
    match record:
        case Points():
            timestamp = round(record.timestamp * 1000)
            # MLflow would store inf as 1.8e308, which ruins every chart
            return [
                Entity(
                    "metric", name, value if math.isfinite(value) else math.nan, step=record.step, timestamp=timestamp
                )
                for name, value in record.metrics.items()
            ]
        case CreateRun():
            params = [Entity("param", name, str(value)) for name, value in record.params.items()]
            return params + [Entity("tag", name, value) for name, value in record.tags.items()]
        case Tags():
            return [Entity("tag", name, value) for name, value in record.tags.items()]
        case _:
            return []
