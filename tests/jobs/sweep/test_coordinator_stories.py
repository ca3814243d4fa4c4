"""Whole sweeps, killed anywhere and rebuilt from the journal, tell the same story."""

import random
import shutil

import pytest

from jobs.store.events import Ended, Joined, Promoted, Sized, Validated
from jobs.store.home import SweepFolder
from jobs.store.states import TrialState
from oplstm.training.reports import RunEnd
from tests.conftest import ROOT
from tests.jobs.formula_training import (
    decisions,
    finish,
    job,
    new_sweep,
    opened,
    placed_by,
    same_state,
    training,
)
from tracking.journal.checksums import stated

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

MEDIAN = {"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None}
HALVING = {"name": "SuccessiveHalvingPruner", "options": {"min_resource": 10, "reduction_factor": 2}, "patience": None}
PATIENT = {"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": 1}
TPE = {"name": "TPESampler", "options": {"n_startup_trials": 2}}


STORIES = {
    "median": job("rates", trials=7, pruner=MEDIAN),
    "halving": job("rates", trials=6, pruner=HALVING, seed=2),
    "patient": job("rates", trials=6, pruner=PATIENT, seed=1),
    "adaptive": job("mixed", trials=4, pruner=MEDIAN, sampler=TPE),
    "packed": job("six_cells", trials=None, sampler={"name": "grid"}, pruner=MEDIAN, resources={"pack": 2}),
    "sized": job("six_cells", trials=None, sampler={"name": "grid"}, pruner=MEDIAN, resources={"pack": "auto"}),
    "joined": job("rates", trials=8, pruner=MEDIAN, resources={"pack": 3}),
    "adaptive packs": job("six_cells", trials=6, pruner=MEDIAN, sampler=TPE, resources={"pack": "auto"}),
}
IN_PACKS = ("packed", "sized", "joined", "adaptive packs")


@pytest.fixture(scope="module")
def whole_stories(tmp_path_factory):
    """Each story told without a break: its folder and what was decided."""
    told = {}
    for name, of in STORIES.items():
        folder = new_sweep(tmp_path_factory.mktemp(name) / "s", of)
        finish(folder)
        told[name] = folder, decisions(folder)
    return told


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_the_stories_prune(name, whole_stories):
    _, decided = whole_stories[name]
    assert any(event.prune for event in decided if isinstance(event, Validated))
    assert any(event.state is TrialState.COMPLETE for event in decided if isinstance(event, Ended))


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_PACKS)
def test_in_the_stories_of_packs_runs_come_in_later(name, whole_stories):
    _, decided = whole_stories[name]
    assert any(event.trials for event in decided if isinstance(event, Joined))
    if STORIES[name].resources.pack == "auto":
        assert any(event.trials for event in decided if isinstance(event, Sized))


def copy_of(folder, path, journal):
    """The sweep with another journal."""
    copy = SweepFolder(path / folder.name)
    copy.path.mkdir(parents=True)
    shutil.copy(folder.header, copy.header)
    copy.journal.write_bytes(journal)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
def test_killed_anywhere_and_rebuilt_is_never_killed(name, whole_stories, tmp_path):
    """The journal is cut after every group of records, as a kill would leave it; a rebuilt sweep tells the same."""
    folder, decided = whole_stories[name]
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    cuts = range(len(lines) + 1)
    for cut in cuts if name in IN_PACKS[:3] else random.Random(name).sample(cuts, 8):
        torn = b"" if cut == len(lines) else lines[cut][: len(lines[cut]) // 2]
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]) + torn)
        finish(copy)
        assert decisions(copy) == decided, f"cut after {cut} of {len(lines)} groups"


@pytest.mark.slow
def test_a_sweep_of_version_1_goes_on_as_it_did_then(tmp_path):
    """Cut anywhere after its last pack was made; it was stopped once, and promoted when it had ended.

    What makes a pack was another rule then.
    """
    folder = SweepFolder(ROOT / "tests" / "jobs" / "store" / "version_1" / "old")
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    packed = max(number for number, line in enumerate(lines, start=1) if b'"packed"' in line)
    for cut in range(packed, len(lines)):
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]))
        finish(copy)
        assert story(copy) == story(folder), f"cut after {cut} of {len(lines)} groups"


