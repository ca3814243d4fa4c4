"""What a sweep's state keeps up to date is what a look at all trials would find."""

import math
import random

import pytest

from jobs.store.state import SweepState
from jobs.store.states import ENDED

pytestmark = pytest.mark.unit

RUN = {"benchmark": {"name": "sine"}, "budget": {"tasks": 40, "updates": None}}


def sweep(event, **values):
    return {"kind": "sweep", "event": event, **values}


def random_story(dice, trials=40):
    """Records of a sweep in which everything happens: packs, points that get worse, stops, ends of every kind."""
    yield from (sweep("asked", trial=number, params={}, run=RUN) for number in range(trials))
    names, packs, running = [f"trial-{number:04d}" for number in range(trials)], 0, {}
    dice.shuffle(names)
    while names or running:
        if names and dice.random() < 0.3:
            placed = [names.pop() for _ in range(min(len(names), dice.randint(1, 3)))]
            yield sweep("packed", pack=f"pack-{packs}", trials=placed)
            if dice.random() < 0.8:
                yield sweep("started", pack=f"pack-{packs}", device={})
            running |= dict.fromkeys(placed, 0)
            packs += 1
        elif running:
            name = dice.choice(sorted(running))
            if dice.random() < 0.7:
                running[name] += 1
                best = {} if dice.random() < 0.2 else {"val/best": dice.choice([0.1, 0.2, 0.3, 0.4])}
                yield sweep("point", trial=name, update=running[name], milestone=min(40, running[name]), prune=False,
                            metrics=best)  # fmt: skip
            else:
                state = dice.choice([*ENDED, "stopped"])
                if state != "stopped":
                    del running[name]
                yield sweep("ended", trial=name, state=state, note="", metrics={}, best_update=0)


@pytest.mark.parametrize("seed", range(10))
def test_at_every_record(seed):
    state = SweepState()
    for record in random_story(random.Random(seed)):
        state.apply(record)
        trials = list(state.trials.values())
        scored = [t for t in trials if t.best is not None and t.state not in ("diverged", "failed")]
        assert state.leader() is min(scored, key=lambda trial: trial.cost, default=None)
        assert state.counts() == {s: n for s in {t.state for t in trials} if (n := sum(t.state == s for t in trials))}
        assert state.ended == sum(trial.state in ENDED for trial in trials)
        assert math.isclose(state.fraction, sum(trial.fraction for trial in trials))
        assert list(state.waiting.values()) == [trial for trial in trials if trial.state == "waiting"]
        for pack in state.packs.values():
            assert pack.unended() == [trial for trial in pack.trials if trial.state not in ENDED]
        unended = [pack for pack in state.packs.values() if pack.unended()]
        assert state.running_packs == [pack for pack in unended if pack.begun]
        assert state.resting_packs == [pack for pack in unended if not pack.begun]
