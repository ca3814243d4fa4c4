"""Records: what they hold, and what they refuse before it is written."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from tracking.outbox import records
from tracking.outbox.decoding import decode

CREATE: dict[str, Any] = {
    "name": "trial 0",
    "parent_key": "s1/sweep",
    "experiment": "sine",
    "tags": {"oplstm.kind": "trial"},
    "params": {"lr": 0.1, "layers": None, "pool": True},
    "start_time": 17.5,
}


def create(**changes: Any) -> records.CreateRun:
    return records.CreateRun("s1/trial-0000", **(CREATE | changes))


POINTS = records.Points("k", step=3, metrics={"val/loss": math.inf, "val/ci95": 1}, timestamp=5.25)
EACH = {
    "create_run": create(),
    "points": POINTS,
    "tags": records.Tags("k", {"a": "b"}),
    "artifact": records.Artifact("k", path="trials/0", folder="model"),
    "learning_curve": records.LearningCurve("k", points=[{"update": 1, "a": -math.inf}], metric="val/loss", title="t"),
    "end_run": records.EndRun("k", status="KILLED", end_time=1.0),
    "reopen_run": records.ReopenRun("k"),
}


LATER = {"untag": records.Untag("k", ("a", "b"))}
"""What version 1 did not know."""


@pytest.mark.parametrize("op", [*EACH, *LATER])
def test_every_record_is_strict_json_from_which_it_comes_back(op: str) -> None:
    record = {**EACH, **LATER}[op]
    written = record.encode()
    assert (written["kind"], written["op"]) == ("track", op)
    again = json.loads(json.dumps(written, allow_nan=False))
    assert again == json.loads(json.dumps(written))
    assert decode(again) == record


def test_what_version_1_wrote_is_what_is_written_today() -> None:
    header, *lines = (Path(__file__).parent / "journal_v1_every_record.jsonl").read_text().splitlines()
    assert json.loads(header)["version"] == 1
    tracked = [record for line in lines for record in json.loads(line) if record["kind"] == "track"]
    assert {record["op"] for record in tracked} == set(EACH)
    for record in tracked:
        event = ("event", "trial", "update", "milestone", "prune", "time")  # of a validation point, merged with ours
        expected = {name: value for name, value in record.items() if name not in event}
        assert json.dumps(decode(record).encode()) == json.dumps(expected)


def test_what_create_run_holds() -> None:
    assert create().encode() == {
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
    assert create(parent_key=None).encode()["parent_key"] is None


def test_points_keep_their_values_and_what_is_not_finite() -> None:
    metrics = {"val/loss": 1 / 3, "a": math.nan, "b": math.inf, "c": -math.inf}
    record = records.Points("k", step=2, metrics=metrics, timestamp=9.125).encode()
    assert record["metrics"] == {"val/loss": 1 / 3, "a": "nan", "b": "inf", "c": "-inf"}
    assert (record["step"], record["timestamp"]) == (2, 9.125)


def test_texts_are_cut_to_what_the_server_takes() -> None:
    record = create(params={"long": "x" * 7000, "odd": "a\0b\ud800"}, tags={"long": "y" * 9000}, name="z\0" * 300)
    assert len(str(record.params["long"])) == 6000 and str(record.params["long"]).endswith("x...")
    assert record.params["odd"] == "ab?"
    assert len(record.tags["long"]) == 8000
    assert record.name == "z" * 247 + "..."


@pytest.mark.parametrize("key", ["", "a'b", 'a"b', "a`b", "a b", "/a", "a" * 201, "a\n", "ü"])
def test_keys_that_cannot_be_searched_for_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key must be"):
        records.ReopenRun(key)
    with pytest.raises(ValueError, match="key must be"):
        create(parent_key=key)


@pytest.mark.parametrize("name", ["", "a?", "a\n", "x" * 251, "/a"])
def test_names_that_mlflow_refuses_are_refused_at_once(name: str) -> None:
    with pytest.raises(ValueError, match="name must be"):
        records.Points("k", step=1, metrics={name: 1.0}, timestamp=0.0)
    with pytest.raises(ValueError, match="name must be"):
        create(params={name: 1})
    with pytest.raises(ValueError, match="name must be"):
        records.Tags("k", {name: "x"})


@pytest.mark.parametrize("name", ["", "a\nb", "\0", "\ud800", "x" * 251])
def test_experiments_are_named_in_print(name: str) -> None:
    assert create(experiment="Mikes été (2) 'x'").experiment == "Mikes été (2) 'x'"
    with pytest.raises(ValueError, match="experiment's name must be"):
        create(experiment=name)


@pytest.mark.parametrize("place", ["/etc/passwd", "../x", "a/../../b", "..", "a\0b", "a\n", "x" * 1001])
def test_artifacts_stay_in_their_folders(place: str) -> None:
    with pytest.raises(ValueError, match="lead downwards"):
        records.Artifact("k", path=place, folder="")
    with pytest.raises(ValueError, match="lead downwards"):
        records.Artifact("k", path="x", folder=place)


@pytest.mark.parametrize("path", ["", ".", "./"])
def test_the_folder_itself_is_no_artifact(path: str) -> None:
    with pytest.raises(ValueError, match="lead downwards"):
        records.Artifact("k", path=path, folder="")


def test_times_and_ends_are_checked() -> None:
    with pytest.raises(ValueError, match="time must be finite"):
        records.Points("k", step=1, metrics={}, timestamp=math.nan)
    with pytest.raises(ValueError, match="time must be finite"):
        create(start_time=math.inf)
    with pytest.raises(ValueError, match="time must be finite"):
        records.EndRun("k", status="KILLED", end_time=math.inf)
    with pytest.raises(ValueError, match="not as 'GONE'"):
        records.EndRun("k", status="GONE", end_time=0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("op", "change", "said"),
    [
        ("points", {"op": "later"}, "unknown operation 'later'"),
        ("points", {"op": ["x"]}, "unknown operation"),
        ("points", {"key": 7}, "bad or missing fields: key"),
        ("points", {"key": "it's"}, "key must be"),
        ("points", {"step": None}, "step"),
        ("points", {"metrics": []}, "metrics"),
        ("points", {"metrics": {"a": None}}, "not all values are numbers: {'a': None}"),
        ("points", {"metrics": {"a": "x"}}, "not all values are numbers"),
        ("points", {"metrics": {"a?": 1.0}}, "name must be"),
        ("points", {"metrics": {"a": 10**400}}, "not all values are numbers"),
        ("points", {"timestamp": "x"}, "timestamp"),
        ("points", {"timestamp": 10**400}, "time"),
        ("points", {"timestamp": math.nan}, "time must be finite"),
        ("create_run", {"parent_key": 7}, "parent_key"),
        ("create_run", {"parent_key": "'"}, "key must be"),
        ("create_run", {"experiment": ""}, "experiment's name"),
        ("create_run", {"tags": {"a?": ""}}, "name must be"),
        ("artifact", {"path": "/etc/hostname"}, "lead downwards"),
        ("artifact", {"path": "../../secret"}, "lead downwards"),
        ("learning_curve", {"points": [1]}, "points"),
        ("learning_curve", {"points": [{"a": []}]}, "not all values are numbers"),
        ("end_run", {"status": "GONE"}, "not as 'GONE'"),
    ],
)
def test_records_of_another_version_are_described_not_crashed_on(op: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        decode(EACH[op].encode() | change)
