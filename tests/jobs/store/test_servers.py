"""The servers that a user has named: as version 1 wrote them, and never taken from a file that is something else."""

import json

import pytest

from jobs.store.servers import KnownServers
from oplstm.errors import RequestError

MINE = "http://mine.example:5000"


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "oplstm").mkdir()
    return tmp_path / "oplstm" / "servers.json"


def test_a_file_of_version_1_is_read_and_added_to(path):
    path.write_text('{"version": 1, "servers": ["http://mine.example:5000"]}')
    assert MINE in KnownServers()
    KnownServers().add("http://other:1")
    assert json.loads(path.read_text()) == {"version": 1, "servers": [MINE, "http://other:1"]}


def test_a_file_of_a_later_version_is_refused_by_name_and_left_alone(path):
    text = json.dumps({"version": 2, "servers": [MINE]})
    path.write_text(text)
    for use in (lambda: MINE in KnownServers(), lambda: KnownServers().add(MINE)):
        with pytest.raises(RequestError) as caught:
            use()
        assert str(caught.value).startswith(f"{path} has format version 2, this oplstm reads 1: ")
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "servers": 3}', "[" * 100_000])
def test_a_broken_file_names_no_server_and_is_written_anew(text, path):
    path.write_text(text)
    assert MINE not in KnownServers()
    KnownServers().add(MINE)
    assert MINE in KnownServers()
