"""`oplstm rerun-failed`: exactly what failed is trained again, from its last checkpoint, whatever happened before."""

import contextlib
import json
import random

import optuna
import pytest

from jobs.execution.turns import train_in_turns
from jobs.operations import start
from jobs.operations.control import Means, rerun_failed
from jobs.operations.running import Outcome
from jobs.operations.status import sweep_status
from jobs.store.events import Ended, Finished, Rerun, Validated
from jobs.store.home import Home
from jobs.store.states import SweepKind, TrialState
from oplstm.errors import RequestError
from oplstm.training.pack import Pack
from tests.jobs.cli.verbs import run as verb
from tests.jobs.cli.verbs import the_complaint
from tests.jobs.execution.test_turns import JOB, assert_alike, results
from tests.jobs.formula_training import decisions, events, job, new_sweep, no_server, opened, state_of, train, training
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

_step = Pack.step


def work(folder, uri="", progress=lambda now: None):
    """As Ray Tune does it: a pack that fails is tried again, and given up after its second try."""
    coordinator = opened(folder)
    resources = coordinator.job.resources
    while (assignment := coordinator.next_pack()) is not None:
        for attempt in range(2):
            try:
                train_in_turns(assignment, coordinator, folder, resources=resources, wait=lambda *_: None)
                break
            except ValueError:
                if attempt:
                    coordinator.pack_failed(assignment.pack, "failed")
    progress(coordinator.progress())
    coordinator.close(flush_seconds=0)
    return Outcome(folder, coordinator.progress(), waiting=0)


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setattr(start, "cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr(start, "run_on_cluster", work)
    monkeypatch.setattr("jobs.operations.trust.check_space", lambda *_, **__: None)


def fails(trial, at):
    """Training, but that a pack with this trial in it comes no further than this update."""

    def step(pack):
        if trial in pack.names and pack.update >= at:
            raise ValueError("too wide")
        _step(pack)

    return step


@pytest.fixture(scope="module")
def never_failed(tmp_path_factory, no_waiting_for_the_disk):
    found = {}
    for size in (1, 3):
        of = JOB.model_copy(update={"resources": JOB.resources.model_copy(update={"pack": size})})
        folder = new_sweep(tmp_path_factory.mktemp(str(size)) / "s", of)
        work(folder)
        found[size] = of, results(folder)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3])
def test_what_failed_goes_on_from_its_last_checkpoint_and_nothing_else_is_touched(
    size, never_failed, oplstm_home, no_ray, monkeypatch
):
    of, wanted = never_failed[size]
    folder = new_sweep(oplstm_home / "sweeps" / "s", of)
    with monkeypatch.context() as patch:
        patch.setattr(Pack, "step", fails("trial-0001", at=5))
        work(folder)
    lost = {trial.name for trial in state_of(folder).trials.values() if trial.state is TrialState.FAILED}
    assert "trial-0001" in lost
    assert len(lost) <= size
    before, told = results(folder), len(decisions(folder))
    steps = []
    monkeypatch.setattr(Pack, "step", lambda pack: steps.append((pack.update, set(pack.names))) or _step(pack))
    outcome = rerun_failed(Home(), "s", diverged=False, progress=lambda now: None, means=Means())
    assert outcome.progress.counts == {"complete": 6}
    found = results(folder)
    if size == 1:
        assert str(found) == str(wanted)  # to the bit
    assert_alike(found, wanted)
    assert steps[0][0] >= 4, "it begins with the last checkpoint"
    assert set().union(*(names for _, names in steps)) == lost
    assert {name: str(before[name]) for name in before.keys() - lost} == {
        name: str(found[name]) for name in found.keys() - lost
    }
    later = decisions(folder)[told:]
    assert isinstance(later[0], Rerun)
    assert isinstance(later[-1], Finished)
    assert {event.trial for event in later if isinstance(event, Validated | Ended)} == lost
    assert sweep_status(folder).state == "complete"
    assert not list(folder.path.glob("packs/*"))


