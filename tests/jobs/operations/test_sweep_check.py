"""`oplstm doctor NAME` says what is wrong with a sweep's files and mends, when it is asked to, what can be mended."""

import contextlib
import json
import shutil
from dataclasses import asdict

import optuna
import pytest

from jobs.jobfile.space_source import SpaceSource
from jobs.operations import doctor
from jobs.operations.sweep_check import check_sweep
from jobs.store.home import SweepFolder
from tests.jobs.cli.verbs import answer, run
from tests.jobs.formula_training import decisions, finish, job, new_sweep, no_server, opened, training
from tests.jobs.headers import rewrite
from tests.jobs.operations.test_doctor import with_models
from tracking.outbox.outbox import Outbox

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture
def stopped(oplstm_home, monkeypatch):
    """A sweep that was killed in its second pack, and nothing to ship it to."""
    monkeypatch.setattr(doctor, "tracking_server", lambda *_, **__: contextlib.nullcontext("http://127.0.0.1:1"))
    monkeypatch.setattr(Outbox, "flush", lambda *_: 0)
    monkeypatch.setattr("tracking.outbox.delivery.connect", lambda uri: no_server())
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    source = asdict(SpaceSource.of("tests.jobs.user_spaces:rates"))
    rewrite(folder, json.loads(folder.header.read_text()) | {"space_source": source})
    coordinator = opened(folder)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.close(flush_seconds=0)
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.suffix != ".lock"}


def doctored(*options, code):
    result = run("doctor", "s", *options)
    assert result.exit_code == code, result.output
    return [line for line in result.stdout.splitlines() if not line.startswith("s: ")]


def test_what_is_whole_is_left_alone(stopped):
    before = contents(stopped)
    assert [check.check for check in check_sweep(stopped)] == ["header", "journal", "study", "models", "checkpoints"]
    assert doctored(code=0) == doctored("--repair", code=0) == []
    assert contents(stopped) == before
    told = answer("doctor", "s")
    assert (told["mended"], [check["ok"] for check in told["checks"]]) == ([], [True] * 5)


def test_repair_is_of_a_sweep(oplstm_home):
    result = run("doctor", "--repair")
    assert (result.exit_code, result.stderr) == (2, "oplstm: --repair needs the NAME of a sweep\n")


@pytest.mark.parametrize("byte", [5, 40, -3, -8, -1])
def test_a_bit_that_flipped_is_said_and_put_back(stopped, byte):
    """In a record, in a checksum, and in the end of the line."""
    lines = stopped.journal.read_bytes().splitlines(keepends=True)
    for at in range(1, len(lines)):
        flipped = bytearray(lines[at])
        flipped[byte] ^= 8
        damaged = b"".join([*lines[:at], flipped, *lines[at + 1 :]])
        stopped.journal.write_bytes(damaged)
        [said] = doctored(code=1)
        assert said.startswith(f"LOOK  journal: {stopped.journal}, line {at + 1}: ")
        assert stopped.journal.read_bytes() == damaged
        [mended] = doctored("--repair", code=0)
        place = byte % len(lines[at]) + 1
        was, now = flipped[byte], lines[at][byte]
        assert mended == (
            f"repair: {stopped.journal}, line {at + 1}: byte {place} was {was:#04x} and is {now:#04x} again, "
            "as the checksum says"
        )
        assert stopped.journal.read_bytes() == b"".join(lines)


def test_more_than_a_bit_is_for_a_copy(stopped):
    lines = stopped.journal.read_bytes().splitlines(keepends=True)
    for damaged in ([*lines[:2], *lines[3:]], [*lines[:2], lines[2].replace(b'"', b"'", 2), *lines[3:]]):
        stopped.journal.write_bytes(b"".join(damaged))
        [said] = doctored(code=1)
        assert doctored("--repair", code=1) == [said]
        assert "restore the file from a copy" in said
        assert stopped.journal.read_bytes() == b"".join(damaged)


def test_a_torn_end_is_said_and_cut_off(stopped):
    whole = stopped.journal.read_bytes()
    stopped.journal.write_bytes(whole + b'[{"kind":')
    number = whole.count(b"\n") + 1
    line = f"{stopped.journal}, line {number}: 9 bytes of a line that was not written whole"
    assert doctored(code=1) == [f"LOOK  journal: {line}; resume cuts it off, and so does --repair"]
    assert doctored("--repair", code=0) == [f"repair: {line}: cut off"]
    assert stopped.journal.read_bytes() == whole


