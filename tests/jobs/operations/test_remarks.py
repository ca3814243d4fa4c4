"""What a person says of a sweep: what is refused in a line, before anything is written."""

import pytest

from jobs.operations.remarks import remarks
from tests.jobs.cli.verbs import answer, the_complaint
from tests.jobs.formula_training import finish, job, new_sweep, opened
from tracking.journal.journal import Journal
from tracking.outbox.records import Tags, Untag

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
REFUSED = {
    ("note", "s"): 'give the text in quotes, as in oplstm note s "too small a budget", or --remove',
    ("note", "s", "two", "words"): 'give the text in quotes, as in oplstm note s "too small a budget", or --remove',
    ("note", "s", "trial-0000", ""): 'give the text in quotes, as in oplstm note s "too small a budget", or --remove',
    ("note", "s", "x" * 8001): "a note has at most 8000 characters, got 8001",
    ("note", "s", "trial-0009", "no"): "s has no trial 'trial-0009'; oplstm status s shows its trials",
    ("note", "new", "no"): "new has not begun: oplstm resume new begins it",
    ("tag", "s"): "give tags, as in oplstm tag s checked=yes, or --remove checked",
    ("tag", "s", "checked"): "tag must be KEY=VALUE, got 'checked'",
    ("tag", "s", "=yes"): "tag must be KEY=VALUE, got '=yes'",
    (
        "tag",
        "s",
        "oplstm.of=me",
    ): "tag 'oplstm.of': names that begin with oplstm. or mlflow. are not yours; give another",
    (
        "tag",
        "s",
        "--remove",
        "mlflow.user",
    ): "tag 'mlflow.user': names that begin with oplstm. or mlflow. are not yours; give another",
    ("tag", "s", "é=1"): "tag 'é': a name must be up to 250 letters, digits, spaces and _./:- and is 'é'",
}


@pytest.fixture
def ended(oplstm_home, monkeypatch):
    new_sweep(oplstm_home / "sweeps" / "new", job())
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=1))
    finish(folder)
    return folder


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_said_is_a_line(words, ended, monkeypatch):
    monkeypatch.setattr("jobs.operations.tracking_server.running_server", lambda *_, **__: pytest.fail("started"))
    before = ended.journal.read_bytes()
    assert the_complaint(*words) == REFUSED[words]
    assert ended.journal.read_bytes() == before


def test_nothing_is_said_of_what_runs(ended):
    coordinator = opened(ended)
    try:
        for words in (("note", "s", "no"), ("tag", "s", "a=b")):
            assert the_complaint(*words) == "s is running; oplstm stop s stops it"
    finally:
        coordinator.close(flush_seconds=0)


def test_the_last_that_was_said_is_shown(ended):
    told = [
        Tags("id-of-s", {"a": "1", "b": "2"}),
        Tags("id-of-s/trial-0000", {"oplstm.note": "first"}),
        Untag("id-of-s", ("a",)),
        Tags("id-of-s/trial-0000", {"oplstm.note": "last"}),
    ]
    assert remarks(ended) == []
    with Journal(ended.journal) as journal:
        journal.append([{**record.encode(), "by": "user"} for record in told])
    assert answer("status", "s")["remarks"] == [
        {"trial": None, "note": "", "tags": {"b": "2"}},
        {"trial": "trial-0000", "note": "last", "tags": {}},
    ]
