"""Ours, alone and packed, beside the one-task program and beside one run at a time."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from tests.benchmark import images, mixed, sine
from tests.benchmark.comparison import Row, compare
from tests.benchmark.gpu_check.session import Session
from tests.benchmark.measuring import Bench
from tests.benchmark.settings import Setting

RUNS, CPU_RUNS = 64, 8
"""Of a pack: on a CPU the check is only tried."""
SINE = (sine.LSTM, sine.OP_LSTM, sine.MAML)
SECONDS = 2.0
"""For a contender at most."""
MEASURING = 0.3
"""Of a setting's time, spent on steps that are timed: the rest makes the contenders and warms them up."""


def run(session: Session) -> None:
    """A table for sine and one for Omniglot's sizes."""
    bench = session.bench(SECONDS)
    runs = _runs(bench)
    with images.on_noise(bench, "omniglot", session.images) as on_noise:
        omniglot = images.settings("omniglot", images.OMNIGLOT_LEARNERS, images.META_BATCH_SIZE)
        cases = [("5-shot sine", bench, setting) for setting in SINE]
        cases += [("Omniglot's sizes", on_noise, setting) for setting in omniglot]
        for done, (name, place, setting) in enumerate(cases):
            with session.case(f"{name}, {setting.learner}"):
                share = session.share(len(cases) - done + 1)
                rows = timed(replace(session.sized(setting), expected={}), share, place)
                for row in rows:
                    session.row(f"{name}: the one-task program, one run of ours, and {runs} of them", asdict(row))
    with session.case(f"{runs} LSTMs of different shapes"):
        if share := session.share(1):
            for found in mixed.rows(replace(bench, seconds=min(bench.seconds, MEASURING * share / 2)), runs):
                row = {"learner": found["learner"], "contender": f"{found['runs']} {found['packs']}",
                       "seconds": found["seconds"], "over_one_by_one": found["over_one_by_one"]}  # fmt: skip
                session.row("5-shot sine: one meta-update of LSTMs of different shapes", row)


def timed(setting: Setting, share: float, bench: Bench) -> Sequence[Row]:
    """What ``share`` seconds tell of a setting."""
    if not share:
        return [Row(learner=setting.learner, convention=setting.convention, contender="all", note="left out: no time")]
    each = MEASURING * share / (len(setting.baselines) + 2)
    runs = _runs(bench)
    rows = compare(setting, (1, runs), replace(bench, seconds=min(bench.seconds, each)), shares=False)
    for place, row in enumerate(rows):
        if row.contender == "pack of 1" and row.ms_per_update is not None:
            one_by_one = partial(replace, row, contender=f"{runs} one at a time")
            return [*rows[: place + 1], one_by_one(ms_per_update=runs * row.ms_per_update), *rows[place + 1 :]]
    return rows


def _runs(bench: Bench) -> int:
    """Of a pack."""
    return RUNS if bench.on_cuda else CPU_RUNS
