"""A digit of a journal that changed on the disk is one line from every verb, with its place, and stops nothing else."""

import re

import pytest

from jobs.store.events import Packed, encode
from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import job, new_sweep, stopped_in_its_first_pack
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def stopped(oplstm_home):
    """A sweep that was killed in its first pack, and another beside it."""
    folder = stopped_in_its_first_pack(oplstm_home / "sweeps" / "s")
    new_sweep(oplstm_home / "sweeps" / "other", job())
    return folder


@pytest.fixture
def damaged(stopped):
    """The same with another first loss."""
    text = stopped.journal.read_bytes()
    changed, count = re.subn(rb'("val/loss":0?\d*\.\d)\d', rb"\g<1>7", text, count=1)
    assert count and changed != text
    stopped.journal.write_bytes(changed)
    line = next(
        n for n, pair in enumerate(zip(text.split(b"\n"), changed.split(b"\n"), strict=False), 1) if pair[0] != pair[1]
    )
    return stopped, f"{stopped.journal}, line {line}: its checksum is "


@pytest.mark.parametrize(
    ("verb", "code"),
    [("status s", 1), ("resume s", 2), ("promote s", 1), ("promote s --dry-run", 1)],
)
def test_every_verb_says_where_it_is(verb, code, damaged):
    folder, problem = damaged
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.suffix != ".lock"}
    said = the_complaint(*verb.split(), code=code)
    assert said.startswith(problem)
    assert said.endswith("; restore the file from a copy")
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.suffix != ".lock"} == before


def test_the_status_of_all_and_the_doctor_go_on(damaged):
    _, problem = damaged
    rows = {row["name"]: row for row in answer("status")}
    assert rows["s"]["problem"].startswith(problem)
    assert rows["other"]["state"] == "stopped"
    assert f"LOOK  s: damaged: {problem}" in run("doctor").stdout


def test_an_event_that_cannot_be_is_refused_before_anything_starts(stopped):
    with Journal(stopped.journal) as journal:
        journal.append([encode(Packed(pack="pack-0007", trials=("trial-0001",)))])
    assert ", line " in the_complaint("resume", "s")
