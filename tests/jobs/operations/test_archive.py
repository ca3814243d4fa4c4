"""Who may not be renamed, archived or deleted, and what a line says then; nothing is started and nothing changes."""

import shutil
from dataclasses import replace

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from jobs.operations.family import as_named_now
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.intervals import StatedInterval
from jobs.store.promoted import Promoted
from jobs.store.states import SweepKind
from jobs.store.study_file import damage_in, rename_study
from tests.jobs.cli.verbs import answer, files_in, run, the_complaint
from tests.jobs.formula_training import job, new_sweep, opened, stopped_in_its_first_pack

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")
VERBS = (("rename", "s", "t"), ("archive", "s"), ("archive", "s", "--undo"), ("delete", "s", "--yes"))


@pytest.fixture
def sweeps(oplstm_home, monkeypatch):
    monkeypatch.setattr("jobs.operations.tracking_server.running_server", lambda *_, **__: pytest.fail("started"))
    return oplstm_home / "sweeps"


def contents(home):
    """All but locks, and what an outbox without a server notes meanwhile."""
    found = [path for path in files_in(home) if path.suffix != ".lock" and ".silent" not in path.name]
    return {path: path.read_bytes() for path in found}


@pytest.mark.parametrize("words", VERBS)
@pytest.mark.parametrize("running", ["s", "s-final"])
def test_nothing_that_runs(words, running, sweeps):
    sweep = new_sweep(sweeps / "s", job())
    final = new_sweep(sweeps / "s-final", job(), kind=SweepKind.FINAL, of=Header.read(sweep).id)
    coordinator = opened({"s": sweep, "s-final": final}[running])
    try:
        before = contents(sweeps)
        line = the_complaint(*words)
        final_line = "s-final, the final run of s, is running; oplstm stop s-final stops it"
        if words[0] == "delete" and running == "s-final":
            final_line = "s has the final run s-final: oplstm delete s-final first"
        assert line == ("s is running; oplstm stop s stops it" if running == "s" else final_line)
        assert contents(sweeps) == before
    finally:
        coordinator.close(flush_seconds=0)


@pytest.mark.parametrize("words", VERBS)
def test_no_copy_and_nothing_damaged(words, sweeps, tmp_path):
    original = stopped_in_its_first_pack(tmp_path / "original" / "sweeps" / "s")
    shutil.copytree(original.path, sweeps / "s")
    before = contents(sweeps)
    assert the_complaint(*words).startswith(f"{sweeps / 's'} is a copy of {original.path} on ")
    assert contents(sweeps) == before
    (sweeps / "s" / "sweep.json").write_text("nonsense")
    assert the_complaint(*words).startswith(f"{sweeps / 's' / 'sweep.json'} is no header of a sweep: ")


def test_names_that_cannot_be_given(sweeps):
    for name in ("s", "t"):
        new_sweep(sweeps / name, job())
    taken = f"name 't' is taken ({sweeps / 't'}); use resume, or another --name"
    assert the_complaint("rename", "s", "t") == taken
    assert the_complaint("rename", "s", "s") == "s has that name"
    assert the_complaint("rename", "s", "../up").startswith("name '../up' must be letters")
    assert the_complaint("rename", "nobody", "u").startswith("no sweep named 'nobody'")


def test_an_archived_sweep_is_listed_with_all_alone(sweeps):
    sweep = new_sweep(sweeps / "s", job())
    replace(Header.read(sweep), archived=True).write_again(sweep)
    assert answer("status") == [] and "archived" not in run("status").stdout
    assert [one["name"] for one in answer("status", "--all")] == ["s"]
    assert "stopped, archived" in run("status", "--all").stdout
    assert the_complaint("resume", "s") == "s is archived; oplstm archive s --undo takes it back"


def test_a_promotion_names_its_final_run_as_it_is_called_now(sweeps):
    home = Home()
    header = Header.read(new_sweep(sweeps / "s", job()))
    final = new_sweep(sweeps / "now", job(), kind=SweepKind.FINAL, of=header.id)
    made = Promoted(picked="trial-0000", score_b=StatedInterval(0.5, None), leaders=(), final="then")
    assert as_named_now(home, header, made) == made
    replace(Header.read(final), earlier_names=("first", "then")).write_again(final)
    assert Header.read(final).earlier_names == ("first", "then")
    assert as_named_now(home, header, made).final == "now"
    new_sweep(sweeps / "then", job(), kind=SweepKind.FINAL, of=header.id)
    assert as_named_now(home, header, made).final == "then"


def test_a_study_is_renamed_as_optuna_and_doctor_read_it(sweeps):
    folder = SweepFolder(stopped_in_its_first_pack(sweeps / "s").path)
    before = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(folder.study)))).trials
    for _ in range(2):
        rename_study(folder.study, "t")
    assert damage_in(folder.study) is None
    study = optuna.load_study(study_name="t", storage=JournalStorage(JournalFileBackend(str(folder.study))))
    assert study.trials == before
    folder.study.write_bytes(folder.study.read_bytes()[:-3])
    damaged = folder.study.read_bytes()
    rename_study(folder.study, "u")
    assert folder.study.read_bytes() == damaged
