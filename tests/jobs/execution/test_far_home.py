"""Packs on a node that does not see the home: what they read is brought, what they write is sent, in one process."""

import itertools
import json
import shutil
import warnings
from types import SimpleNamespace

import pytest

from jobs.execution import far_home as far
from jobs.execution import home_end, pack_worker, ray_packs
from jobs.execution.carried import Piece, Refused, Try
from jobs.execution.far_home import FarCoordinator, FarFolder, far_home
from jobs.execution.home_end import HomeEnd
from jobs.execution.home_mark import Mark, marked
from jobs.execution.nodes import code_here
from jobs.execution.ray_packs import PackOnRay, PackTrainable, SweepOnRay
from jobs.execution.remote_coordinator import RemoteCoordinator
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.execution.turns import train_in_turns
from jobs.jobfile.sections import Resources
from jobs.operations import start
from jobs.operations.running import Outcome
from jobs.store import requests
from jobs.store.home import SweepFolder
from jobs.store.pack_sizes import PackSizes
from jobs.store.requests import Add
from jobs.store.states import TrialState
from jobs.sweep.messages import Assignment
from oplstm.errors import RequestError, WorkError
from oplstm.training import hours
from oplstm.training.checkpoint import checkpoints, read_model
from oplstm.training.pack import Pack
from oplstm.training.sealed import read_sealed
from tests.jobs.execution import test_turns as turns
from tests.jobs.execution.test_pack_worker import JOBS, Clock, Killed, dies, results
from tests.jobs.execution.test_pack_worker import run as run_near
from tests.jobs.formula_training import new_sweep, no_server, state_of
from tests.jobs.operations.test_extend import at_length, longer
from tests.jobs.operations.test_extend import no_ray as no_ray
from tests.jobs.sweep.test_warm_starts import AGAIN, killed_in_its_second_pack
from tests.jobs.sweep.test_warm_starts import JOB as WARM
from tests.oplstm.training.damage import flip

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

FILES = ("bring", "keep", "let_go", "files_at", "piece_at")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Files have several."""
    for module in (far, home_end):
        monkeypatch.setattr(module, "PIECE_BYTES", 1000)


def far_end(folder):
    folder.stop_request.unlink(missing_ok=True)
    return HomeEnd(folder, no_server)


def run(folder, look=lambda method, arguments: None):
    """Train what is left of a sweep far from its home; ``look`` sees every call before the coordinator does."""
    clock, coordinator = Clock(1.0), far_end(folder)

    def call(method, *arguments):
        look(method, arguments)
        return getattr(coordinator, method)(*arguments)

    def tick(update, runs):
        clock.hours += clock.pace

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hours, "time", clock)
        try:
            while (assignment := coordinator.next_pack()) is not None:
                with far_home(call, folder) as (calls, away):
                    resources = coordinator.job.resources
                    train_in_turns(assignment, calls, away, resources=resources, tick=tick, wait=lambda *_: None)
                assert not away.path.exists()
        except Killed:
            coordinator._outbox.close()
            coordinator._journal.close()
        else:
            coordinator.close(flush_seconds=0)
    return coordinator


@pytest.fixture(scope="module")
def near(tmp_path_factory, no_waiting_for_the_disk):
    """Results of sweeps on a machine that sees the home, by their jobs' names."""
    found = {}
    for name, of in JOBS.items():
        folder = new_sweep(tmp_path_factory.mktemp("near") / name, of)
        run_near(folder)
        found[name] = results(folder)
    return found


