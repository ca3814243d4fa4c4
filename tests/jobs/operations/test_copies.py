"""A copy of a sweep's folder writes to no run of the original: it is made a sweep of its own, or said to be moved."""

import json
import re
import shutil

import pytest

from jobs.operations import copies
from jobs.operations.running import owned
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.place import Place
from oplstm.errors import LONGEST_VALUE, RequestError, WorkError
from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import decisions, finish, job, new_sweep, state_of, stopped_in_its_first_pack
from tests.jobs.store.test_header import VERSION_1, VERSION_2, VERSION_3
from tests.journal_lines import groups_in
from tracking.journal.journal import Journal
from tracking.outbox.links import NOTE

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def original(tmp_path):
    """A sweep in another home, whose path is longer than other values that errors show whole."""
    return stopped_in_its_first_pack(tmp_path / ("original" + "-" * LONGEST_VALUE) / "sweeps" / "s")


@pytest.fixture
def copy(original, oplstm_home):
    return SweepFolder(shutil.copytree(original.path, oplstm_home / "sweeps" / "s"))


def contents(folder):
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.suffix != ".lock"}


def keys_in(folder):
    """Of the runs that its journal tells of, with their parents and the sweep that they are tagged with."""
    track = [record for group in groups_in(folder.journal.read_bytes()) for record in group if "key" in record]
    found = {record[name] for record in track for name in ("key", "parent_key") if record.get(name)}
    return found | {
        record["tags"]["oplstm.sweep_id"] for record in track if "oplstm.sweep_id" in record.get("tags", {})
    }


def test_every_verb_that_would_write_to_its_runs_refuses_a_copy_in_a_line(original, copy):
    before = contents(copy)
    line = (
        f"{copy.path} is a copy of {original.path} on {Place.of(copy.path).node}, and would write to its runs: "
        "oplstm doctor s --adopt makes it a sweep with runs of its own; if it was moved here and nothing goes on "
        "there, oplstm doctor s --moved"
    )
    assert the_complaint("resume", "s") == line
    assert the_complaint("doctor", "s", "--repair") == line
    looked = run("doctor", "s")
    assert (looked.exit_code, looked.stdout) == (1, f"LOOK  place: {line}\n")
    assert contents(copy) == before
    assert answer("status", "s")["state"] == "stopped"


def test_no_copy_is_promoted_and_what_would_be_picked_is_said(small_sweep, tmp_path, monkeypatch):
    copies.moved(small_sweep)
    shutil.copytree(small_sweep.path, tmp_path / "other" / "sweeps" / "small")
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "other"))
    assert " is a copy of " in the_complaint("promote", "small")
    assert answer("promote", "small", "--dry-run")["picked"]


def test_what_was_moved_goes_on(original, copy):
    assert copies.moved(copy) == (
        f"{copy.path} is where the sweep is, which was in {original.path} on {Place.of(copy.path).node}; "
        "nothing may go on there"
    )
    with owned(copy):
        pass
    before = decisions(original)
    finish(original)
    finish(copy)
    assert decisions(copy) == decisions(original) != before
    assert Header.read(copy) == Header.read(original)


def test_the_descriptions_of_a_copy_of_its_own_lead_to_its_own_runs(original, copy):
    def linked(folder):
        notes = [record.get("tags", {}).get(NOTE, "") for record in Journal.read(folder.journal)]
        return {key.partition("/")[0] for note in notes for key in re.findall(r"\(run:([^)#]+)", note)}

    assert linked(copy) == linked(original) == {Header.read(original).id}
    copies.adopt(copy)
    assert linked(copy) == {Header.read(copy).id} != linked(original)


def test_a_folder_that_moves_takes_its_place_along(original, tmp_path):
    renamed = SweepFolder(original.path.rename(tmp_path / "s"))
    made = renamed.header.stat().st_mtime_ns
    with owned(renamed):
        pass
    assert Header.read(renamed).place == Place.of(renamed.path)
    assert renamed.header.stat().st_mtime_ns == made, "which is the order in which sweeps are shown"


def test_an_adopted_copy_is_another_sweep_with_the_same_results(original, copy):
    header, before = Header.read(original), contents(original)
    copy.journal.with_name("journal.jsonl.shipped").write_text("{}")
    copy.journal.with_name("journal.jsonl.refused").write_text("{}\n")
    said = copies.adopt(copy)
    own = Header.read(copy)
    assert said.endswith(f"(its id was {header.id} and is {own.id})")
    assert own.id != header.id and own == Header(**{**own.__dict__, "id": own.id})
    assert {key.partition("/")[0] for key in keys_in(copy)} == {own.id}
    assert {key.partition("/")[2] for key in keys_in(copy)} == {key.partition("/")[2] for key in keys_in(original)}
    assert {path.name for path in copy.path.iterdir() if path.suffix != ".lock"} == {path.name for path in before}
    times = [[record["time"] for record in group] for group in groups_in(copy.journal.read_bytes())]
    assert times == [[record["time"] for record in group] for group in groups_in(original.journal.read_bytes())]
    with owned(copy):
        pass
    assert finish(copy).counts() == finish(original).counts()
    assert decisions(copy) == decisions(original)
    assert {path: text for path, text in contents(original).items() if path == original.header} == {
        original.header: before[original.header]
    }


def test_an_adoption_that_is_cut_off_is_done_again(original, copy, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Header, "write_again", lambda *_: pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            copies.adopt(copy)
    assert the_complaint("doctor", "s", "--moved") == "s was being made a sweep of its own: oplstm doctor s --adopt"
    with pytest.raises(RequestError, match="is a copy of"), owned(copy):
        pass
    copies.adopt(copy)
    assert {key.partition("/")[0] for key in keys_in(copy)} == {Header.read(copy).id}
    assert finish(copy).counts() == finish(original).counts()


def test_a_damaged_journal_is_not_adopted(copy):
    text = copy.journal.read_bytes()
    copy.journal.write_bytes(text.replace(b'"asked"', b'"axked"', 1))
    before = contents(copy)
    with pytest.raises(WorkError, match="its checksum is"):
        copies.adopt(copy)
    assert contents(copy) == before


@pytest.mark.parametrize("old", [VERSION_1, VERSION_2, VERSION_3])
def test_a_folder_of_an_older_version_takes_its_place_when_it_is_first_gone_on_with(old, oplstm_home):
    folder = SweepFolder(shutil.copytree(old.path, oplstm_home / "sweeps" / "old"))
    before, state = Header.read(folder), state_of(folder).trials
    assert before.place is None
    with owned(folder):
        assert (Header.read(folder), Header.read(folder).place) == (before, Place.of(folder.path))
    assert json.loads(folder.header.read_text())["version"] == 4
    own = SweepFolder(shutil.copytree(folder.path, oplstm_home / "other" / "old"))
    copies.adopt(own)
    assert state_of(own).trials == state
    assert len(list(Journal.read(own.journal))) == len(list(Journal.read(folder.journal)))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--adopt"], "--adopt needs the NAME of a sweep"),
        (["--moved"], "--moved needs the NAME of a sweep"),
        (["s", "--moved", "--adopt"], "--adopt is for a copy and --moved for what is none: give one of them"),
    ],
)
def test_options_that_say_nothing(options, says, oplstm_home):
    new_sweep(oplstm_home / "sweeps" / "s", job())
    assert the_complaint("doctor", *options) == says
