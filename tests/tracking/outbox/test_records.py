"""Records: what they hold, and what they refuse before it is written."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from tracking.outbox import records
from tracking.outbox.entities import complaint

pytestmark = pytest.mark.unit


def create(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "name": "trial 0",
        "parent_key": "s1/sweep",
        "experiment": "sine",
        "tags": {"oplstm.kind": "trial"},
        "params": {"lr": 0.1, "layers": None, "pool": True},
        "start_time": 17.5,
    }
    return records.create_run("s1/trial-0000", **(given | changes))


EACH: dict[str, Callable[[], dict[str, Any]]] = {
    "create_run": create,
    "points": lambda: records.points("k", step=3, metrics={"val/loss": math.nan, "val/ci95": 1}, timestamp=5.25),
    "tags": lambda: records.tags("k", {"a": "b"}),
    "artifact": lambda: records.artifact("k", path="trials/0", folder="model"),
    "learning_curve": lambda: records.learning_curve("k", points=[{"update": 1}], metric="val/loss", title="t"),
    "end_run": lambda: records.end_run("k", status="KILLED", end_time=1.0),
    "reopen_run": lambda: records.reopen_run("k"),
}


@pytest.mark.parametrize("op", EACH)
def test_every_record_is_strict_json_that_the_shipper_understands(op: str) -> None:
    record = EACH[op]()
    assert (record["kind"], record["op"]) == ("track", op)
    again = json.loads(json.dumps(record, allow_nan=False))
    assert again == record
    assert complaint(again) == ""


def test_what_create_run_holds() -> None:
    assert create() == {
        "kind": "track",
        "op": "create_run",
        "key": "s1/trial-0000",
        "name": "trial 0",
        "parent_key": "s1/sweep",
        "experiment": "sine",
        "tags": {"oplstm.kind": "trial"},
        "params": {"lr": "0.1", "layers": "None", "pool": "True"},
        "start_time": 17.5,
    }
    assert create(parent_key=None)["parent_key"] is None


def test_points_keep_their_values_and_what_is_not_finite() -> None:
    metrics = {"val/loss": 1 / 3, "a": math.nan, "b": math.inf, "c": -math.inf}
    record = records.points("k", step=2, metrics=metrics, timestamp=9.125)
    assert record["metrics"] == {"val/loss": 1 / 3, "a": "nan", "b": "inf", "c": "-inf"}
    assert (record["step"], record["timestamp"]) == (2, 9.125)


def test_texts_are_cut_to_what_the_server_takes() -> None:
    record = create(params={"long": "x" * 7000, "odd": "a\0b\ud800"}, tags={"long": "y" * 9000})
    assert len(record["params"]["long"]) == 6000 and record["params"]["long"].endswith("x...")
    assert record["params"]["odd"] == "ab?"
    assert len(record["tags"]["long"]) == 8000


@pytest.mark.parametrize("key", ["", "a'b", "a b", "/a", "a" * 201, "a\n", "ü"])
def test_keys_that_cannot_be_searched_for_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key must be"):
        records.reopen_run(key)
    with pytest.raises(ValueError, match="key must be"):
        create(parent_key=key)


@pytest.mark.parametrize("name", ["", "a?", "a\n", "x" * 251, "/a"])
def test_names_that_mlflow_refuses_are_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        records.points("k", step=1, metrics={name: 1.0}, timestamp=0.0)
    with pytest.raises(ValueError, match="name must be"):
        create(params={name: 1})
    with pytest.raises(ValueError, match="name must be"):
        records.tags("k", {name: "x"})


@pytest.mark.parametrize("place", ["/etc/passwd", "../x", "a/../../b"])
def test_artifacts_stay_in_their_folders(place: str) -> None:
    with pytest.raises(ValueError, match="lead downwards"):
        records.artifact("k", path=place, folder="")
    with pytest.raises(ValueError, match="lead downwards"):
        records.artifact("k", path="x", folder=place)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"op": "later"}, "unknown operation 'later'"),
        ({"op": ["x"]}, "unknown operation"),
        ({"key": 7}, "no key"),
        ({"step": None}, "step"),
        ({"metrics": []}, "metrics"),
        ({"metrics": {"a": None}}, "not a number"),
        ({"timestamp": "x"}, "timestamp"),
    ],
)
def test_records_of_another_version_are_described_not_crashed_on(change: dict[str, Any], said: str) -> None:
    assert said in complaint(EACH["points"]() | change)