def assert_could_be_shared(folder):
    """Nothing is half there, no checkpoint knows more than the journal, and what has ended has left its files."""
    state = state_of(folder)
    for name, pack in state.packs.items():
        for path in checkpoints(folder.pack(name)):
            sealed = read_sealed(path / "pack.json")
            assert sealed.tensors("state.safetensors")
            assert sealed.data["update"] <= pack.reached
        assert len(checkpoints(folder.pack(name))) <= 3
    for trial in state.trials.values():
        if trial.state.ended:
            assert read_model(folder.trial(trial.name))
        if trial.state is TrialState.COMPLETE and not trial.note:
            [end] = checkpoints(folder.ends / trial.name)
            assert read_sealed(end / "pack.json").tensors("state.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_results_are_those_of_a_machine_that_sees_the_home(name, near, tmp_path):
    folder, calls = new_sweep(tmp_path / "sweeps" / name, JOBS[name]), []
    coordinator = run(folder, lambda method, arguments: calls.append(method))
    assert results(folder) == near[name]
    assert_could_be_shared(folder)
    assert not list(folder.path.glob("packs/*"))
    assert not list(folder.path.rglob(".*")), "no draft is left"
    [line] = coordinator.progress().lines
    assert "does not see" in line and "is sent through Ray" in line
    assert calls.count("bring") > 20


def kills(count):
    """The process of the pack dies before its n-th call about files."""
    seen = itertools.count(1)

    def look(method, arguments):
        if method in FILES and next(seen) == count:
            raise Killed

    return look


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 13])
def test_killed_between_any_two_sends_and_resumed_is_never_killed(step, near, tmp_path):
    """The home is what a shared one could have been; the sweep goes on far from it or not."""
    for count in itertools.count(2, step):
        folder = new_sweep(tmp_path / str(count) / "joined", JOBS["joined"])
        run(folder, kills(count))
        if state_of(folder).finished:
            break
        assert_could_be_shared(folder)
        left = any(not trial.state.ended for trial in state_of(folder).trials.values())
        (run if count % 2 else run_near)(folder)
        assert results(folder) == near["joined"], count
        assert left != bool(list(folder.path.glob("packs/*"))), "nobody goes on with a pack that has ended"
        shutil.rmtree(folder.path)
    assert count > 60


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 9, 20, 42])
@pytest.mark.parametrize("is_far", [True, False])
def test_what_a_try_sends_when_another_has_begun_is_refused(is_far, count, near, tmp_path):
    """It was cut off between two pieces, and comes back when the other is through half of the work."""
    folder, late = new_sweep(tmp_path / "sweeps" / "together", JOBS["together"]), []
    coordinator, seen = far_end(folder), itertools.count(1)

    def call(method, *arguments):
        if method in ("bring", "keep") and next(seen) == count:
            late.append((method, arguments))
            raise Killed
        return getattr(coordinator, method)(*arguments)

    def come_back(update, runs):
        if update == 6 and runs:
            before = files(folder)
            for method, arguments in [*late, ("keep", (late[0][1][0], "packs/pack-0000/update-6"))]:
                with pytest.raises(Refused, match="another try of pack-0000 has begun since"):
                    getattr(coordinator, method)(*arguments)
            assert files(folder) == before
            came.append(update)

    assignment, came = coordinator.next_pack(), []
    resources = coordinator.job.resources
    with pytest.raises(Killed), far_home(call, folder) as (calls, away):
        train_in_turns(assignment, calls, away, resources=resources, wait=lambda *_: None)
    seen = itertools.count(10_000)
    if is_far:
        with far_home(call, folder) as (calls, away):
            train_in_turns(assignment, calls, away, resources=resources, tick=come_back, wait=lambda *_: None)
    else:
        train_in_turns(assignment, coordinator, folder, resources=resources, tick=come_back, wait=lambda *_: None)
    assert came == [6]
    coordinator.close(flush_seconds=0)
    assert results(folder) == near["together"]
    assert not list(folder.path.rglob(".*")), "what the first had sent of a folder is gone"


def files(folder):
    return {path: path.read_bytes() for path in (folder.path / "packs").rglob("*") if path.is_file()}


def beside_the_journal(home):
    """All files but those of the journal, whose thread comes and goes."""
    return {path for path in home.rglob("*") if "journal" not in path.name}


