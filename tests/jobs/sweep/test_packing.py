"""Who shares a pack: measured capacities, fair shares, runs that come in later; each decided once for all time."""

import shutil
from collections import Counter
from dataclasses import replace

import pytest

from jobs.store.events import Joined, Sized
from jobs.store.home import SweepFolder
from jobs.store.names import trial_name
from jobs.store.states import SweepKind
from jobs.sweep.messages import NamedRun
from jobs.sweep.packing import weight
from jobs.sweep.proposals import Proposals
from oplstm.training.hours import Expiries
from oplstm.training.reports import RunEnd
from oplstm.training.run import RunConfig
from tests.jobs.formula_training import (
    decisions,
    finish,
    job,
    new_sweep,
    opened,
    state_of,
    train,
    train_everything,
    training,
)
from tracking.journal.journal import Journal

pytestmark = [
    pytest.mark.unit,
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

AUTO = {"resources": {"pack": "auto"}}
GRID = {"sampler": {"name": "grid"}, "trials": None}
TPE = {"sampler": {"name": "TPESampler"}}
DEVICE = {"oplstm.device": "cpu: test"}


def begin(coordinator, assignment, capacity):
    """What a process does first with a pack; returns the pack as it then is."""
    coordinator.sized(assignment.pack, capacity)
    return coordinator.started(assignment.pack, DEVICE)


def complete(coordinator, *names):
    coordinator.on_ends([RunEnd(name, "complete", 20, 10, {"val/best": 0.5}) for name in names])


def names_of(*numbers):
    return tuple(trial_name(number) for number in numbers)


def names(runs):
    return tuple(one.name for one in runs)


def events_of(folder, kind):
    return [event for event in decisions(folder) if isinstance(event, kind)]


def test_a_pack_of_unknown_capacity_has_one_trial_and_says_what_to_measure(tmp_path, coordinators):
    of = job("heavy_and_light", **GRID, **AUTO)
    coordinator = coordinators(new_sweep(tmp_path / "s", of))
    given = coordinator.next_pack()
    assert (given.trials, given.measure.limit) == (names_of(0), 6)
    like = given.measure.like
    assert (like.hyperparameters.passes, like.meta_batch_size) == (3, 2), "the heaviest that may come in"


def test_a_measured_pack_is_filled_before_its_first_update(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=9, **AUTO))
    coordinator = coordinators(folder)
    started = begin(coordinator, coordinator.next_pack(), 4)
    assert names(started.runs) == started.initial == names_of(0, 1, 2, 3)
    assert started.capacity == 4
    assert [one.run.to_dict() for one in started.runs] == [coordinator.state.trials[n].run for n in range(4)]
    assert events_of(folder, Sized) == [Sized(pack="pack-0000", capacity=4, trials=names_of(1, 2, 3))]


def test_a_capacity_is_decided_once(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=9, **AUTO))
    coordinator = opened(folder)
    given = coordinator.next_pack()
    started = begin(coordinator, given, 4)
    written = events_of(folder, Sized)
    complete(coordinator, *names_of(2))
    still = replace(started, expiries=Expiries(until=20))  # the one that has ended may be in the checkpoint
    assert begin(coordinator, given, 9) == still
    coordinator.close(flush_seconds=0)
    coordinator = coordinators(folder)
    again = coordinator.next_pack()
    assert (again.pack, again.measure) == (given.pack, None)
    assert begin(coordinator, again, 2) == still
    assert events_of(folder, Sized) == written


@pytest.mark.parametrize(
    ("slots", "trials", "sizes"), [(1, 64, [64]), (2, 64, [32, 32]), (3, 40, [14, 13, 13]), (2, 3, [2, 1]), (4, 1, [1])]
)
def test_the_slots_share_the_trials(slots, trials, sizes, tmp_path, coordinators):
    """One pack more than there are slots is handed out, as to Ray Tune; what it holds goes to those that begin."""
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=trials, **AUTO)))
    given = [coordinator.next_pack(slots) for _ in range(slots + 1)]
    begun = [begin(coordinator, each, 64) for each in given[:slots] if each is not None]
    assert [len(started.runs) for started in begun if started is not None] == sizes
    assert len({name for started in begun if started for name in names(started.runs)}) == trials
    assert all(begin(coordinator, each, 64) is None for each in given[slots:] if each is not None)


def test_trials_of_other_signatures_stay_out(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("six_cells", **GRID, **AUTO)))
    for expected in (names_of(0, 1, 2), names_of(3, 4, 5)):
        started = begin(coordinator, coordinator.next_pack(), 64)
        assert names(started.runs) == expected
        complete(coordinator, *expected)
    assert coordinator.next_pack() is None


