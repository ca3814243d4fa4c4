"""The experiments behind docs/published.md: that their data are what they are called."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from docs.site import results, tuning_curves
from docs.studies.alphabets import TEST_ALPHABETS, VALIDATION, pair
from docs.studies.five_points import Trained, note, pairs, read
from docs.studies.sweep_record import recorded
from docs.studies.validation_tasks import PROTOCOLS, played
from jobs.store.home import Home
from tests.jobs.formula_training import finish, job, new_sweep
from tracking.results.tuning import tuning_curve

CHARACTERS = [(f"alphabet{a:02d}", f"character{c:02d}") for a in range(50) for c in range(14 + a % 30)]


def test_a_pair_of_splits_differs_in_the_alphabets_of_meta_training_alone():
    seen, unseen = pair(CHARACTERS, 3)
    assert seen["test"] == unseen["test"] and seen["val"] == unseen["val"]
    tested = Counter(alphabet for alphabet, _ in seen["test"])
    assert len(tested) == TEST_ALPHABETS and len(seen["val"]) == VALIDATION
    assert not tested.keys() & {alphabet for alphabet, _ in unseen["train"] + unseen["val"]}
    assert tested.keys() <= {alphabet for alphabet, _ in seen["train"]}
    for splits in (seen, unseen):
        everywhere = [character for part in splits.values() for character in part]
        assert len(everywhere) == len(set(everywhere)) and set(everywhere) <= set(CHARACTERS)
    assert len(seen["train"]) == len(unseen["train"])


def test_each_seed_is_another_pair_and_always_the_same():
    assert pair(CHARACTERS, 1) == pair(CHARACTERS[::-1], 1) != pair(CHARACTERS, 2)


def some_searches(noise, *, common=0.0, seed=0):
    """Values of 3 configurations x 2 seeds x 4 points x 4,000 tasks: true ones, and what tasks add to them."""
    dice = np.random.default_rng(seed)
    true = dice.uniform(0.4, 0.6, (3, 2, 4, 1))
    return true + common * dice.normal(size=4000) + noise * dice.normal(size=(3, 2, 4, 4000))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_whatever_block_is_drawn_a_search_without_noise_finds_the_best(protocol):
    found = played(some_searches(0.0), protocol, block=10, games=50, dice=np.random.default_rng(1))
    assert found.best_trial == 1.0
    assert found.worse == pytest.approx(0, abs=1e-12) == found.flattered


def test_hard_tasks_are_hard_for_all_so_a_common_block_forgives_them():
    def worse(protocol):
        values = some_searches(0.0, common=1.0)
        return played(values, protocol, block=10, games=300, dice=np.random.default_rng(1)).worse

    assert worse("fixed") == pytest.approx(0, abs=1e-12)
    assert 0.001 < worse("redrawn for all") < worse("redrawn for each")


def test_what_noise_picks_is_flattered():
    found = played(some_searches(0.5), "redrawn for each", block=10, games=300, dice=np.random.default_rng(1))
    assert found.flattered > 0.1 and found.worse > 0.01 and found.best_trial < 0.9
    shifted = some_searches(0.5)
    shifted[..., 2000:] += 1  # the truth is of other tasks, which may be harder
    other = played(shifted, "redrawn for each", block=10, games=300, dice=np.random.default_rng(1))
    assert other.flattered == pytest.approx(found.flattered)
    alone = played(some_searches(0.5)[:1], "fixed", block=10, games=300, dice=np.random.default_rng(1))
    assert alone.best_trial == 1.0 and alone.worse > 0.01, "its best point is what its tasks say it is"


def test_pairs_are_those_of_the_same_test_characters():
    def named(name):
        return Trained(name, [0.5], "protonet", {}, 1, "c")

    found = pairs([named("alphabets-01-seen"), named("vinyals"), named("alphabets-00-unseen"),
                   named("alphabets-00-seen"), named("alphabets-02-seen")])  # fmt: skip
    assert [(one.name, other.name) for one, other in found] == [("alphabets-00-unseen", "alphabets-00-seen")]


def test_a_tuning_curve_is_of_the_trials_that_share_a_value(tmp_path, monkeypatch):
    trials = [
        {"best": best, "state": state, "params": {"pool_states": pooled, "passes": 3}}
        for best, state, pooled in ((0.5, "complete", True), (0.1, "diverged", False), (0.2, "pruned", False))
    ]
    (tmp_path / "some.json").write_text(json.dumps({"trials": trials}))
    monkeypatch.setattr(tuning_curves, "SWEEPS", tmp_path)
    drawn = []
    monkeypatch.setattr(tuning_curves, "tuning_figure", lambda found, measure, **_: drawn.extend(found) or b"<svg/>")
    assert tuning_curves.tuning_curves("some", "pool_states").startswith('<img alt="Tuning curves of some by pool_')
    assert [(one.name, one.trials) for one in drawn] == [("false", 2), ("true", 1)], "best first"
    assert [one.curve.typical.tolist() for one in drawn] == [[0.2, 0.2], [0.5]], "one that diverged is the worst"


def test_tuning_curves_hold_together(tmp_path, monkeypatch):
    costs = [place / 40 for place in range(40)]
    trials = [{"best": cost, "state": "complete", "params": {"a": a}} for a in (1, 2) for cost in costs]
    (tmp_path / "some.json").write_text(json.dumps({"trials": trials}))
    monkeypatch.setattr(tuning_curves, "SWEEPS", tmp_path)
    drawn = []
    monkeypatch.setattr(tuning_curves, "tuning_figure", lambda found, measure, **_: drawn.extend(found) or b"<svg/>")
    tuning_curves.tuning_curves("some", "a")
    each = tuning_curve(costs, np.arange(1.0, 41), confidence=0.95**0.5)
    assert [one.curve.high.tolist() for one in drawn] == [each.high.tolist()] * 2, "both bands with 95 %"


def test_trainings_are_noted_beside_those_of_before(tmp_path):
    def trained(name, accuracy):
        return Trained(name, [accuracy], "protonet", {}, 8000, "c")

    path = tmp_path / "points.json"
    note(path, [trained("b", 0.1), trained("c", 0.2)])
    note(path, [trained("a", 0.3), trained("c", 0.4)])
    assert read(path) == [trained("a", 0.3), trained("b", 0.1), trained("c", 0.4)]


def test_what_luck_makes_of_one_configuration(monkeypatch):
    seeds = [SimpleNamespace(metrics={"test/loss": math.exp(-place)}) for place in (1, 2, 3)]
    monkeypatch.setattr(results, "_records", lambda: [SimpleNamespace(parent=SimpleNamespace(name="a"), seeds=seeds)])
    found = [line.split(" | ")[1].rstrip(" |") for line in results.luck("a", "21", "0.1353").splitlines()[2:]]
    best = np.median(np.exp(np.random.default_rng(0).normal(-2, 1, (20_000, 21)).min(1)))
    assert found == ["0.135", "a factor of 2.72 away", f"{best:.3f}", "50 %"]


def test_a_sweep_is_recorded_as_the_site_reads_it(tmp_path, monkeypatch):
    home = Home(tmp_path)
    finish(new_sweep(home.sweeps / "tried", job("rates", trials=4)))
    record = json.loads(json.dumps(recorded(home, "tried", ["oplstm sweep mine.yaml --name tried"])))
    assert (record["commands"], record["job"]["trials"]) == (["oplstm sweep mine.yaml --name tried"], 4)
    assert (record["counts"], record["replicates"]) == ({"complete": 4}, [])
    found = [trial["best"] for trial in record["trials"]]
    assert found == sorted(found) and len(set(found)) == 4
    monkeypatch.setattr(results, "SWEEPS", tmp_path)
    (tmp_path / "tried.json").write_text(json.dumps(record))
    rows = results.trials_of("tried").splitlines()[2:]
    assert [float(row.split("|")[1]) for row in rows] == [float(f"{value:.3g}") for value in found]
