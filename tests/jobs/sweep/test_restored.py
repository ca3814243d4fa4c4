"""Trials that are put back into a study without asking Optuna again: it holds what it held, and goes on alike."""

import math
import random
from dataclasses import dataclass
from typing import Any

import pytest

from jobs.store.states import TrialState
from jobs.store.study_file import stored_study
from jobs.sweep.proposals import Impossible, Proposals
from tests.jobs import user_spaces
from tests.jobs.formula_training import job

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning"),
]

ENQUEUED = [{"hidden": 3, "passes": 2, "lr": 0.01}, {"hidden": 2, "lr": 0.02}]
SWEEPS = {
    "random": job("noted", trials=12, seed=5),
    "enqueued": job("noted", trials=12, enqueue=ENQUEUED, pruner={"name": "MedianPruner", "options": {}}),
    "median": job(
        "rates", trials=12, pruner={"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None}
    ),
    "repeats": job("mixed", trials=9, seed=3),
    "grid": job("six_cells", trials=None, sampler={"name": "grid"}),
    "lists": job("lists", trials=None, sampler={"name": "grid"}),
    "impossible": job("raises_at_one", trials=6, seed=2),
    "tpe": job("many_costs", trials=12, sampler={"name": "TPESampler", "options": {"n_startup_trials": 2}}),
    "tpe of branches": job("noted", trials=12, sampler={"name": "TPESampler", "options": {"n_startup_trials": 2}}),
    "tpe of groups": job(
        "noted",
        trials=12,
        sampler={"name": "TPESampler", "options": {"n_startup_trials": 2, "multivariate": True, "group": True}},
    ),
    "tpe of one": job(
        "noted",
        trials=12,
        sampler={"name": "TPESampler", "options": {"n_startup_trials": 2, "constant_liar": False}},
    ),
    "asked for twice": job("asks_twice", trials=12, sampler={"name": "TPESampler", "options": {"n_startup_trials": 2}}),
    "wilcoxon": job(
        "rates",
        trials=10,
        sampler={"name": "TPESampler", "options": {"n_startup_trials": 2, "multivariate": True}},
        pruner={"name": "WilcoxonPruner", "options": {}, "patience": None},
    ),
    "halving": job(
        "rates",
        trials=12,
        pruner={
            "name": "SuccessiveHalvingPruner",
            "options": {"min_resource": 1, "reduction_factor": 2},
            "patience": None,
        },
    ),
    "hyperband": job(
        "rates",
        trials=12,
        pruner={"name": "HyperbandPruner", "options": {"min_resource": 1, "max_resource": 4}, "patience": None},
    ),
    "genetic": job("noted", trials=12, sampler={"name": "NSGAIISampler", "options": {"population_size": 3}}),
    "sequence": job("rates", trials=8, sampler={"name": "QMCSampler"}),
    "evolution": job("many_costs", trials=9, sampler={"name": "CmaEsSampler", "options": {"n_startup_trials": 2}}),
}
QUICK = ("random", "enqueued", "median", "grid", "lists", "tpe", "tpe of one", "asked for twice", "wilcoxon")
"""Of which nothing is asked again."""
MILESTONES = (1, 2, 4)
ENDS = [*[TrialState.COMPLETE] * 3, TrialState.FAILED, TrialState.DIVERGED]


@dataclass(frozen=True)
class Told:
    """Something that was said to or by the proposals."""

    what: str
    number: int
    more: Any


def lived(proposals: Proposals, *, seed: int) -> list[Told]:
    """Two or three trials at a time are asked for, report, and end, in random order, until there are no more."""
    chance, told, running, more = random.Random(seed), list[Told](), dict[int, int](), True
    while more or running:
        if more and (not running or (len(running) < 3 and chance.random() < 0.4)):
            asked = proposals.ask()
            if isinstance(asked, Impossible):
                told.append(Told("refused", asked.number, asked))
            elif asked is not None:
                told.append(Told("asked", asked.number, asked))
                running[asked.number] = 0
            more = asked is not None
            continue
        number = chance.choice(sorted(running))
        milestone = MILESTONES[running[number]]
        value = chance.choice([chance.random(), chance.random(), math.nan])
        pruned = proposals.decide(number, value, milestone, total=MILESTONES[-1])
        told.append(Told("point", number, (value, milestone, pruned)))
        running[number] += 1
        if pruned or running[number] == len(MILESTONES) or chance.random() < 0.1:
            state = TrialState.PRUNED if pruned else chance.choice(ENDS)
            value = chance.choice([chance.random(), math.inf, math.nan])
            proposals.tell(number, state, value)
            told.append(Told("end", number, (state, value)))
            del running[number]
    return told


def replay(proposals: Proposals, told: list[Told]) -> None:
    """As a resume does."""
    for one in told:
        if one.what in ("asked", "refused"):
            proposals.replay(one.more.params, one.more.draws)
        elif one.what == "point":
            value, milestone, _ = one.more
            proposals.decide(one.number, value, milestone, total=MILESTONES[-1])
        else:
            proposals.tell(one.number, *one.more)
    proposals.settle()


def held(study: Any) -> list[Any]:
    """All that a study holds but the times of day, and what TPE notes of a trial for as long as it runs."""
    return [
        (
            trial.number,
            trial.state,
            trial.values,
            trial.params,
            [type(value) for value in trial.params.values()],
            trial.distributions,
            trial.intermediate_values,
            trial.user_attrs,
            {name: value for name, value in trial.system_attrs.items() if not name.startswith("tpe:")},
        )
        for trial in study.get_trials(deepcopy=False)
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of values that are not a number
@pytest.mark.parametrize("name", SWEEPS)
def test_a_study_that_is_put_back_is_the_one_that_was_and_asks_the_same(name, tmp_path):
    of = SWEEPS[name]
    told = lived(Proposals(of, name="s"), seed=1)
    for cut in (*range(0, len(told), 9), len(told)):
        asked_again, put_back = Proposals(of, name="s"), Proposals(of, tmp_path / "study.log", name="s")
        asked_again._keeps_count = True
        replay(asked_again, told[:cut])
        replay(put_back, told[:cut])
        assert held(stored_study(tmp_path / "study.log", "s")) == held(put_back._study) == held(asked_again._study), cut
        assert lived(put_back, seed=cut) == lived(asked_again, seed=cut), cut
        assert held(put_back._study) == held(asked_again._study), cut
    assert put_back._keeps_count == (name not in (*QUICK, "repeats", "impossible"))


@pytest.mark.parametrize("name", QUICK)
def test_nothing_is_drawn_for_it(name, monkeypatch):
    told = lived(Proposals(SWEEPS[name]), seed=1)
    proposals = Proposals(SWEEPS[name])
    with monkeypatch.context() as patch:
        patch.setattr("optuna.study.Study.ask", None)
        patch.setattr("optuna.study.Study.tell", None)
        replay(proposals, told)
    assert len(proposals._study.trials) == sum(one.what == "asked" for one in told)


def test_what_is_asked_for_twice_keeps_its_first_range():
    live, put_back = Proposals(SWEEPS["asked for twice"]), Proposals(SWEEPS["asked for twice"])
    replay(put_back, lived(live, seed=1))
    assert held(put_back._study) == held(live._study)
    assert {trial.distributions["lr"].high for trial in live._study.trials} == {0.1}
    assert {trial.params["passes"] > 2 for trial in live._study.trials} == {True, False}


def test_a_space_whose_choices_are_others_now_does_not_get_into_the_study(monkeypatch):
    of = job("lists", trials=4)
    proposals = Proposals(of)
    proposals.replay({"widths": [2]}, 1)
    monkeypatch.setattr(
        user_spaces, "lists", lambda trial: user_spaces.TINY | {"widths": trial.suggest_categorical("widths", [[3]])}
    )
    assert isinstance(proposals.replay({"widths": [3]}, 1), Impossible)