@pytest.mark.slow
def test_what_fails_again_is_failed_and_can_be_trained_again(oplstm_home, no_ray, monkeypatch):
    folder = new_sweep(oplstm_home / "sweeps" / "s", JOB)
    monkeypatch.setattr(Pack, "step", fails("trial-0001", at=5))
    work(folder)
    for _ in range(2):
        result = verb("rerun-failed", "s", "--json")
        report = json.loads(result.stdout)
        assert (result.exit_code, report["state"], report["counts"]) == (1, "incomplete", {"failed": 6})
    words = verb("rerun-failed", "s")
    assert words.exit_code == 1
    assert words.stdout.endswith("train what failed again with: oplstm rerun-failed s\n")
    assert "pack-0003 is tried again in 1 s (2 of 3): ValueError: too wide" in words.stderr
    monkeypatch.undo()


def test_it_says_why_there_is_nothing_to_train_again(oplstm_home, no_ray):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("three_rates", sampler={"name": "grid"}, trials=None))
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    coordinator.close(flush_seconds=0)
    assert the_complaint("rerun-failed", "s").startswith("s has not ended: first oplstm resume s, then ")
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train(coordinator, assignment)
    coordinator.close(flush_seconds=0)
    assert state_of(folder).counts()["diverged"] == 1
    written = folder.journal.read_bytes()
    assert the_complaint("rerun-failed", "s") == "no run of s failed; 1 diverged, which --diverged trains again"
    assert folder.journal.read_bytes() == written


def test_a_sweep_that_has_ended_with_failed_runs_says_how_they_are_trained_again(oplstm_home, no_ray, monkeypatch):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=2))
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        coordinator.pack_failed(assignment.pack, "failed: it died")
    coordinator.close(flush_seconds=0)
    monkeypatch.setattr("jobs.operations.reporting.tracked.has_report", lambda folder: True)
    assert the_complaint("resume", "s") == "s has ended; 2 of its runs failed: oplstm rerun-failed s"
    stopped = []

    def stop(folder, *_):
        stopped.append(sweep_status(folder))
        return Outcome(folder, None, waiting=0)

    monkeypatch.setattr(start, "run_on_cluster", stop)
    result = verb("rerun-failed", "s", "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["state"], report["counts"]) == (1, "stopped", {"stopped": 2})
    assert stopped[0].state == "running"


@pytest.mark.slow
def test_diverged_runs_are_trained_again_from_their_beginning_where_they_are_asked_for(oplstm_home, no_ray):
    """In full as the first time, so they diverge again; the others stay as they are."""
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("three_rates", sampler={"name": "grid"}, trials=None))
    work(folder)
    before = results(folder)
    told = len(decisions(folder))
    assert verb("rerun-failed", "s", "--diverged").exit_code == 0
    assert str(results(folder)) == str(before)
    later = decisions(folder)[told:]
    assert [event.trials for event in later if isinstance(event, Rerun)] == [("trial-0002",)]
    assert [(event.trial, event.state) for event in later if isinstance(event, Ended)] == [("trial-0002", "diverged")]


@pytest.mark.slow
def test_a_final_run_whose_seed_failed_has_its_result_when_it_was_trained_again(oplstm_home, monkeypatch):
    fixed = {"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.01}
    of = job(None, fixed=fixed, seeds=2, trials=None, budget=JOB.budget)
    folder = new_sweep(oplstm_home / "sweeps" / "s", of, kind=SweepKind.FINAL)
    coordinator = opened(folder)
    coordinator.pack_failed(coordinator.next_pack().pack, "failed: it died")
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    monkeypatch.setattr("jobs.operations.control.tracking_server", lambda *_: contextlib.nullcontext(no_server))
    monkeypatch.setattr("jobs.sweep.coordinator.EMBEDDED_FLUSH_SECONDS", 0.0)
    outcome = rerun_failed(Home(), "s", diverged=False, progress=lambda now: None, means=Means())
    assert outcome.progress.counts == {"complete": 2}
    assert len(outcome.result.test.seed_means) == 2


def test_what_is_trained_again_may_lead_with_what_it_has(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=1))
    coordinator = coordinators(folder)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.pack_failed("pack-0000", "failed: it died")
    assert coordinator.state.leader() is None
    coordinator.state.apply(Rerun(pack="pack-0000", into="pack-0001", trials=("trial-0000",)))
    assert coordinator.state.leader().name == "trial-0000"
    with pytest.raises(ValueError, match="which have not failed"):
        coordinator.state.apply(Rerun(pack="pack-0001", into="pack-0002", trials=("trial-0000",)))