def test_an_adaptive_sampler_is_asked_for_what_fits(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=9, **TPE, **AUTO)))
    given = coordinator.next_pack()
    assert (len(coordinator.state.trials), given.measure.limit) == (1, 9)
    assert len(begin(coordinator, given, 4).runs) == len(coordinator.state.trials) == 4


def test_seeds_of_one_configuration_are_one_pack_whatever_the_job_says(tmp_path, coordinators):
    fixed = {"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.1}
    for number, pack in enumerate((1, 2, "auto")):
        of = job(None, fixed=fixed, seeds=5, trials=None, resources={"pack": pack})
        coordinator = coordinators(new_sweep(tmp_path / str(number), of, kind=SweepKind.TRAIN))
        given = coordinator.next_pack()
        assert (given.trials, given.measure) == (names_of(*range(5)), None)
        started = coordinator.started(given.pack, DEVICE)
        assert (names(started.runs), started.capacity) == (given.trials, 5)


def test_a_run_that_ends_makes_room_for_one_that_waits(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=6, resources={"pack": 3}))
    coordinator = coordinators(folder)
    given = coordinator.next_pack()
    coordinator.started(given.pack, DEVICE)
    complete(coordinator, *names_of(1))
    [joined] = coordinator.joins(given.pack, 10, 1)
    assert joined == NamedRun("trial-0003", RunConfig.from_dict(coordinator.state.trials[3].run))
    trial = state_of(folder).trials[3]
    assert (trial.state, trial.pack, trial.joined) == ("running", "pack-0000", 10)
    started = coordinator.started(given.pack, DEVICE)
    assert names(started.runs) == names_of(0, 1, 2, 3)
    assert started.initial == names_of(0, 1, 2)


def test_joins_are_answered_as_before_whatever_has_happened_since(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=6, resources={"pack": 3}))
    coordinator = opened(folder)
    pack = coordinator.next_pack().pack
    coordinator.started(pack, DEVICE)
    complete(coordinator, *names_of(1, 2))
    answers = [coordinator.joins(pack, 10, 1), coordinator.joins(pack, 20, 1)]
    assert [names(answer) for answer in answers] == [names_of(3), names_of(4)]
    complete(coordinator, *names_of(3))
    written = folder.journal.read_bytes()
    assert [coordinator.joins(pack, update, 2) for update in (10, 20)] == answers
    assert folder.journal.read_bytes() == written
    coordinator.close(flush_seconds=0)
    coordinator = coordinators(folder)
    assert [coordinator.joins(pack, update, 2) for update in (10, 20)] == answers