@pytest.fixture
def begun(tmp_path):
    """The home's end of a sweep, the try of its pack that has begun, and another sweep's folder beside it."""
    folder = new_sweep(tmp_path / "sweeps" / "s", JOBS["together"])
    new_sweep(tmp_path / "sweeps" / "other", JOBS["together"])
    coordinator = far_end(folder)
    start = coordinator.start_far(coordinator.next_pack().pack, {"oplstm.host": "n"})
    yield coordinator, start.own
    coordinator.close(flush_seconds=0)


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("packs/pack-0000/update-2", "../../../sweep.json"),
        ("packs/pack-0000/update-2", "/etc/passwd.json"),
        ("packs/pack-0000/update-2", ".json"),
        ("packs/pack-0000/update-2/", "pack.json"),
        ("packs/pack-0000/../update-2", "pack.json"),
        ("packs/pack-0001/update-2", "pack.json"),
        ("packs/pack-0000", "pack.json"),
        ("packs/pack-0000/damaged-update-2", "pack.json"),
        ("trials/trial-0007", "run.json"),
        ("trials/..", "sweep.json"),
        ("../other", "sweep.json"),
        ("", "sweep.json"),
        (".", "sweep.json"),
        ("/etc", "run.json"),
        ("starts/trial-0000", "run.json"),
        ("ends/trial-0000", "pack.json"),
    ],
)
def test_a_try_writes_to_places_of_its_pack_alone(place, file, begun):
    coordinator, own = begun
    before = beside_the_journal(coordinator.folder.home)
    with pytest.raises(Refused, match=r"is no (place of pack-0000|name of a file)"):
        coordinator.bring(own, Piece(place, file, 0), b"{}")
    assert beside_the_journal(coordinator.folder.home) == before
    if not place.startswith(("starts", "packs/pack-0000/update-2")):
        with pytest.raises(Refused, match="is no place of pack-0000"):
            coordinator.files_at(own, place)


@pytest.mark.parametrize("where", ["packs", "packs/pack-0000", "trials", "trials/trial-0000"])
def test_no_link_is_followed(where, begun, tmp_path):
    coordinator, own = begun
    (tmp_path / "victim").mkdir()
    (coordinator.folder.path / where).parent.mkdir(exist_ok=True)
    (coordinator.folder.path / where).symlink_to(tmp_path / "victim")
    place = {"packs": "packs/pack-0000/update-2", "trials": "trials/trial-0000"}[where.partition("/")[0]]
    with pytest.raises(RequestError, match="is a symbolic link"):
        coordinator.bring(own, Piece(place, "run.json", 0), b"{}")
    assert list((tmp_path / "victim").iterdir()) == []


@pytest.mark.slow
def test_what_does_not_come_as_it_was_written_does_not_appear(begun, tmp_path):
    """A byte that changed, a piece that is missing, a file that is missing, a file too many; then all of it."""
    coordinator, own = begun
    written = new_sweep(tmp_path / "w" / "together", JOBS["together"])
    run_near(written)
    place, sent = "trials/trial-0000", {path.name: path.read_bytes() for path in written.trial("trial-0000").iterdir()}

    def send(files, offset=0):
        for name, data in files.items():
            coordinator.bring(own, Piece(place, name, 0), data[:50])
            coordinator.bring(own, Piece(place, name, 50 + offset), data[50:])
        coordinator.keep(own, place)

    model = sent["model.safetensors"]
    for wrong in (
        {**sent, "model.safetensors": model[:-1] + bytes([model[-1] ^ 1])},
        {name: data for name, data in sent.items() if name != "validation.safetensors"},
        {**sent, "more.safetensors": b"1"},
        {name: data for name, data in sent.items() if name != "run.json"},
        {**sent, "run.json": sent["run.json"].replace(b'"best_update": ', b'"best_update": 1')},
    ):
        with pytest.raises(Refused):
            send(wrong)
        assert not list(coordinator.folder.path.glob("trials/*"))
    with pytest.raises(Refused, match="has come up to byte 50, got a piece from byte 51"):
        send(sent, offset=1)
    coordinator.bring(own, Piece(place, "run.json", 0), b"{")
    with pytest.raises(Refused, match="is not complete, got trial-0001"):
        coordinator.bring(own, Piece("trials/trial-0001", "run.json", 0), b"{")
    coordinator.bring(own, Piece(place, "run.json", 0), b"{")
    coordinator.started("pack-0000", {})
    assert not list(coordinator.folder.path.glob("trials/*")), "its draft went with the try"
    own = Try("pack-0000", own.number + 1)
    send(sent)
    assert {path.name: path.read_bytes() for path in coordinator.folder.trial("trial-0000").iterdir()} == sent
    with pytest.raises(Refused, match="nothing was brought to"):
        coordinator.keep(own, place)
    coordinator.pack_failed("pack-0000", "died")
    with pytest.raises(Refused, match="another try"):
        send(sent)


