"""Each comparison can fail: of a result with one thing changed, that thing is named."""

from dataclasses import replace

import pytest

from tests.chaos.comparison import compare
from tests.chaos.findings import Findings, FoundRun, FoundTrial

TRIAL, WHOLE = ("random", "trial-0000"), ("random", "")
SOUND = Findings(
    trials={
        TRIAL: FoundTrial(
            params={"lr": 0.1},
            points=((0, {"val/loss": 4.0}, False), (75, {"val/loss": 2.0}, False)),
            ends=(("complete", 150, 75, {"test/loss": 2.5}),),
            files={"model.safetensors": "00ff"},
        )
    },
    runs={
        TRIAL: [
            FoundRun(
                "FINISHED",
                "complete",
                {"lr": "0.1"},
                {"val/loss": ((0, 4.0), (75, 2.0))},
                ("model/model.safetensors", "registered_model-00ff"),
            )
        ],
        WHOLE: [FoundRun("FINISHED", "complete", {}, {}, ())],
    },
    promotion={"picked": "trial-0000"},
    table={"cells": [{"paper": {"shots": 5}, "ours": {"value": 0.0406}}]},
)


def with_trial(**changes: object) -> Findings:
    return replace(SOUND, trials={TRIAL: replace(SOUND.trials[TRIAL], **changes)})


def with_run(**changes: object) -> Findings:
    return replace(SOUND, runs={**SOUND.runs, TRIAL: [replace(SOUND.runs[TRIAL][0], **changes)]})


def with_runs(*statuses: str) -> Findings:
    return replace(
        SOUND, runs={**SOUND.runs, TRIAL: [replace(SOUND.runs[TRIAL][0], status=status) for status in statuses]}
    )


POINTS = SOUND.trials[TRIAL].points
ROWS = SOUND.runs[TRIAL][0].rows["val/loss"]


def test_the_same_end_is_no_difference():
    compared = compare(SOUND, SOUND)
    assert (compared.expected, compared.found, compared.doubled, compared.lost, compared.differences) == (
        4,
        4,
        0,
        0,
        (),
    )


@pytest.mark.parametrize(
    ("doctored", "doubled", "lost", "named"),
    [
        (with_trial(points=(*POINTS, POINTS[1])), 1, 0, "random/trial-0000, points: 3 entries and should be 2"),
        (with_trial(points=POINTS[:1]), 0, 1, "random/trial-0000, points: 1 entries and should be 2"),
        (with_run(rows={"val/loss": (*ROWS, (75, 2.0))}), 1, 0, "rows val/loss: 3 entries and should be 2"),
        (with_run(rows={"val/loss": ROWS[:1]}), 0, 1, "rows val/loss: 1 entries and should be 2"),
        (with_run(rows={}), 0, 2, "rows val/loss: None"),
        (with_run(rows={"val/loss": (ROWS[0], (75, 2.5))}), 0, 0, "entry 1 is (75, 2.5) and should be (75, 2.0)"),
        (with_runs("RUNNING"), 0, 0, "it is RUNNING"),
        (with_runs("FINISHED", "RUNNING"), 2, 0, "2 runs for one trial: FINISHED, RUNNING"),
        (with_run(artifacts=()), 0, 0, "artifacts: 0 entries and should be 2"),
        (with_run(state="failed"), 0, 0, "state: 'failed' and should be 'complete'"),
        (with_trial(files={"model.safetensors": "00fe"}), 0, 0, "files model.safetensors: '00fe'"),
        (with_trial(files={}), 0, 0, "files model.safetensors: None"),
        (with_trial(params={"lr": 0.2}), 0, 0, "params lr: 0.2 and should be 0.1"),
        (with_trial(ends=()), 0, 0, "ends: 0 entries and should be 1"),
        (with_trial(ends=SOUND.trials[TRIAL].ends * 2), 0, 0, "ends: 2 entries and should be 1"),
        (replace(SOUND, trials={}), 0, 2, "trial random/trial-0000 is missing"),
        (replace(SOUND, trials={**SOUND.trials, WHOLE: SOUND.trials[TRIAL]}), 0, 0, "trial random/ should not be"),
        (replace(SOUND, runs={TRIAL: SOUND.runs[TRIAL]}), 0, 0, "run random/ is missing"),
        (replace(SOUND, promotion={"picked": "trial-0001"}), 0, 0, "promotion: {'picked': 'trial-0001'}"),
        (replace(SOUND, table={"cells": [{"paper": {"shots": 5}, "ours": None}]}), 0, 0, "table: None and should be"),
    ],
)
def test_what_was_changed_is_named(doctored: Findings, doubled: int, lost: int, named: str):
    compared = compare(doctored, SOUND)
    assert (compared.doubled, compared.lost) == (doubled, lost)
    assert any(named in line for line in compared.differences), compared.differences


def test_numbers_may_differ_by_rounding_only_where_the_company_was_another():
    rounded = 2.0 * (1 + 1e-6)
    nearly = {"points": (POINTS[0], (75, {"val/loss": rounded}, False)), "files": {"model.safetensors": "00fe"}}
    company = (("trial-0000", 0), ("trial-0001", 75))
    artifacts = ("model/model.safetensors", "registered_model-00fe")
    row = with_run(rows={"val/loss": (ROWS[0], (75, rounded))}, artifacts=artifacts).runs
    compared = compare(replace(with_trial(**nearly, mates=company), runs=row), SOUND)
    assert (compared.differences, compared.to_the_bit, compared.within_rounding) == ((), 0, 1)
    assert len(compare(replace(with_trial(**nearly), runs=row), SOUND).differences) == 4
    for changes in ({"points": (POINTS[0], (75, {"val/loss": 2.01}, False))}, {"files": {}}, {"ends": ()}):
        assert compare(with_trial(mates=company, **changes), SOUND).differences