def test_a_damaged_header_is_said(stopped):
    stopped.header.write_text(stopped.header.read_text().replace('"tests"', '"texts"'))
    result = run("doctor", "s", "--repair")
    assert (result.exit_code, result.stdout) == (2, "")
    says = "its content does not have the digest that stands in it; restore it from a copy"
    problem = f"{stopped.header} is damaged: {says}"
    assert result.stderr == f"oplstm: {problem}\n"
    assert doctored(code=1) == [f"LOOK  header: {problem}"]


def test_models_and_checkpoints_that_are_missing_are_said(stopped):
    state = finish(stopped)
    with_models(stopped, state)
    assert all(check.ok for check in check_sweep(stopped))
    for name in ("model.safetensors", "test.safetensors", "run.json"):
        path = stopped.trial("trial-0001") / name
        path.unlink()
        [problem] = [check.found for check in check_sweep(stopped) if not check.ok]
        assert problem == f"{path} is missing"
        path.write_text("")


def test_half_a_checkpoint_is_said(stopped):
    place = stopped.pack("pack-0000") / "update-5"
    place.mkdir(parents=True)
    (place / "pack.json").write_text("{}")
    assert doctored(code=1) == [f"LOOK  checkpoints: {place / 'state.safetensors'} is missing"]
    (place / "state.safetensors").write_text("")
    assert check_sweep(stopped)[-1].found == "of 1 of 1 packs that resume goes on with"


STUDIES = {
    "missing": lambda lines: None,
    "cut": lambda lines: b"".join(lines)[:-9],
    "garbage": lambda lines: b"\x80 no study\n",
    "a line of zeros": lambda lines: b"".join([*lines[:2], b"\0" * 80 + b"\n", *lines[3:]]),
    "a line that is none of Optuna's": lambda lines: b"".join([*lines, b"{}\n"]),
}


@pytest.mark.parametrize("damage", STUDIES)
def test_a_study_is_made_again_from_the_journal(stopped, damage):
    before = trials_of(stopped)
    changed = STUDIES[damage](stopped.study.read_bytes().splitlines(keepends=True))
    stopped.study.unlink()
    if changed is not None:
        stopped.study.write_bytes(changed)
    kept = contents(stopped)
    [said] = doctored(code=1)
    assert said.startswith(f"LOOK  study: {stopped.study}")
    assert contents(stopped) == kept
    assert doctored("--repair", code=0) == [f"repair: {stopped.study}: made again from the journal"]
    assert trials_of(stopped) == before
    assert {path.name for path in contents(stopped)} == {path.name for path in kept} | {"study.log"}


def test_no_space_that_was_changed_is_imported_to_make_a_study(stopped):
    """As for a resume."""
    data = json.loads(stopped.header.read_text())
    data["space_source"]["sha256"] = "0" * 64
    rewrite(stopped, data)
    stopped.study.unlink()
    lines = stopped.journal.read_bytes()
    stopped.journal.write_bytes(lines + b"[")
    cut, left, said = doctored("--repair", code=1)
    assert cut.endswith(": cut off")
    assert left.startswith(f"repair: {stopped.study}: left as it is: ")
    assert said.startswith(f"LOOK  study: {stopped.study} is missing")


@pytest.mark.parametrize("damage", STUDIES)
def test_a_damaged_study_holds_up_no_resume(stopped, damage, tmp_path):
    whole = SweepFolder(shutil.copytree(stopped.path, tmp_path / "whole" / "s"))
    changed = STUDIES[damage](stopped.study.read_bytes().splitlines(keepends=True))
    stopped.study.unlink()
    if changed is not None:
        stopped.study.write_bytes(changed)
    finish(stopped)
    finish(whole)
    assert decisions(stopped) == decisions(whole)
    assert trials_of(stopped) == trials_of(whole)


def trials_of(folder):
    """The trials in a study's file, as Optuna reads them."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder.study)))
    study = optuna.load_study(study_name=folder.name, storage=storage)
    return [(one.number, one.state, one.params, one.intermediate_values, one.values) for one in study.trials]