def test_a_full_disk_of_the_home_is_a_line(begun, monkeypatch):
    coordinator, own = begun

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(home_end, "os", SimpleNamespace(fsync=full))
    with pytest.raises(WorkError, match=r"cannot write .*update-2: .*No space left .*; free some space .*then resume"):
        coordinator.bring(own, Piece("packs/pack-0000/update-2", "pack.json", 0), b"{}")
    assert not list(coordinator.folder.pack("pack-0000").iterdir()), "what had come makes room"


@pytest.mark.slow
def test_a_pack_is_halved_far_from_the_home_as_near_it(tmp_path, monkeypatch):
    """What each half begins with is handed over in the home, which remembers what was measured, too."""
    monkeypatch.setattr(pack_worker, "measured_size", lambda *_, **__: 6)
    auto = turns.JOB.model_copy(update={"resources": Resources(pack="auto")})
    found = {}
    for where, each in (("near", turns.run), ("far", lambda folder, memory: with_memory(folder, memory))):
        folder, memory = new_sweep(tmp_path / where / "sweeps" / "s", auto), turns.Memory(3, 4)
        each(folder, memory)
        turns.assert_halves_followed(folder)
        sizes = json.loads(folder.pack_sizes.read_text())["sizes"]
        found[where] = str((turns.results(folder), memory.refused, memory.steps, sizes))
        assert not list(folder.path.glob("packs/*"))
    assert found["far"] == found["near"]
    assert len(memory.refused) == 1


def with_memory(folder, memory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pack, "step", lambda pack: memory.step(pack))
        run(folder)


def test_sizes_that_the_home_knows_are_known_there_and_those_measured_there_are_remembered(tmp_path):
    folder = new_sweep(tmp_path / "sweeps" / "s", JOBS["together"])
    known, coordinator = PackSizes(folder.pack_sizes), far_end(folder)
    known.remember("a", 3, 3)
    with far_home(lambda method, *arguments: getattr(coordinator, method)(*arguments), folder) as (calls, away):
        there = PackSizes(away.pack_sizes)
        assert there.find("a", 3, updates=1) == 3
        there.remember("b", 2, 5, updates=7)
        known.remember("c", 1, 1)
        calls.next_half(coordinator.next_pack().pack)
        assert known.entries() == {
            "a": {"size": 3, "limit": 3}, "b": {"size": 2, "limit": 5, "updates": 7}, "c": {"size": 1, "limit": 1}
        }  # fmt: skip
        assert away.data == folder.data
    coordinator.close(flush_seconds=0)


@pytest.mark.slow
def test_a_stop_is_heard_and_the_checkpoint_is_in_the_home(near, tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "sweeps" / "together", JOBS["together"])
    monkeypatch.setattr(pack_worker, "STOP_POLL_SECONDS", 0.0)
    run(folder, lambda method, arguments: method == "on_points" and folder.stop_request.touch())
    [pack] = (folder.path / "packs").iterdir()
    assert [path.name for path in checkpoints(pack)] == ["update-0"]
    assert not state_of(folder).finished
    run_near(folder)
    assert results(folder)[1] == near["together"][1]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_set_aside_in_the_home_and_said_there(near, tmp_path):
    folder = new_sweep(tmp_path / "sweeps" / "together", JOBS["together"])
    run(folder, kills(44))
    [newest, older] = checkpoints(folder.pack("pack-0000"))
    flip(newest / "state.safetensors", -1, 0)
    called = []
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        run(folder, lambda method, arguments: called.append((method, arguments)))
    places = {arguments[1].place for method, arguments in called if method == "piece_at"}
    assert places == {older.relative_to(folder.path).as_posix()}, "nothing more is brought than is gone on from"
    assert results(folder) == near["together"]
    assert f"goes on from {older.name}" in folder.pack_log.read_text()


