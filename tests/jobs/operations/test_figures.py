"""Figures of sweeps: what they are made of, and what is said beside them."""

import json
import math
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

from jobs.operations.figures import draw_curves, draw_similarity, draw_tuning
from jobs.operations.tuning import Tried, compared, notes, shared_hours
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.store.trial import PackState, Trial
from oplstm.episodes.measure import ACCURACY, LOSS
from oplstm.errors import RequestError
from tests.jobs.formula_training import BUDGET, finish, job, new_sweep, state_of
from tests.journal_lines import groups_in, resealed
from tracking.results.similarity_figure import METRICS, OverSeeds, similarity_figure
from tracking.results.sweep_figures import Learned, Tuned, curves_figure, tuning_figure
from tracking.results.tuning import tuning_curve

RUN = {"benchmark": {"name": "sine"}, "budget": {"tasks": 40, "updates": None}}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Of 30 trials."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda fd: None)
        folder = new_sweep(tmp_path_factory.mktemp("sweeps") / "swept", job(trials=30))
        finish(folder)
    return folder


@pytest.mark.slow
def test_a_tuning_figure_is_the_same_twice(sweep, tmp_path):
    for form in ("svg", "png"):
        first, second = (tmp_path / f"{name}.{form}" for name in ("first", "second"))
        report = draw_tuning([sweep], first, effort="trials")
        assert draw_tuning([sweep], second, effort="trials") == report
        assert first.read_bytes() == second.read_bytes()
    text = (tmp_path / "first.svg").read_text()
    assert text.startswith("<?xml") and "<dc:date>" not in text
    [curve] = report.curves
    assert (curve["name"], curve["trials"], len(curve["typical"])) == ("swept", 30, 30)
    assert (report.comparisons, report.notes) == ([], [])


@pytest.mark.slow
def test_learning_curves_are_those_of_the_leaders(sweep, tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    drawn = draw_curves(sweep, first, leaders=3)
    assert draw_curves(sweep, second, leaders=3) == drawn
    assert drawn == [t.name for t in sorted(state_of(sweep).trials.values(), key=lambda trial: trial.cost)[:3]]
    assert first.read_bytes() == second.read_bytes()
    assert draw_curves(sweep, first, leaders=2) == drawn[:2]
    assert first.read_bytes() != second.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("figure.pdf", r"a figure is written as \.png or \.svg, got '\.pdf'"),
        ("nowhere/figure.png", "there is no folder"),
    ],
)
def test_where_a_figure_cannot_be_written_nothing_is(sweep, tmp_path, path, line):
    for draw in (lambda: draw_tuning([sweep], tmp_path / path, effort="trials"),
                 lambda: draw_curves(sweep, tmp_path / path, leaders=3)):  # fmt: skip
        with pytest.raises(RequestError, match=line):
            draw()
    assert list(tmp_path.iterdir()) == []


def test_sweeps_without_what_it_takes_are_refused(sweep, tmp_path):
    empty = new_sweep(tmp_path / "empty", job())
    with pytest.raises(RequestError, match="empty has no trial that has ended with a score"):
        draw_tuning([empty], tmp_path / "a.png", effort="trials")
    final = new_sweep(tmp_path / "final", job(None), kind=SweepKind.FINAL)
    with pytest.raises(RequestError, match="final is a final run, which tunes nothing; give sweeps"):
        draw_tuning([final], tmp_path / "a.png", effort="trials")
    with pytest.raises(RequestError, match="empty has no trial with a validation point yet"):
        draw_curves(empty, tmp_path / "a.png", leaders=3)
    with pytest.raises(RequestError, match="swept has no training times"):
        draw_tuning([sweep], tmp_path / "a.png", effort="hours")


def tried(name, costs, *, hours=None, counts=None, **keys):
    state = SimpleNamespace(counts=lambda: Counter(counts or {}))
    return Tried(SimpleNamespace(name=name, job=job(**keys)), state, list(costs), hours)


RNG = np.random.default_rng(0)
GOOD, BAD = RNG.random(60), 1.5 + RNG.random(60)


def test_which_sweep_is_better_at_equal_effort_is_a_sentence():
    said = compared(tried("good", GOOD), tried("bad", BAD), confidence=0.975)
    assert said.startswith("good is better than bad at 1 to ") and "(of efforts up to 60 trials)" in said
    assert said == compared(tried("bad", BAD), tried("good", GOOD), confidence=0.975)
    same = compared(tried("a", GOOD), tried("b", GOOD[:50]), confidence=0.975)
    assert same == "a and b cannot be told apart at equal effort, up to 50 trials: their bands overlap"
    other = tried("b", BAD, benchmark={"name": "sine", "shots": 10})
    said = compared(tried("a", GOOD), other, confidence=0.975)
    assert said == "a and b are not compared: their tasks differ in shots"


def test_a_trial_that_takes_long_counts_for_more():
    slow, quick = tried("slow", GOOD, hours=1.0), tried("quick", BAD, hours=0.5)
    said = compared(slow, quick, confidence=0.975)
    assert said.startswith("slow is better than quick at 1 to ") and "up to 30 hours of training" in said
    nearly = tried("nearly", GOOD + 0.1, hours=0.02)
    assert compared(slow, nearly, confidence=0.975).startswith("nearly is better than slow at 1")
    long = tried("long", GOOD, hours=40.0)
    assert compared(long, quick, confidence=0.975).endswith("a trial of one takes longer than all of the other")


