"""Optuna's study is compared with the journal: nothing is wrong with what a coordinator wrote, and all else is said."""

import json
import shutil

import pytest

from jobs.operations.study_check import _compared, _Wanted, study_problems
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.study_file import StudyFile, stored_study
from jobs.sweep.proposals import Proposals
from tests.conftest import ROOT
from tests.jobs.formula_training import finish, job, new_sweep, opened, state_of, train, training
from tests.jobs.sweep.test_coordinator_stories import STORIES

pytestmark = [
    pytest.mark.usefixtures("no_waiting_for_the_disk"),
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]

SWEEPS = STORIES | {
    "one that is impossible": job("raises_at_one", trials=6),
    "one that is infeasible": job("infeasible_at_one", trials=None, sampler={"name": "grid"}),
    "lists": job("lists", trials=None, sampler={"name": "grid"}),
    "one that is no number": job("not_a_number_at_one", trials=6),
    "enqueued": job("six_cells", enqueue=[{"hidden": 2, "lr": 0.1}, {"hidden": 3, "lr": 0.1}], trials=6),
    "without a space": job(None, fixed={"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.1}, trials=2),
}


def problems(folder):
    return list(study_problems(folder, Header.read(folder), state_of(folder)))


@pytest.mark.parametrize("name", SWEEPS)
def test_nothing_is_wrong_with_what_a_coordinator_wrote(name, tmp_path):
    """At any time, and after a kill and a resume."""
    folder = new_sweep(tmp_path / "s", SWEEPS[name])
    for step in range(3):
        coordinator = opened(folder)
        assert problems(folder) == []
        if (assignment := coordinator.next_pack()) is not None:
            for _ in zip(range(step), training(coordinator, assignment), strict=False):
                assert problems(folder) == []
        coordinator.close(flush_seconds=0)
    finish(folder)
    assert problems(folder) == []


def test_a_point_that_is_added_to_a_space_that_is_used_up_is_found_behind_what_was_drawn_in_vain(tmp_path):
    whole = job("six_cells", trials=200, sampler={"name": "RandomSampler"})
    proposals, wanted = Proposals(whole, tmp_path / "study.log", name="s"), list[_Wanted]()
    while (asked := proposals.ask()) is not None:
        wanted.append(_Wanted(asked.params))
    assert len(wanted) == 6
    wanted.append(_Wanted(proposals.add(wanted[3].params, warm=True).params))
    found = stored_study(tmp_path / "study.log", "s").trials
    assert len(found) > 7
    assert list(_compared(whole, wanted, found)) == []
    wanted[6].state = "FAIL"
    assert list(_compared(whole, wanted, found)) == ["it holds more trials than the 7 of the journal"]


@pytest.mark.parametrize(
    "place",
    [
        "version_1/sweeps/ended",
        "version_1/sweeps/stopped-sweep",
        "version_1/sweeps/stopped-train",
        "store/version_3/old",
    ],
)
def test_of_an_older_version_too(place, tmp_path):
    old = ROOT / "tests" / "jobs" / place
    folder = SweepFolder(shutil.copytree(old, tmp_path / old.name))
    assert problems(folder) == []
    lines = folder.study.read_bytes().splitlines(keepends=True)
    folder.study.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[2:]]))
    assert problems(folder) == [f"{folder.study}, line 3: it is none of Optuna's"]


@pytest.mark.parametrize(
    ("space", "name", "value", "left", "cells"),
    [("six_cells", "lr", 0.3, ("hidden",), 2), ("clipped", "grad_clip", None, ("hidden", "lr"), 6)],
)
@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "grid"])
def test_a_sweep_that_searched_along_what_its_job_pins_goes_on_without(
    sampler, space, name, value, left, cells, tmp_path, monkeypatch
):
    """As versions did that let ``fixed`` win over the space afterwards only, or where its value is of another kind."""
    folder = new_sweep(tmp_path / "s", job(space, sampler={"name": sampler}, fixed={name: value}, trials=None))
    with monkeypatch.context() as old:
        old.setattr("jobs.jobfile.resolving.pinned", lambda space, values: space)
        coordinator = opened(folder)
        train(coordinator, coordinator.next_pack())
        coordinator.close(flush_seconds=0)
    finish(folder)
    first, *others = state_of(folder).trials.values()
    assert (set(first.params), {tuple(one.params) for one in others}) == ({*left, name}, {left})
    assert {one.run[name] for one in (first, *others)} == {value}
    assert len({tuple(one.params[key] for key in left) for one in (first, *others)}) == cells == len(others) + 1
    assert problems(folder) == []


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """Two trials that have ended, and one in the middle."""
    folder = new_sweep(tmp_path_factory.mktemp("ended") / "s", job("rates", trials=3))
    coordinator = opened(folder)
    for _ in range(2):
        train(coordinator, coordinator.next_pack())
    for _ in zip(range(3), training(coordinator, coordinator.next_pack()), strict=False):
        pass
    coordinator.close(flush_seconds=0)
    assert problems(folder) == []
    return folder


def entry(op_code, **keys):
    """Whether an entry of Optuna's has this code and these values."""
    return lambda log: log["op_code"] == op_code and all(log.get(key) == value for key, value in keys.items())


def changed(which, **keys):
    return lambda logs: [log | keys if which(log) else log for log in logs]


def without(which):
    return lambda logs: [log for log in logs if not which(log)]


STATE, POINT, PARAM, TRIAL = 6, 7, 5, 4
HERE = "trial-0001, which is number 1 there,"
DAMAGES = {
    "a value": (changed(entry(STATE, trial_id=1, state=1), values=[7.5]), f"{HERE} has the value [7.5] and not "),
    "a state": (changed(entry(STATE, trial_id=1, state=1), state=3), f"{HERE} is FAIL and not COMPLETE"),
    "an end": (without(entry(STATE, trial_id=1, state=1)), f"{HERE} is RUNNING and not COMPLETE"),
    "a point": (without(entry(POINT, trial_id=1, step=20)), f"{HERE} has other points than the journal: 3 for 4"),
    "a loss": (
        changed(entry(POINT, trial_id=1, step=20), intermediate_value=7.5),
        f"{HERE} has other points than the ",
    ),
    "a parameter": (changed(entry(PARAM, trial_id=1), param_value_internal=0.07), f"{HERE} is {{'lr': 0.07}} and not "),
    "the end": (lambda logs: logs[: logs.index(next(filter(entry(STATE, trial_id=1), logs)))], f"{HERE} is "),
    "the last trial": (without(lambda log: log.get("trial_id") == 2 or log == {}), "trial-0002, which is number 2"),
    "one too many": (lambda logs: [*logs, next(filter(entry(TRIAL), logs))], "it holds more trials than the 3 of the "),
    "another study": (changed(entry(0), study_name="other"), "Optuna cannot read it: KeyError"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_else_the_study_says_is_one_line(damage, ended, tmp_path):
    """Its checksums are right all the same."""
    folder = SweepFolder(shutil.copytree(ended.path, tmp_path / "s"))
    change, says = DAMAGES[damage]
    logs = [json.loads(line) for line in folder.study.read_bytes().splitlines()]
    for log in logs:
        del log["crc32"]
    StudyFile(folder.study).append_logs(change(logs))
    first, *_ = problems(folder)
    assert first.startswith(f"{folder.study}: {says}")
    assert "\n" not in first
