"""What a person sees: the bar of long work, tables, and lines about plans, results and endings."""

import dataclasses
import io
import math
from datetime import datetime

import numpy as np
import pytest
from rich.console import Console

from jobs.cli.display import choice, progress, tables, watching
from jobs.cli.display.plan import plan_lines
from jobs.cli.display.results import ending_lines, interval, result_lines
from jobs.cli.promoting import told
from jobs.operations.plan import Plan
from jobs.operations.status import Damaged, Status, Tracking, TrialStatus
from jobs.promotion.seeds import SeedVariance
from jobs.promotion.selection import Choice, Leader
from jobs.promotion.standing import Standing
from jobs.store.intervals import Interval
from jobs.store.scores import FinalResult, Score
from jobs.store.states import SweepKind, TrialState
from jobs.sweep.messages import Progress
from oplstm.episodes.measure import ACCURACY, LOSS
from oplstm.errors import RequestError, WorkError


@pytest.fixture
def seen(monkeypatch):
    """What is written to stderr and in tables."""
    written = io.StringIO()
    monkeypatch.setattr(progress, "stderr", Console(file=written, width=160))
    for module in (tables, choice):
        monkeypatch.setattr(module, "stdout", Console(file=written, width=160))
    return written


PROGRESS = Progress(
    fraction=1.5,
    limit=3,
    asked=2,
    exhausted=False,
    replicates=0,
    replicated=0.0,
    counts={TrialState.COMPLETE: 1, TrialState.DIVERGED: 1, TrialState.RUNNING: 1},
    best=0.12345,
    leader="trial-0000",
    waiting_records=7,
    tracking_error=None,
    failure=None,
)


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal gets."""
    written = io.StringIO()
    monkeypatch.setattr(progress, "stderr", Console(file=written, width=160, force_terminal=True, color_system=None))
    return written


ERASED = "\x1b[1A\x1b[2K"
"""One line up, and that line cleared."""


def test_the_bar_counts_runs_and_names_the_best(terminal):
    with progress.progress_bar("[demo]") as show:
        show(PROGRESS)
    assert "[demo]" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert "2/3 runs, best 0.1235, 1 diverged" in terminal.getvalue()
    assert "left" not in terminal.getvalue(), "nobody knows how long"


def test_an_exhausted_space_ends_the_bar_early_and_a_waiting_server_is_said(terminal):
    last = {"exhausted": True, "fraction": 2.0, "best": None, "tracking_error": "refused"}
    with progress.progress_bar("demo") as show:
        show(dataclasses.replace(PROGRESS, **last))
    assert "100%" in terminal.getvalue()
    assert "2/2 runs, 1 diverged, MLflow waits (7 records)" in terminal.getvalue()


def test_no_bar_stays_behind_when_nothing_was_started(terminal):
    with pytest.raises(RequestError), progress.progress_bar("demo"):
        raise RequestError("wrong")
    assert terminal.getvalue().endswith(ERASED)
    with pytest.raises(WorkError), progress.progress_bar("demo"):
        raise WorkError("broken")
    assert not terminal.getvalue().endswith(ERASED)


def test_off_a_terminal_a_line_comes_every_half_minute_and_at_every_tenth(seen):
    now, told = 100.0, []

    def at(seconds, **changes):
        nonlocal now
        now = 100.0 + seconds
        show(dataclasses.replace(PROGRESS, limit=100, **changes))
        told.append(len(seen.getvalue().splitlines()))

    with progress.plain_lines("[demo]", lambda: now) as show:
        at(0, fraction=2.0, best=None, counts={})
        at(10, fraction=5.0)  # too early
        at(31, fraction=6.0)
        at(40, fraction=12.0)  # a tenth
        at(41, fraction=13.0, lines=("pack-0000 is tried again",))
        at(60, fraction=100.0, lines=("pack-0000 is tried again",))
    assert told == [1, 1, 2, 3, 4, 5]
    assert seen.getvalue().splitlines() == [
        "[demo]: 2%, 0/100 runs",
        "[demo]: 6%, 2/100 runs, best 0.1235, 1 diverged, 12 min left",
        "[demo]: 12%, 2/100 runs, best 0.1235, 1 diverged, 6 min left",
        "[demo]: pack-0000 is tried again",
        "[demo]: 100%, 2/100 runs, best 0.1235, 1 diverged",
    ]


def test_off_a_terminal_nothing_is_said_of_what_was_not_started_nor_of_a_whole_that_nobody_knows(seen):
    with pytest.raises(RequestError), progress.progress_bar("demo"):
        raise RequestError("wrong")
    assert seen.getvalue() == ""
    with progress.plain_lines("demo", lambda: 0.0) as show:
        show(dataclasses.replace(PROGRESS, limit=None))
    assert seen.getvalue() == "demo: 2/? runs, best 0.1235, 1 diverged\n"


def test_a_plan_in_words():
    lines = plan_lines(Plan(trials=6, signatures=2, packs=3, pack_sizes=None, cpu_hours=0.5, disk_bytes=3 << 20))
    assert [line.split() for line in lines[:3]] == [["trials", "6"], ["signatures", "2"], ["packs", "3"]]
    assert lines[3] == "time        about 30 min on one core, without validation and pruning"
    assert lines[4].endswith("about 3.0 MiB")
    for hours, words in ((0.01, "36 s"), (3.0, "3.0 h"), (None, "unknown")):
        assert words in plan_lines(Plan(1, 1, 1, None, hours, 0))[3]


def test_intervals():
    assert interval(Interval(0.04061, 0.00231)) == "0.0406 ± 0.0023"
    assert interval(Interval(0.5, math.nan)) == "0.5000"


def loss(*score):
    return FinalResult("loss", Score(*score, 6_000), {})


def test_a_result_says_which_claim_each_interval_makes():
    lines = result_lines("demo-final", loss(0.0406, 0.0023, 0.0249, (0.0298, 0.0496, 0.0425)))
    assert lines == [
        "demo-final: test MSE 0.0406",
        "  ± 0.0023 (95% over 6,000 test tasks: about these trained weights)",
        "  ± 0.0249 (95% over 3 seeds: about the configuration)",
        "  seeds: 0.0298  0.0496  0.0425",
    ]
    assert len(result_lines("one", loss(0.04, 0.002, math.nan, (0.04,)))) == 3


def test_a_choice_shows_what_was_picked_and_what_was_tied(seen):
    one = Interval(0.1, 0.01)
    stand = tuple(
        Standing(f"trial-{number:04d}", 3, score=one, behind=one, weights_tied=not number, tied=number < 2)
        for number in range(3)
    )
    leaders = tuple(Leader(standing, score_a=one, over_seeds=one, seeds=(0.1, 0.2, 0.3)) for standing in stand)
    spread = SeedVariance(np.asarray(0.0004), np.asarray(5.0), "replicates")
    made = Choice("trial-0001", leaders, stand, spread=spread, forecast=one, score_b=Interval(0.2, 0.02))
    choice.show_choice(made, LOSS)
    rows = [line for line in seen.getvalue().splitlines() if "trial-" in line]
    assert ["tied" in rows[0], "picked" in rows[1], "tied" in rows[2]] == [True, True, False]
    text = " ".join(seen.getvalue().split())
    assert "trial-0001 on block B, which picked nothing: 0.2000 ± 0.0200" in text
    assert choice.choice_lines(made, LOSS) == [
        "1 of 3 trained weights are tied with the best (95%, over tasks)",
        "standard deviation over seeds: 0.0200 (replicates of this sweep, 5 degrees of freedom)",
        "2 of 3 configurations may be as good as the picked one (95%, over tasks and seeds): trial-0000, trial-0001",
        "forecast of a final run's loss, with the sweep's budget: 0.1000 ± 0.0100",
    ]
    unknown = dataclasses.replace(made, spread=None, forecast=None)
    assert "is unknown" in choice.choice_lines(unknown, LOSS)[1]
    seeds = ((0.1, 0.9, 0.9, 0.9), (0.1, 0.3, 0.4, 0.5), (0.1, 0.3, 0.4, 0.5))  # of accuracies
    more = tuple(dataclasses.replace(one, seeds=own) for one, own in zip(leaders, seeds, strict=True))
    replicated = dataclasses.replace(made, leaders=more)
    assert choice.choice_lines(replicated, ACCURACY)[3] == (
        "with one seed each, the best of 3 leaders wins 100 % of sweeps; a winner is worse by 0.0000 than the best, "
        "and by 0.0000 than it seems"
    )
    assert [told(made.event(), measure)["measure"] for measure in (LOSS, ACCURACY)] == ["loss", "accuracy"]
    alone = told(replicated.event(), ACCURACY)["one_seed_each"]
    assert (alone["configurations"], alone["seeds"], alone["best_wins"]) == (3, 3, 1.0)
    assert told(made.event(), LOSS)["one_seed_each"] is None
    for best, words in (("trial-0000", "trial-0000 is the best"), ("trial-0001", "it is the best")):
        said = choice.choice_lines(dataclasses.replace(made, instead_of=best), LOSS)[0]
        assert said == f"trial-0001 was chosen by hand, and not by its score; on block A {words}"


TRIAL = TrialStatus(
    name="trial-0000",
    state=TrialState.COMPLETE,
    fraction=1.0,
    best=0.5,
    params={"kind": "[red]", "lr": 0.1234567},
    note="",
    placed=True,
)
SWEEP = Status(
    name="s",
    kind=SweepKind.SWEEP,
    state="complete",
    counts={TrialState.COMPLETE: 1},
    best=0.5,
    leader="trial-0000",
    promoted=None,
    folder="/home/sweeps/s",
    trials=(TRIAL,),
    replicates=(),
    tracking=Tracking(waiting=0, silent_since=None, reason=None, refused=0, last_refusal=None),
)


def test_parameters_are_shown_as_they_are(seen):
    tables.show_trials([TRIAL])
    assert "kind=[red]  lr=0.1235" in seen.getvalue()


def test_a_damaged_sweep_stands_among_the_others_with_its_problem_below(seen):
    tables.show_statuses([SWEEP, Damaged("[b]", "no header of [a] sweep")])
    *table, problem = seen.getvalue().splitlines()
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in table if line.startswith("│")]
    assert cells == [
        ["s", "sweep", "complete", "1 complete", "0.5000", "trial-0000"],
        ["[b]", "", "damaged", "", "", ""],
    ]
    assert problem == "[b]: no header of [a] sweep"


SINCE = datetime(2026, 11, 28, 0, 51, 2).timestamp()
WAITS = [
    ({"waiting": 7}, "running", []),
    ({"waiting": 7}, "stopped", ["s: 7 records wait for MLflow: oplstm doctor s ships them"]),
    (
        {"waiting": 7, "silent_since": SINCE, "reason": "no answer"},
        "running",
        ["s: 7 records wait for MLflow, which has taken nothing since 2026-11-28 00:51:02: no answer"],
    ),
    (
        {"refused": 3, "last_refusal": "id/trial-0000 metric: too long"},
        "complete",
        ["s: 3 records were refused by MLflow or deleted there, the last id/trial-0000 metric: too long"],
    ),
]


@pytest.mark.parametrize(("changes", "state", "lines"), WAITS)
def test_what_mlflow_does_not_have_stands_below_the_table(changes, state, lines, seen):
    tracking = dataclasses.replace(SWEEP.tracking, **changes)
    tables.show_statuses([dataclasses.replace(SWEEP, state=state, tracking=tracking)])
    assert [line for line in seen.getvalue().splitlines() if line.startswith("s: ")] == lines


def test_off_a_terminal_what_is_watched_is_a_line_at_every_change_and_every_half_minute(seen):
    now, begun = 0.0, dataclasses.replace(SWEEP, state="running", counts={TrialState.RUNNING: 1}, best=None)

    def looks():
        nonlocal now
        for seconds, status in ((0, begun), (10, begun), (31, begun), (32, SWEEP)):
            now = seconds
            yield status

    assert watching.follow(looks(), Console(file=seen, width=40), lambda: now) is SWEEP
    assert seen.getvalue().splitlines() == [
        "s running: 1 running",
        "s running: 1 running",
        "s complete: 1 complete, best validation 0.5000 (trial-0000)",
    ]


def test_on_a_terminal_what_is_watched_is_one_display(terminal):
    many = dataclasses.replace(SWEEP, trials=(TRIAL,) * 100)
    console = Console(file=terminal, width=160, height=20, force_terminal=True, color_system=None)
    assert watching.follow(iter([SWEEP, many]), console, lambda: 0.0) is many
    assert terminal.getvalue().count("trial-0000") == 2 + 2 * (1 + 8), "the leaders that fit on the screen"
    assert "\x1b[1A" in terminal.getvalue()


LOST = dataclasses.replace(TRIAL, name="trial-0001", state=TrialState.FAILED, note="it died")
ENDINGS = {
    "complete": (
        {},
        "s complete: 1 complete, best validation 0.5000 (trial-0000)",
        "look at it with: oplstm ui; promote the best with: oplstm promote s",
    ),
    "a training": ({"kind": SweepKind.TRAIN}, "s complete: 1 complete, best validation 0.5000 (trial-0000)"),
    "stopped": (
        {"state": "stopped", "counts": {TrialState.STOPPED: 1}, "best": None, "leader": None},
        "s stopped: 1 stopped",
        "go on with: oplstm resume s",
    ),
    "incomplete": (
        {"state": "incomplete", "trials": (TRIAL, LOST)},
        "s incomplete: 1 complete, best validation 0.5000 (trial-0000)",
        "trial-0001 was lost: it died",
        "why: /home/sweeps/s/tune.log; what is left can be promoted",
        "train what failed again with: oplstm rerun-failed s",
    ),
    "nothing completed": (
        {"counts": {TrialState.DIVERGED: 2}, "best": None, "leader": None},
        "s complete: 2 diverged",
        "no run completed; oplstm status s says why",
    ),
}


@pytest.mark.parametrize("kind", ENDINGS)
def test_an_ending_says_what_became_of_it_and_what_to_do_next(kind):
    changes, *lines = ENDINGS[kind]
    assert ending_lines(dataclasses.replace(SWEEP, **changes), None) == lines


def test_the_ending_of_a_final_run_has_its_result():
    result = loss(0.04, 0.002, math.nan, (0.04,))
    _, *rest = ending_lines(dataclasses.replace(SWEEP, kind=SweepKind.FINAL), result)
    assert rest == result_lines("s", result)