@pytest.mark.slow
def test_warnings_of_a_pack_are_in_the_log_of_the_sweep_once(tmp_path, monkeypatch):
    folder, own_step = new_sweep(tmp_path / "sweeps" / "together", JOBS["together"]), Pack.step

    def step(pack):
        warnings.showwarning(f"<{pack.update}>", UserWarning, "", 0)
        own_step(pack)

    monkeypatch.setattr(Pack, "step", step)
    run(folder)
    text = folder.pack_log.read_text()
    assert [text.count(f"<{update}>") for update in range(8)] == [1] * 8


@pytest.mark.slow
def test_runs_go_on_to_a_longer_budget_far_from_the_home(oplstm_home, no_ray, monkeypatch):
    found = {}
    for where, each in (("near", lambda folder, *_: turns.run(folder)), ("far", lambda folder, *_: run(folder))):
        folder = at_length(oplstm_home / "sweeps" / where, 10, 3)
        each(folder)
        monkeypatch.setattr(
            start, "run_on_cluster", lambda folder, *_, each=each: (each(folder), Outcome(folder, None, waiting=0))[1]
        )
        longer(folder, 16)
        found[where] = str(turns.results(folder))
    assert found["far"] == found["near"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("joins", [False, True])
def test_a_trial_begins_with_the_weights_of_another(joins, tmp_path):
    """In a pack of its own, or in one that trains already."""
    found = {}
    for where, each in (("near", run_near), ("far", run)):
        folder = new_sweep(tmp_path / where / "sweeps" / "s", JOBS["joined"] if joins else WARM)
        if joins:
            run_near(folder, lambda update, runs: dies() if update == 3 else None)
        else:
            killed_in_its_second_pack(folder)
        requests.ask(folder, AGAIN if not joins else Add(like="trial-0000", values={}, warm_start=True))
        each(folder)
        assert len(list((folder.path / "starts").iterdir())) == 1
        [warm] = [trial for trial in state_of(folder).trials.values() if trial.is_warm]
        assert (warm.joined is not None) == joins
        found[where] = results(folder)[1]  # each request has a name of its own
    assert found["far"] == found["near"]


def test_a_home_is_told_apart_from_a_copy_and_from_others_of_its_name(tmp_path):
    folder = new_sweep(tmp_path / "sweeps" / "s", JOBS["together"])
    with marked(folder) as mark:
        assert mark.is_seen()
        with marked(new_sweep(tmp_path / "copy" / "s", JOBS["together"])) as other:
            assert not Mark(other.path, mark.word).is_seen()
        assert not Mark(tmp_path / "nowhere", mark.word).is_seen()
    assert not mark.is_seen()
    assert sorted(path.name for path in folder.path.iterdir()) == ["sweep.json"]


@pytest.mark.parametrize(
    ("node", "word", "is_far"), [("here", "x", False), ("there", "x", True), ("there", "w", False)]
)
def test_only_a_node_that_does_not_see_the_home_trains_far_from_it(node, word, is_far, tmp_path, monkeypatch):
    folder, given = new_sweep(tmp_path / "sweeps" / "s", JOBS["together"]), []
    (folder.path / "mark").write_text("w")
    mark = Mark(folder.path / "mark", word)
    sweep = SweepOnRay(ShippedPlugins(), "c", "n", folder, mark, Resources(), "here", code_here().digest)
    context = SimpleNamespace(get_node_id=lambda: node, get_accelerator_ids=dict)
    sizes = SimpleNamespace(pack_sizes=SimpleNamespace(remote=lambda: b""))
    for name, value in {
        "get_runtime_context": lambda: context,
        "get_actor": lambda *_, **__: sizes,
        "get": lambda x: x,
    }.items():
        monkeypatch.setattr(ray_packs.ray, name, value)
    monkeypatch.setattr(ray_packs, "train_in_turns", lambda _, calls, folder, **__: given.append((calls, folder)))
    pack = SimpleNamespace(config={"pack": PackOnRay(sweep, Assignment("pack-0000", ()))})
    assert PackTrainable.step(pack) == {"done": True}
    [(calls, used)] = given
    assert (type(calls), type(used)) == ((FarCoordinator, FarFolder) if is_far else (RemoteCoordinator, SweepFolder))