def test_the_hours_of_a_pack_are_shared_by_its_runs():
    def trial(number, updates, joined=None):
        points = [{"update": 0.0, "tasks_seen": 0.0}]
        points += [{"update": u, "tasks_seen": 4 * u, "train/tasks_per_second": 4 / 360} for u in updates]
        return Trial(number, {}, RUN, LOSS, pack="pack-0000", joined=joined, points=points)

    pack = PackState("pack-0000", [trial(0, [10.0, 20.0]), trial(1, [10.0]), trial(2, [10.0], joined=10)])
    assert dict(shared_hours(pack)) == pytest.approx({"trial-0000": 1.0, "trial-0001": 0.5, "trial-0002": 0.5})


def test_notes_say_where_trials_are_no_plain_draws():
    assert list(notes(tried("n", GOOD))) == []
    grid = tried("n", GOOD, sampler={"name": "grid"}, trials=None)
    [told] = notes(grid)
    assert told == "n: the curve is that of its grid's cells in random order, not in that of their training"
    counts = dict.fromkeys([TrialState.PRUNED, TrialState.FAILED, TrialState.DIVERGED], 2)
    learned = tried("n", GOOD, sampler={"name": "TPESampler"}, enqueue=[{"rate": 0.1}], counts=counts)
    told = " ".join(notes(learned))
    assert "TPESampler learns from trials" in told and "1 enqueued points" in told
    assert "2 diverged trials count as worse than all others" in told
    assert "2 pruned trials count with the best" in told and "2 failed trials are left out" in told


def measured(folder, values):
    """Let the trials of a sweep have measured one metric at their two first points."""
    journal = folder.journal.read_bytes()
    groups, told = groups_in(journal), Counter()
    for record in (record for group in groups for record in group):
        if record.get("event") == "point" and told[record["trial"]] < 2:
            place = int(record["trial"].removeprefix("trial-"))
            record["metrics"]["similarity/gd_cosine"] = values[place][told[record["trial"]]]
            told[record["trial"]] += 1
    lines = [journal.splitlines(keepends=True)[0], *(json.dumps(group).encode() for group in groups)]
    folder.journal.write_bytes(resealed(lines))


def test_figure_6_is_the_mean_over_seeds_with_its_interval(tmp_path, no_waiting_for_the_disk, monkeypatch):
    fixed = {"widths": [4], "lr": 0.02, "meta_batch_size": 2, "passes": 1}
    untested = job(None, fixed=fixed, seeds=3, budget={**BUDGET, "test_tasks": 0})
    run = new_sweep(tmp_path / "run", untested, kind=SweepKind.TRAIN)
    finish(run)
    with pytest.raises(RequestError, match=r"run has not measured .* budget\.analyses \[update_similarity\]"):
        draw_similarity(run, tmp_path / "a.svg")
    measured(run, [(0.1, 0.5), (0.2, 0.5), (0.3, 0.8)])
    drawn = []
    monkeypatch.setattr(
        "tracking.results.similarity_figure.similarity_figure", lambda found, **_: (drawn.append(found), b"")[1]
    )
    assert draw_similarity(run, tmp_path / "a.svg") == ["trial-0000", "trial-0001", "trial-0002"]
    [(metric, shown)] = drawn[0].items()
    assert metric == "similarity/gd_cosine" and shown.means.tolist() == pytest.approx([0.2, 0.6])
    assert shown.half_widths[0] == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)
    of = SweepState.of

    def with_one_that_waits(folder, header):
        state = of(folder, header)
        state.trials[1].points.clear()
        return state

    monkeypatch.setattr("jobs.operations.figures.SweepState.of", with_one_that_waits)
    assert draw_similarity(run, tmp_path / "a.svg") == ["trial-0000", "trial-0002"]
    assert drawn[1][metric].means.tolist() == pytest.approx([0.2, 0.65])


@pytest.mark.slow
def test_figure_6_is_the_same_twice():
    line = OverSeeds(np.array([0.0, 5.0]), np.array([0.1, 0.2]), np.array([0.01, math.nan]))
    pictures = {similarity_figure({METRICS[0]: line}, title="t", form="svg") for _ in range(2)}
    assert len(pictures) == 1


@pytest.mark.integration
@pytest.mark.parametrize("measure", [LOSS, ACCURACY])
def test_whatever_was_found_can_be_drawn(measure):
    sign = measure.cost(1.0)
    for costs in ([sign * 0.5], [math.inf, math.inf], [0.0, sign * 0.2, math.inf], [sign * value for value in GOOD]):
        counts = np.arange(1.0, len(costs) + 1)
        found = [Tuned(str(n), len(costs), tuning_curve(costs, counts), 0.5) for n in range(2)]
        assert tuning_figure(found, measure, confidence=0.95, form="png").startswith(b"\x89PNG")
    for values in ([], [math.nan], [0.0, 0.5], [0.2, 0.1]):
        points = np.asarray(values, dtype=float)
        one = Learned("t", np.arange(float(len(values))), points, np.full(len(values), 0.3))
        assert curves_figure([one], measure, title="t", form="png").startswith(b"\x89PNG")
    assert curves_figure([], measure, title="t", form="png").startswith(b"\x89PNG")
