"""`oplstm doctor NAME` says what is wrong with a sweep's files and mends, when it is asked to, what can be mended."""

import contextlib
import json
import shutil
from dataclasses import asdict

import optuna
import pytest

from jobs.jobfile.space_source import SpaceSource
from jobs.operations import doctor, start
from jobs.operations.control import Means, resume
from jobs.operations.sweep_check import check_sweep
from jobs.store.home import Home, SweepFolder
from oplstm.training.sealed import write_sealed
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
    monkeypatch.setattr(doctor, "tracked_differences", lambda *_: [])
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=3))
    source = asdict(SpaceSource.of("tests.jobs.user_spaces:rates"))
    rewrite(folder, json.loads(folder.header.read_text()) | {"space_source": source})
    coordinator = opened(folder)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.close(flush_seconds=0)
    return folder


CHECKS = ["header", "place", "journal", "study", "models", "checkpoints", "ends", "starts", "requests", "report"]


def contents(folder):
    return {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file() and path.suffix != ".lock"}


def doctored(*options, code):
    result = run("doctor", "s", *options)
    assert result.exit_code == code, result.output
    return [line for line in result.stdout.splitlines() if not line.startswith("s: ")]


def test_what_is_whole_is_left_alone(stopped):
    before = contents(stopped)
    assert [check.check for check in check_sweep(stopped)] == CHECKS
    assert doctored(code=0) == doctored("--repair", code=0) == []
    assert contents(stopped) == before
    told = answer("doctor", "s")
    assert (told["mended"], [check["ok"] for check in told["checks"]]) == ([], [True] * (len(CHECKS) + 1))


def test_repair_is_of_a_sweep(oplstm_home):
    result = run("doctor", "--repair")
    assert (result.exit_code, result.stderr) == (2, "oplstm: --repair needs the NAME of a sweep\n")


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_models_and_checkpoints_that_are_missing_are_said(stopped):
    state = finish(stopped)
    with_models(stopped, state)
    assert wrong(stopped) == []
    for name in ("model.safetensors", "test.safetensors", "run.json"):
        path = stopped.trial("trial-0001") / name
        whole = path.read_bytes()
        path.unlink()
        assert wrong(stopped) == [("models", f"{path} is damaged: it is missing")]
        path.write_bytes(whole[:-1])
        [(_, problem)] = wrong(stopped)
        assert problem.startswith(f"{path} is damaged: it")
        path.write_bytes(whole)
    shutil.rmtree(stopped.trial("trial-0001"))
    shutil.copytree(stopped.trial("trial-0000"), stopped.trial("trial-0001"))
    own = {"run": state.trials[1].run, "best_update": 1 + state.trials[1].best_update}
    files = {f"{name}.safetensors": {} for name in ("model", "validation", "test")}
    of_another = f"{stopped.trial('trial-0001')}/run.json is of another run than trial-0001 in the journal"
    assert wrong(stopped) == [("models", of_another)]
    write_sealed(stopped.trial("trial-0001"), "run.json", data=own, tensors=files)
    assert wrong(stopped) == [("models", of_another)]


def wrong(folder):
    """But for the report, which the tests of this module do not make."""
    return [(check.check, check.found) for check in check_sweep(folder) if not check.ok and check.check != "report"]


def test_checkpoints_are_looked_at_and_those_that_are_damaged_set_aside(stopped):
    place = stopped.pack("pack-0000")
    for update, point in ((3, 0), (5, 0), (7, 99)):
        counters = {"last_point": {"trial-0000": point}}
        write_sealed(
            place / f"update-{update}", "pack.json", data={"counters": counters}, tensors={"state.safetensors": {}}
        )
    damaged, ahead = place / "update-5" / "state.safetensors", place / "update-7" / "pack.json"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    mend = "resume goes on from an older one or the beginning"
    assert wrong(stopped) == [
        ("checkpoints", f"{damaged} is damaged: its SHA-256 is not the one in pack.json; {mend}"),
        ("checkpoints", f"{ahead} knows a point of trial-0000 at 99 and the journal, whose end is missing, "
                        f"does not; {mend}"),
    ]  # fmt: skip
    assert doctored("--repair", code=0) == [
        f"repair: {place}/update-{update}: renamed to damaged-update-{update}, so that it is not read"
        for update in (5, 7)
    ]
    assert {path.name for path in place.iterdir()} == {"damaged-update-5", "damaged-update-7", "update-3"}


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


@pytest.mark.parametrize("damage", [None, "missing", "cut", "a line of zeros"])
def test_a_resume_says_that_it_makes_a_damaged_study_again(damage, stopped, monkeypatch):
    monkeypatch.setattr(start, "cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr(start, "run_on_cluster", lambda folder, uri, progress: uri)
    changed = STUDIES[damage](stopped.study.read_bytes().splitlines(keepends=True)) if damage else None
    if damage:
        stopped.study.unlink()
    if changed is not None:
        stopped.study.write_bytes(changed)
    said = []
    resume(Home(), "s", progress=lambda progress: None, means=Means(), notice=said.append)
    assert len(said) == (damage is not None)
    for line in said:
        assert line.startswith(f"{stopped.study}") and line.endswith("; it is made again from the journal")


def trials_of(folder):
    """The trials in a study's file, as Optuna reads them."""
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder.study)))
    study = optuna.load_study(study_name=folder.name, storage=storage)
    return [(one.number, one.state, one.params, one.intermediate_values, one.values) for one in study.trials]