def history(folder, chance, ended):
    """What may happen to a sweep until it has ended: packs that fail, kills and stops, at random."""
    while True:
        coordinator = opened(folder)
        for assignment in iter(coordinator.next_pack, None):
            fate, steps = chance.choice(["train", "train", "fail", "memory", "kill"]), training(coordinator, assignment)
            for _ in range(chance.randrange(4) if fate != "train" else 99):
                if next(steps, None) is None:
                    break
            if fate == "memory":
                coordinator.out_of_memory(assignment.pack)
            if fate == "kill":
                break
            if fate == "fail" or chance.random() < 0.3:
                coordinator.pack_failed(assignment.pack, "failed: it died")
            while (turn := coordinator.next_half(assignment.pack)) is not None:
                train(coordinator, turn)
        coordinator.close(flush_seconds=0)
        state = state_of(folder)
        for trial in state.trials.values():
            if trial.state.ended and trial.state is not TrialState.FAILED:
                assert ended.setdefault(trial.name, (trial.state, trial.points)) == (trial.state, trial.points)
        if state.finished:
            return state


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_over_any_history_no_run_is_lost_or_doubled_and_none_that_completed_is_trained_again(
    seed, oplstm_home, no_ray, monkeypatch
):
    chance, ended, made = random.Random(seed), {}, 0
    resources = {"pack": chance.choice([1, 2, 3, "auto"])}
    folder = new_sweep(
        oplstm_home / "sweeps" / "s", job("six_cells", sampler={"name": "grid"}, trials=None, resources=resources)
    )
    state = history(folder, chance, ended)
    monkeypatch.setattr(start, "run_on_cluster", lambda folder, *_: history(folder, chance, ended))
    while (lost := state.counts().get(TrialState.FAILED, 0)) and made < 60:
        made += 1
        told = len(events(folder))
        rerun_failed(Home(), "s", diverged=False, progress=lambda now: None, means=Means())
        state = state_of(folder)
        again = {name for event in events(folder) if isinstance(event, Rerun) for name in event.trials}
        done = [event.trial for event in events(folder)[told:] if isinstance(event, Ended) and event.state.ended]
        assert len(done) == len(set(done)) >= lost
        assert set(done) <= again
    with pytest.raises(RequestError, match="no run of s failed"):
        rerun_failed(Home(), "s", diverged=False, progress=lambda now: None, means=Means())
    assert state.finished
    assert len(state.trials) == len(ended) == 6
    for trial in state.trials.values():
        assert [point["update"] for point in trial.points] == sorted(trial.updates)
    # what Optuna and MLflow are told
    study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder.study))))  # fmt: skip
    wanted = {"complete": "COMPLETE", "pruned": "PRUNED", "diverged": "PRUNED"}
    assert [trial.state.name for trial in study.trials] == [wanted[t.state] for t in state.trials.values()]
    records = [record for record in Journal.read(folder.journal) if record["kind"] == "track"]
    own = [record["step"] for record in records if (record["key"], record["op"]) == ("id-of-s", "points")]
    assert len(own) == len(set(own))
    points = [(record["key"], record["step"]) for record in records if "val/best" in record.get("metrics", {})]
    points = [point for point in points if point[0] != "id-of-s"]
    assert len(points) == len(set(points)) == sum(len(trial.points) for trial in state.trials.values())
    tags = [(record["key"], record["tags"]) for record in records if record["op"] == "tags"]
    notes = {key: told["mlflow.note.content"] for key, told in tags if "mlflow.note.content" in told}
    assert all(note.startswith("Trial ") for note in notes.values()), (
        "no reason why it failed stays with a run that completed"
    )
    status = {record["key"]: record["status"] for record in records if record["op"] == "end_run"}
    assert len(status) == 7
    assert set(status.values()) <= {"FINISHED", "FAILED"}
