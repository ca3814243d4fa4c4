"""How the entities of a run are put into calls of log_batch, and what a call says."""

import json
import math

import pytest

from tracking.outbox.batches import MAX_ENTITIES, MAX_TEXTS, batches, body
from tracking.outbox.entities import Entity


def many(kind, count):
    return [Entity(kind, f"{kind}{number}", "1" if kind != "metric" else 1.0) for number in range(count)]


@pytest.mark.parametrize(
    ("params", "tags", "metrics", "calls"),
    [
        (0, 0, 0, 0),
        (30, 25, 18, 1),
        (100, 100, 800, 1),
        (100, 100, 801, 2),
        (101, 0, 0, 2),
        (1, 201, 0, 3),
        (0, 0, 2500, 3),
    ],
)
def test_calls_are_as_few_as_the_server_takes_and_nothing_is_lost(params, tags, metrics, calls):
    items = [*many("metric", metrics), *many("tag", tags), *many("param", params)]
    made = list(batches(items))
    assert len(made) == calls
    assert {item for batch in made for item in batch} == set(items)
    assert sum(map(len, made)) == len(items)
    for batch in made:
        assert 0 < len(batch) <= MAX_ENTITIES
        assert max(sum(item.kind == kind for item in batch) for kind in ("param", "tag")) <= MAX_TEXTS


def test_a_tag_that_is_given_twice_is_kept_as_it_was_given_last():
    [batch] = batches(
        [Entity("tag", "state", "running"), Entity("tag", "other", "x"), Entity("tag", "state", "complete")]
    )
    assert sorted((item.name, item.value) for item in batch) == [("other", "x"), ("state", "complete")]


def test_a_call_is_strict_json_with_nan_as_text():
    items = [
        Entity("metric", "val/loss", math.nan, 7, 1500),
        Entity("metric", "n", 3, 8, 1600),
        Entity("param", "lr", "0.1"),
    ]
    said = json.loads(json.dumps(body("r1", [*items, Entity("tag", "a", "b")]), allow_nan=False))
    assert said == {
        "run_id": "r1",
        "metrics": [
            {"key": "val/loss", "value": "NaN", "timestamp": 1500, "step": 7},
            {"key": "n", "value": 3.0, "timestamp": 1600, "step": 8},
        ],
        "params": [{"key": "lr", "value": "0.1"}],
        "tags": [{"key": "a", "value": "b"}],
    }