@pytest.mark.slow
def test_a_sweep_of_version_2_goes_on_with_checksums(tmp_path):
    """Killed in its second pack, whenever before that it is cut off."""
    folder = SweepFolder(ROOT / "tests" / "jobs" / "store" / "version_2" / "old")
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    told = []
    for cut in range(1, len(lines) + 1):
        copy = copy_of(folder, tmp_path / str(cut), b"".join(lines[:cut]))
        finish(copy)
        written = copy.journal.read_bytes().splitlines(keepends=True)
        assert written[1:cut] == lines[1:cut]
        assert [stated(line) is not None for line in written[1:]] == [False] * (cut - 1) + [True] * (len(written) - cut)
        told.append(decisions(copy))
    assert all(decided == told[-1] for decided in told)


def story(folder):
    """Decisions, without stops and promotion."""
    told = [event for event in decisions(folder) if not isinstance(event, Promoted)]
    return [event for event in told if not (isinstance(event, Ended) and event.state is TrialState.STOPPED)]


@pytest.mark.slow
def test_decisions_are_the_same_after_every_rebuild(whole_stories, tmp_path):
    """Closed and opened anew after every single exchange."""
    folder = new_sweep(tmp_path / "s", STORIES["halving"])
    for milestone in [*(m for _ in range(6) for m in range(0, 50, 10)), 0]:
        coordinator = opened(folder)
        assignment = coordinator.next_pack()
        for reached in training(coordinator, assignment) if assignment else ():
            if reached == milestone and milestone < 40:
                break
        coordinator.close(flush_seconds=0)
    assert decisions(folder) == whole_stories["halving"][1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_no_trial_is_lost_or_doubled(seed, tmp_path):
    """Two packs at a time, with restarts, failures, stops, repeated reports and kills in random order."""
    chance = random.Random(seed)
    grid, pack = {"sampler": {"name": "grid"}, "trials": None}, {"pack": chance.choice([1, 2, "auto"])}
    of = job("six_cells", pruner=MEDIAN, resources=pack, **grid)
    folder = new_sweep(tmp_path / "s", of)
    coordinator, busy, ended = opened(folder), [], {}
    for _ in range(60):
        action = chance.choice(["begin", "go on", "go on", "go on", "restart", "fail", "stop", "kill"])
        if action == "begin" and len(busy) < 2 and (assignment := coordinator.next_pack()) is not None:
            busy.append((assignment, training(coordinator, assignment)))
        elif action in ("go on", "restart", "fail") and busy:
            assignment, steps = busy.pop(chance.randrange(len(busy)))
            if action == "fail" and chance.random() < 0.3:
                coordinator.pack_failed(assignment.pack, "failed: it died")
            elif action == "restart":
                busy.append((assignment, training(coordinator, assignment)))
            elif action == "fail" or next(steps, None) is not None:
                busy.append((assignment, steps))
        elif action in ("stop", "kill") and chance.random() < 0.5:
            if action == "stop":
                folder.stop_request.touch()
                for assignment, _ in busy:
                    coordinator.on_ends([RunEnd(name, "stopped", 1, 1, {}) for name in assignment.trials])
                assert coordinator.next_pack() is None
            coordinator.close(flush_seconds=0)
            coordinator, busy = opened(folder), []
        assert same_state(folder, coordinator)
        for trial in coordinator.state.trials.values():
            assert ended.get(trial.name, trial.state) == trial.state, "an end never changes"
            if trial.state.ended:
                ended[trial.name] = trial.state
    coordinator.close(flush_seconds=0)
    state = finish(folder)
    assert state.finished
    assert sorted(tuple(trial.params.values()) for trial in state.trials.values()) == [
        (hidden, rate) for hidden in (2, 3) for rate in (0.1, 0.2, 0.3)
    ]
    for trial in state.trials.values():
        updates = [told["update"] for told in trial.points]
        assert updates == sorted(set(updates))
    assert {name for event in decisions(folder) for name in placed_by(event)} == set(state.by_name)
    assert sorted(trial.name for pack in state.packs.values() for trial in pack.trials) == sorted(state.by_name)
    ends = [event.trial for event in decisions(folder) if isinstance(event, Ended) and event.state.ended]
    assert sorted(ends) == sorted(state.by_name)
