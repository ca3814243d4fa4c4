"""What a sweep's state keeps up to date is what a look at all trials would find."""

import math
import random

import pytest

from jobs.store.events import Asked, Ended, Packed, Started, Validated
from jobs.store.indices import leader_after
from jobs.store.names import pack_name, trial_name
from jobs.store.state import SweepState
from jobs.store.states import ENDED, OUT, TrialState
from jobs.store.trial import Trial
from oplstm.episodes.measure import ACCURACY, LOSS

RUN = {"benchmark": {"name": "sine"}, "budget": {"tasks": 40, "updates": None}}


def random_story(dice, trials=40):
    """Events of a sweep in which everything happens: packs, points that get worse, stops, ends of every kind."""
    yield from (Asked(trial=number, params={}, run=RUN) for number in range(trials))
    names, packs, running = [trial_name(number) for number in range(trials)], 0, {}
    dice.shuffle(names)
    while names or running:
        if names and dice.random() < 0.3:
            placed = [names.pop() for _ in range(min(len(names), dice.randint(1, 3)))]
            yield Packed(pack=pack_name(packs), trials=tuple(placed))
            if dice.random() < 0.8:
                yield Started(pack=pack_name(packs), device={})
            running |= dict.fromkeys(placed, 0)
            packs += 1
        elif running:
            name = dice.choice(sorted(running))
            if dice.random() < 0.7:
                running[name] += 1
                best = {} if dice.random() < 0.2 else {"val/best": dice.choice([0.1, 0.2, 0.3, 0.4])}
                yield Validated(
                    trial=name, update=running[name], milestone=min(40, running[name]), metrics=best, prune=False
                )
            else:
                state = dice.choice([*ENDED, TrialState.STOPPED])
                if state is not TrialState.STOPPED:
                    del running[name]
                yield Ended(trial=name, state=state, update=1, best_update=0, metrics={})


@pytest.mark.parametrize("seed", range(10))
def test_at_every_event(seed):
    measure, begun = (LOSS, ACCURACY)[seed % 2], set()
    state = SweepState(measure)
    for event in random_story(random.Random(seed)):
        state.apply(event)
        if isinstance(event, Started):
            begun.add(event.pack)
        trials = list(state.trials.values())
        scored = [trial for trial in trials if trial.best is not None and trial.state not in OUT]
        assert state.leader() is min(scored, key=lambda trial: measure.cost(trial.best), default=None)
        assert state.counts() == {s: n for s in {t.state for t in trials} if (n := sum(t.state == s for t in trials))}
        assert state.ended == sum(trial.state in ENDED for trial in trials)
        assert math.isclose(state.fraction, sum(trial.fraction for trial in trials))
        assert list(state.waiting.trials.values()) == [trial for trial in trials if trial.state is TrialState.WAITING]
        for pack in state.packs.values():
            assert pack.unended() == [trial for trial in pack.trials if trial.state not in ENDED]
        unended = [pack for pack in state.packs.values() if pack.unended()]
        assert state.running_packs == [pack for pack in unended if pack.name in begun]
        assert state.resting_packs == [pack for pack in unended if pack.name not in begun]


@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_the_leader_after_an_end_is_known_before_it(measure):
    fallen = 0
    for seed in range(20):
        state = SweepState(measure)
        for event in random_story(random.Random(seed)):
            if not isinstance(event, Ended):
                state.apply(event)
                continue
            before, foreseen = state.leader(), leader_after(event, state.leader(), state.trials.values())
            assert state.leader() is before, "to foresee an end changes nothing"
            state.apply(event)
            assert state.leader() is foreseen
            fallen += before is not foreseen
    assert fallen > 10, "stories in which no leader falls show nothing"


def test_hours_are_those_of_training_between_points():
    trial = Trial(0, {}, RUN, LOSS)
    assert trial.hours == 0
    trial.points += [
        {"update": 0, "tasks_seen": 0.0},
        {"update": 9, "tasks_seen": 36.0, "train/tasks_per_second": 0.02},
        {"update": 18, "tasks_seen": 72.0, "train/tasks_per_second": 0.01},
    ]
    assert trial.hours == pytest.approx(0.5 + 1.0)
