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
from oplstm.training.hours import Expiries
from oplstm.training.machine.cost import cost
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
    heaviest, *others = given.measure.like
    assert (heaviest.hyperparameters.passes, heaviest.meta_batch_size) == (3, 2)
    assert len(others) == 3
    longest = coordinator.state.by_name[given.trials[0]].config
    assert (len(given.trials), longest.hyperparameters.passes, longest.meta_batch_size) == (1, 3, 1)
    assert given.measure.limit == 6


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
    for expected in (names_of(3, 4, 5), names_of(0, 1, 2)):  # the wider first
        started = begin(coordinator, coordinator.next_pack(), 64)
        assert names(started.runs) == expected
        complete(coordinator, *expected)
    assert coordinator.next_pack() is None


def test_an_adaptive_sampler_is_asked_for_what_fits(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=9, **TPE, **AUTO)))
    given = coordinator.next_pack()
    assert (len(coordinator.state.trials), given.measure.limit) == (1, 9)
    assert len(begin(coordinator, given, 4).runs) == len(coordinator.state.trials) == 4


def test_seeds_of_one_configuration_are_one_pack_on_one_slot_whatever_the_job_says(tmp_path, coordinators):
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
    complete(coordinator, *names_of(0))
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
    complete(coordinator, *names_of(0, 1, 2, 3, 4, 5))
    assert [names(coordinator.joins(pack, 10, 3)) for pack in packs] == [names_of(8, 10), names_of(9)]


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


def costs_of(coordinator, assigned):
    """The predicted cost of each of the trials."""
    return [cost(coordinator.state.by_name[name].config) for name in assigned]


def longest_first(coordinator):
    return sorted(coordinator.state.trials.values(), key=lambda trial: (-cost(trial.config), trial.number))


@pytest.mark.parametrize("slots", [2, 3, 4])
def test_the_slots_share_the_predicted_cost(slots, tmp_path, coordinators):
    """By count in order of asking, the packs of these 60 trials would cost up to 1.3 times as much as each other."""
    folder = new_sweep(tmp_path / "s", job("many_costs", trials=60, **AUTO))
    coordinator = coordinators(folder)
    given = [coordinator.next_pack(slots) for _ in range(slots)]
    packs = [costs_of(coordinator, names(begin(coordinator, each, 64).runs)) for each in given]
    assert sum(map(len, packs)) == 60
    loads = [sum(costs) for costs in packs]
    assert max(loads) < 1.02 * min(loads)
    longest = [cost(trial.config) for trial in longest_first(coordinator)[:slots]]
    assert [max(costs) for costs in packs] == longest, "each has its share of the long ones"


def test_where_packs_cannot_hold_all_the_longest_begin_and_the_longest_of_the_rest_join(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("many_costs", trials=60, **AUTO)))
    packs = [coordinator.next_pack(2).pack for _ in range(2)]
    for pack in packs:
        coordinator.sized(pack, 8)
    begun = [names(coordinator.started(pack, DEVICE).runs) for pack in packs]
    order = [trial.name for trial in longest_first(coordinator)]
    assert {*begun[0], *begun[1]} == {*order[:16]}
    complete(coordinator, begun[0][0])
    assert names(coordinator.joins(packs[0], 10, 1)) == (order[16],)


def test_a_join_leaves_to_others_what_they_will_be_through_with_sooner(tmp_path, coordinators):
    """Where one pack has all of its work before it and another almost none, the other takes what waits."""
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=10, resources={"pack": 4})))
    packs = [coordinator.next_pack(2) for _ in range(2)]
    for pack in packs:
        coordinator.started(pack.pack, DEVICE)
    complete(coordinator, packs[0].trials[0], *packs[1].trials[:3])
    assert names(coordinator.joins(packs[0].pack, 10, 1)) == ()
    assert names(coordinator.joins(packs[1].pack, 10, 3)) == names_of(8, 9)


def test_a_pack_that_begins_leaves_some_to_one_that_runs_and_has_room(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("rates", trials=12, **AUTO)))
    packs = [coordinator.next_pack(2) for _ in range(2)]
    begun = [names(begin(coordinator, pack, 4).runs) for pack in packs]
    complete(coordinator, *begun[0][:3], *begun[1])
    new = coordinator.next_pack(2)
    assert names(begin(coordinator, new, 4).runs) == names_of(8, 9, 11)
    assert names(coordinator.joins(packs[0].pack, 10, 3)) == names_of(10)


@pytest.mark.parametrize(
    ("slots", "size", "sizes"), [(1, 4, [4, 4, 2]), (2, 4, [4, 4, 2]), (2, 8, [5, 5]), (3, 9, [5, 5]), (2, 10, [10])]
)
def test_packs_of_a_fixed_size_are_dealt_too_and_no_more_than_are_needed(slots, size, sizes, tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("many_costs", trials=10, resources={"pack": size})))
    given = []
    while (assignment := coordinator.next_pack(slots)) is not None:
        given.append(assignment.trials)
    assert list(map(len, given)) == pytest.approx(sizes, abs=1)
    assert len(given) == len(sizes)
    assert max(map(len, given)) <= size
    order = [trial.name for trial in longest_first(coordinator)]
    assert given[0][0] == order[0]
    if slots == 1:
        assert [name for pack in given for name in pack] == order


def test_given_points_come_first_however_short(tmp_path, coordinators):
    point = {"passes": 1, "tasks": 4, "lr": 0.01}
    of = job("many_costs", trials=9, enqueue=[point], resources={"pack": 3})
    coordinator = coordinators(new_sweep(tmp_path / "s", of))
    first, *others = coordinator.next_pack().trials
    assert coordinator.state.by_name[first].params == point
    order = [trial.name for trial in longest_first(coordinator) if trial.name != first]
    assert others == order[:2]


def test_a_sampler_that_learns_has_its_trials_trained_as_it_proposed_them(tmp_path, coordinators):
    coordinator = coordinators(new_sweep(tmp_path / "s", job("many_costs", trials=9, **TPE, resources={"pack": 3})))
    given = coordinator.next_pack()
    assert given.trials == names_of(0, 1, 2)
    coordinator.started(given.pack, DEVICE)
    complete(coordinator, *names_of(1))
    assert names(coordinator.joins(given.pack, 10, 1)) == names_of(3)


@pytest.mark.parametrize(("slots", "sizes"), [(1, [5]), (2, [3, 2]), (3, [2, 2, 1]), (8, [1, 1, 1, 1, 1])])
def test_the_seeds_of_one_configuration_are_spread_over_the_slots(slots, sizes, tmp_path, coordinators):
    fixed = {"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.1}
    of = job(None, fixed=fixed, seeds=5, trials=None)
    coordinator = coordinators(new_sweep(tmp_path / "s", of, kind=SweepKind.TRAIN))
    given = []
    while (assignment := coordinator.next_pack(slots)) is not None:
        assert assignment.measure is None
        given.append(assignment.trials)
    assert list(map(len, given)) == sizes
    assert {name for pack in given for name in pack} == {*names_of(*range(5))}