def test_an_empty_answer_stays_empty_when_trials_come_free_later(tmp_path, coordinators):
    """At update 10 a slot had no pack; later there is one in each, and the replay of 10 still brings nobody in."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=9, resources={"pack": 3}))
    coordinator = opened(folder)
    first, second = (coordinator.next_pack(2).pack for _ in range(2))
    coordinator.started(first, DEVICE)
    complete(coordinator, *names_of(1))
    assert coordinator.joins(first, 10, 1) == ()
    coordinator.started(second, DEVICE)
    assert coordinator.joins(first, 10, 1) == ()
    coordinator.close(flush_seconds=0)
    coordinator = coordinators(folder)
    assert coordinator.joins(first, 10, 1) == ()
    coordinator.next_pack(2)
    assert names(coordinator.joins(first, 20, 1)) == names_of(6)


def test_an_answer_that_can_only_be_empty_is_not_written(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=3, resources={"pack": 3}))
    coordinator = coordinators(folder)
    pack = coordinator.next_pack().pack
    coordinator.started(pack, DEVICE)
    complete(coordinator, *names_of(0))
    assert coordinator.joins(pack, 10, 1) == ()
    assert events_of(folder, Joined) == []


def test_a_pack_whose_runs_have_all_ended_takes_nobody_in(tmp_path, coordinators):
    """A new pack does, as after a kill at this moment."""
    folder = new_sweep(tmp_path / "s", job("rates", trials=6, resources={"pack": 3}))
    coordinator = coordinators(folder)
    given = coordinator.next_pack()
    coordinator.started(given.pack, DEVICE)
    complete(coordinator, *given.trials)
    assert coordinator.joins(given.pack, 10, 3) == ()
    assert coordinator.next_pack().trials == names_of(3, 4, 5)


def test_the_running_packs_share_what_waits(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=11, resources={"pack": 4})))
    packs = [coordinator.next_pack(2).pack for _ in range(2)]
    for pack in packs:
        coordinator.started(pack, DEVICE)
    complete(coordinator, *names_of(0, 1, 2, 4, 5, 6))
    assert [names(coordinator.joins(pack, 10, 3)) for pack in packs] == [names_of(8, 9), names_of(10)]


def test_a_trial_of_a_pack_that_nobody_has_begun_comes_in_and_has_one_run(tmp_path, coordinators):
    folder = new_sweep(tmp_path / "s", job("rates", trials=4, resources={"pack": 2}))
    coordinator = coordinators(folder)
    begun, resting = (coordinator.next_pack(1) for _ in range(2))
    coordinator.started(begun.pack, DEVICE)
    complete(coordinator, *names_of(0))
    assert names(coordinator.joins(begun.pack, 10, 1)) == names_of(2)
    assert names(coordinator.started(resting.pack, DEVICE).runs) == names_of(3)
    created = Counter(record["key"] for record in Journal.read(folder.journal) if record.get("op") == "create_run")
    assert set(created.values()) == {1}
    places = [
        (r["key"][-10:], r["tags"]["oplstm.pack"])
        for r in Journal.read(folder.journal)
        if "oplstm.pack" in r.get("tags", {})
    ]
    assert dict(places)["trial-0002"] == "pack-0000"


def test_packs_get_numbers_of_their_own_when_all_their_trials_have_left(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("six_cells", **GRID, **AUTO)))
    first, emptied = (coordinator.next_pack(1) for _ in range(2))
    assert len(begin(coordinator, first, 64).runs) == 3
    assert coordinator.started(emptied.pack, DEVICE) is None
    assert coordinator.next_pack(1).pack == "pack-0002"


@pytest.mark.parametrize("asked", [GRID, {"trials": 6} | TPE, {"trials": 6}])
@pytest.mark.parametrize("measured", [1, 2, 64])
def test_every_trial_is_trained_whatever_is_measured(asked, measured, tmp_path):
    folder = new_sweep(tmp_path / "s", job("six_cells", **asked, **AUTO))
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train(coordinator, assignment, measured=measured)
    coordinator.close(flush_seconds=0)
    state = state_of(folder)
    assert state.counts() == {"complete": 4, "diverged": 2}
    assert all(len({trial.signature for trial in pack.trials}) == 1 for pack in state.packs.values())
    assert max(len(pack.initial) for pack in state.packs.values()) <= measured


def test_killed_between_a_join_and_the_next_point_it_ends_as_if_never_killed(tmp_path):
    of = job("six_cells", resources={"pack": 2}, **GRID)
    folder, never = new_sweep(tmp_path / "s", of), new_sweep(tmp_path / "never", of)
    finish(never)
    coordinator = opened(folder)
    for _ in training(coordinator, coordinator.next_pack()):
        if events_of(folder, Joined):
            break
    coordinator._outbox.close()  # a killed process ends nothing, and lets go of everything
    coordinator._journal.close()
    finish(folder)
    assert decisions(folder) == decisions(never)


def test_a_failed_pack_fails_those_that_came_in_too(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=4, resources={"pack": 2})))
    pack = coordinator.next_pack().pack
    coordinator.started(pack, DEVICE)
    complete(coordinator, *names_of(0))
    coordinator.joins(pack, 10, 1)
    coordinator.pack_failed(pack, "failed: its process died")
    assert coordinator.state.counts() == {"complete": 1, "failed": 2, "waiting": 1}
    train_everything(coordinator)
    assert all(trial.state.ended for trial in coordinator.state.trials.values())


def test_a_pack_that_was_filled_is_not_emptied_before_it_starts(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=5, **AUTO)))
    packs = [coordinator.next_pack(2).pack for _ in range(2)]
    for pack in packs:
        coordinator.sized(pack, 64)
    assert [len(coordinator.started(pack, DEVICE).runs) for pack in packs] == [3, 2]


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_while_proposals_are_asked_for_changes_no_answer(seed, tmp_path, coordinators):
    """Some are of another signature and wait."""
    folder = new_sweep(tmp_path / "s", job("mixed", trials=4, seed=seed, **TPE, **AUTO))
    coordinator = opened(folder)
    given = coordinator.next_pack()
    begin(coordinator, given, 1)
    before = len(folder.journal.read_bytes().splitlines())
    answer = coordinator.joins(given.pack, 10, 3)
    coordinator.close(flush_seconds=0)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    joined = next(i for i, line in enumerate(lines) if b'"joined"' in line)
    for cut in range(before, joined + 1):
        copy = SweepFolder(tmp_path / str(cut) / "s")
        copy.path.mkdir(parents=True)
        shutil.copy(folder.header, copy.header)
        copy.journal.write_bytes(b"".join(lines[:cut]))
        assert coordinators(copy).joins(given.pack, 10, 3) == answer


def test_a_run_of_more_passes_times_tasks_is_heavier_then_one_of_more_passes():
    run = Proposals(job("rates")).ask().run

    def of(passes, tasks):
        hyperparameters = replace(run.hyperparameters, passes=passes)
        return weight(replace(run, hyperparameters=hyperparameters, meta_batch_size=tasks))

    assert of(1, 2) < of(1, 5) < of(3, 2) < of(1, 7) < of(3, 5)
    assert of(1, 6) < of(2, 3) < of(6, 1)
