"""What a sweep's journal may hold: each event as version 1 wrote it, and an error that names the line for all else."""

import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from jobs.store.events import (
    Asked,
    Ended,
    Event,
    Exhausted,
    Expired,
    Finished,
    Joined,
    Packed,
    Promoted,
    Refused,
    Replicated,
    Rerun,
    Resumed,
    Sized,
    Split,
    Started,
    Validated,
    decode,
    encode,
    read_events,
)
from jobs.store.extended import Extended
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.intervals import StatedInterval
from jobs.store.live import Added, Declined, Limited, TakenOut
from jobs.store.promoted import LeaderScores
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from oplstm.episodes.measure import LOSS
from oplstm.errors import WorkError
from tests.jobs.formula_training import decisions, finish, state_of
from tracking.journal.journal import Journal

VERSION_1 = SweepFolder(Path(__file__).parent / "version_1" / "old")
VERSION_2 = SweepFolder(Path(__file__).parent / "version_2" / "old")
VERSION_3 = SweepFolder(Path(__file__).parent / "version_3" / "old")
"""A whole sweep as the oplstm before these events wrote it, which was stopped once and promoted.

Its losses are those of formula_training.py, so that it can be told anew from anywhere.
"""

RUN = {"benchmark": {"name": "sine"}, "budget": {"tasks": None, "updates": 4}}
REQUEST = "01795801813500000000-0123abcd"
SCORE = StatedInterval(0.25, None)
LEADER = LeaderScores(trial="trial-0003", validation=SCORE, behind=SCORE, tied=True, score_a=SCORE)
EVENTS = [
    (
        Asked(trial=3, params={"hidden": 2}, draws=1, run=RUN),
        '{"event": "asked", "trial": 3, "params": {"hidden": 2}, "draws": 1, "run": '
        + json.dumps(RUN)
        + ', "added": null}',
    ),
    (
        Refused(trial=4, params={"hidden": 0}, draws=2, state=TrialState.PRUNED, reason="infeasible"),
        '{"event": "refused", "trial": 4, "params": {"hidden": 0}, "draws": 2, "state": "pruned", '
        '"reason": "infeasible"}',
    ),
    (
        Replicated(trial=3, replicate=2, run=RUN),
        '{"event": "replicated", "trial": 3, "replicate": 2, "run": ' + json.dumps(RUN) + "}",
    ),
    (Exhausted(), '{"event": "exhausted"}'),
    (
        Packed(pack="pack-0001", trials=("trial-0003", "trial-0004")),
        '{"event": "packed", "pack": "pack-0001", "trials": ["trial-0003", "trial-0004"]}',
    ),
    (
        Sized(pack="pack-0001", capacity=4, trials=()),
        '{"event": "sized", "pack": "pack-0001", "capacity": 4, "trials": []}',
    ),
    (
        Joined(pack="pack-0001", update=10, trials=("trial-0005",)),
        '{"event": "joined", "pack": "pack-0001", "update": 10, "trials": ["trial-0005"]}',
    ),
    (
        Expired(pack="pack-0001", update=7, trials=("trial-0003", "trial-0005")),
        '{"event": "expired", "pack": "pack-0001", "update": 7, "trials": ["trial-0003", "trial-0005"]}',
    ),
    (
        Split(pack="pack-0001", into="pack-0002", trials=("trial-0005",)),
        '{"event": "split", "pack": "pack-0001", "into": "pack-0002", "trials": ["trial-0005"]}',
    ),
    (
        Rerun(pack="pack-0001", into="pack-0002", trials=("trial-0003",)),
        '{"event": "rerun", "pack": "pack-0001", "into": "pack-0002", "trials": ["trial-0003"]}',
    ),
    (
        Started(pack="pack-0001", device={"oplstm.device": "cpu: x"}),
        '{"event": "started", "pack": "pack-0001", "device": {"oplstm.device": "cpu: x"}}',
    ),
    (
        Validated(trial="trial-0003", update=5, milestone=10, metrics={"val/loss": 0.5}, prune=True),
        '{"event": "point", "trial": "trial-0003", "update": 5, "milestone": 10, "metrics": {"val/loss": 0.5}, '
        '"prune": true}',
    ),
    (
        Ended(
            trial="trial-0003", state=TrialState.DIVERGED, update=20, best_update=1, metrics={"val/best": 1.5}, note="!"
        ),
        '{"event": "ended", "trial": "trial-0003", "state": "diverged", "update": 20, "best_update": 1, '
        '"metrics": {"val/best": 1.5}, "note": "!"}',
    ),
    (
        Resumed(provenance={"version.torch": "2.13.0"}),
        '{"event": "resumed", "provenance": {"version.torch": "2.13.0"}}',
    ),
    (Finished(), '{"event": "finished"}'),
    (
        TakenOut(request=REQUEST, trial="trial-0003", waits=True),
        '{"event": "taken_out", "request": "' + REQUEST + '", "trial": "trial-0003", "waits": true}',
    ),
    (
        Limited(request=REQUEST, concurrent=None),
        '{"event": "limited", "request": "' + REQUEST + '", "concurrent": null}',
    ),
    (
        Declined(request=REQUEST, reasons=("no", "not so")),
        '{"event": "declined", "request": "' + REQUEST + '", "reasons": ["no", "not so"]}',
    ),
    (
        Promoted(picked="trial-0003", score_b=SCORE, leaders=(LEADER,)),
        '{"event": "promoted", "picked": "trial-0003", "score_b": {"mean": 0.25, "half_width": null}, "leaders": '
        '[{"trial": "trial-0003", "validation": {"mean": 0.25, "half_width": null}, '
        '"behind": {"mean": 0.25, "half_width": null}, "tied": true, "score_a": {"mean": 0.25, "half_width": null}, '
        '"seeds": []}], "tied": null, "forecast": null, "seed_variance": null, "registered": null, "final": null, '
        '"by_hand": false}',
    ),
    (
        Extended(trials=None, budget=2000, goes_on=("trial-0003",)),
        '{"event": "extended", "trials": null, "budget": 2000, "goes_on": ["trial-0003"]}',
    ),
]
ADDED = Asked(trial=3, params={}, run=RUN, added=Added(request=REQUEST, like="trial-0002"))
RECORDS = {type(event): json.loads(text) for event, text in EVENTS}


def test_every_event_is_here():
    assert set(RECORDS) == set(get_args(Event))


@pytest.mark.parametrize(("event", "text"), EVENTS)
def test_an_event_has_its_json_and_comes_back(event, text):
    record = {"kind": "sweep"} | json.loads(text)
    assert json.loads(json.dumps(encode(event), allow_nan=False)) == record
    assert decode(record | {"time": 1795801813.5}) == event


def test_a_trial_that_was_added_says_by_which_request():
    record = encode(ADDED)
    assert record["added"] == {"request": REQUEST, "like": "trial-0002", "from_update": None}
    assert decode(record) == ADDED


def test_a_point_of_version_1_is_one_record_with_that_of_mlflow():
    record = {"kind": "track", "op": "points", "key": "id/trial-0003", "step": 5, "timestamp": 0.5, "time": 0.5}
    event, text = next((event, text) for event, text in EVENTS if isinstance(event, Validated))
    assert decode(record | json.loads(text)) == event


def test_a_whole_journal_of_version_1_is_read():
    state = SweepState.of(VERSION_1, Header.read(VERSION_1))
    assert state.finished
    assert state.exhausted
    assert state.counts() == {"complete": 3, "pruned": 2, "diverged": 1}
    assert state.leader().name == state.promotion.picked == "trial-0002"
    assert state.leader().best == 0.8421395691654711
    assert [(pack.capacity, len(pack.trials)) for pack in state.packs.values()] == [(2, 3), (2, 2), (2, 1)]
    assert state.packs["pack-0000"].joins == {10: ("trial-0002",)}
    assert [sorted(trial.pruned_at) for trial in state.trials.values()] == [[], [], [], [5], [5], []]
    assert state.trials[2].points[-1] == {"update": 20, "val/loss": 1.4963471737351257, "val/best": 0.8421395691654711}


def test_a_whole_journal_of_version_2_is_read():
    state = SweepState.of(VERSION_2, Header.read(VERSION_2))
    assert not state.finished
    assert state.counts() == {"complete": 2, "diverged": 1, "waiting": 1, "running": 2}
    assert state.leader().name == "trial-0005"


def test_a_sweep_of_version_3_goes_on(tmp_path):
    folder = SweepFolder(shutil.copytree(VERSION_3.path, tmp_path / "old"))
    assert state_of(folder).counts() == {"complete": 2, "pruned": 2, "diverged": 1, "waiting": 1}
    before = decisions(folder)
    assert finish(folder).finished
    assert decisions(folder)[: len(before)] == before
    assert b'"version": 4' in folder.journal.read_bytes().splitlines()[0], "an older oplstm refuses it by its version"


def replay(path, take):
    for read in read_events(path):
        take(read.event)


def in_journal(path, *groups):
    """A journal with these groups of records, one a line, from line 2."""
    with Journal(path / "journal.jsonl") as journal:
        for group in groups:
            journal.append(group)
    return journal.path


def test_what_mlflow_alone_is_told_is_passed_over(tmp_path):
    told = []
    replay(tmp_path / "none.jsonl", told.append)
    tracked = {"kind": "track", "op": "tags", "key": "id", "tags": {}}
    replay(in_journal(tmp_path, [tracked], [tracked, encode(Exhausted()), tracked]), told.append)
    assert told == [Exhausted()]


def with_changed(event, **changes):
    return RECORDS[event] | changes


def without(event, key):
    return {name: value for name, value in RECORDS[event].items() if name != key}


OLDER = ("event", "draws", "added", "note", "tied", "forecast", "seed_variance", "registered", "final",
         "by_hand")  # fmt: skip
"""What an event may lack: its name is looked at first, and the rest older versions did not write."""
DAMAGED = [
    ({"event": "exploded"}, "unknown event 'exploded'"),
    ({"event": None}, "unknown event "),
    ({"event": ["asked"]}, "unknown event "),
    *((without(event, key), f"{record['event']}.{key}: Field required")
      for event, record in RECORDS.items() for key in record if key not in OLDER),
    (with_changed(Asked, trial="3"), "asked.trial: Input should be a valid integer, got '3'"),
    (with_changed(Asked, trial=True), "asked.trial: "),
    (with_changed(Asked, trial=-1), "asked.trial: "),
    (with_changed(Asked, run=[]), "asked.run: "),
    (with_changed(Asked, params=None), "asked.params: "),
    (with_changed(Packed, trials="trial-0003"), "packed.trials: "),
    (with_changed(Sized, capacity=0), "sized.capacity: "),
    (with_changed(Joined, update=1.5), "joined.update: "),
    (with_changed(Started, device={"oplstm.threads": 1}), "started.device.oplstm.threads: "),
    (with_changed(Validated, trial=3), "point.trial: "),
    (with_changed(Validated, prune=0), "point.prune: "),
    (with_changed(Validated, metrics={"val/loss": "0.5"}), "point.metrics.val/loss: "),
    (with_changed(Validated, metrics=[0.5]), "point.metrics: "),
    (with_changed(Ended, state="exploded"), "ended.state: "),
    (with_changed(Ended, note=None), "ended.note: "),
    (with_changed(Promoted, score_b=0.5), "promoted.score_b: "),
    (with_changed(Promoted, leaders={}), "promoted.leaders: "),
    (with_changed(Promoted, final="../up"), "promoted.final: "),
    (with_changed(Promoted, tied=["../up"]), "promoted.tied.0: "),
    (with_changed(Replicated, replicate=0), "replicated.replicate: "),
    (with_changed(Asked, added={"request": "../up"}), "asked.added.request: "),
    (with_changed(TakenOut, request="../up"), "taken_out.request: "),
    (with_changed(Limited, concurrent=0), "limited.concurrent: "),
    (with_changed(Declined, reasons="no"), "declined.reasons: "),
]  # fmt: skip


@pytest.mark.parametrize(("record", "problem"), DAMAGED)
def test_what_is_no_event_is_an_error_that_names_the_line(record, problem, tmp_path):
    path = in_journal(tmp_path, [encode(Exhausted())], [encode(Exhausted()), record], [encode(Finished())])
    told = []
    with pytest.raises(WorkError) as caught:
        replay(path, told.append)
    assert str(caught.value).startswith(f"{path}, line 3: {problem}")
    assert str(caught.value).endswith("restore it from a copy, or use the version that wrote it")
    assert told == [Exhausted()] * 2


def test_only_a_trial_that_was_made_can_be_out_of_time(tmp_path):
    expired = Expired(pack="pack-0000", update=1, trials=("trial-0001",))
    before = [encode(Asked(trial=0, params={}, run=RUN)), encode(Packed(pack="pack-0000", trials=("trial-0000",)))]
    path = in_journal(tmp_path, before, [encode(expired)])
    with pytest.raises(WorkError, match="line 3: it names 'trial-0001', which no line before it made"):
        list(SweepState(LOSS).replay(path))


NAMES = ["../../victim", "/etc", "", ".", "{}-0001/..", "{}-0001/", "{}-0001\n", " {}-0001", "{}-1", "{}-1000000000",
         "{}-\u0660\u0660\u0660\u0661"]  # fmt: skip


def naming(pack, trial):
    """One record for each place in which a name may stand."""
    yield from (with_changed(event, pack=pack) for event in (Packed, Sized, Joined, Expired, Split, Rerun, Started))
    of_trials = (Packed, Sized, Joined, Expired, Split, Rerun)
    yield from (with_changed(event, trials=["trial-0004", trial]) for event in of_trials)
    yield from (with_changed(event, into=pack) for event in (Split, Rerun))
    yield from (with_changed(event, trial=trial) for event in (Validated, Ended, TakenOut))
    yield with_changed(Promoted, picked=trial)
    yield with_changed(Promoted, leaders=[RECORDS[Promoted]["leaders"][0] | {"trial": trial}])


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_sweeps_folder(name, tmp_path):
    for number, record in enumerate(naming(name.format("pack"), name.format("trial"))):
        path = in_journal(tmp_path / str(number), [record])
        with pytest.raises(WorkError) as caught:
            replay(path, lambda event: pytest.fail(f"{event} was taken"))
        assert str(caught.value).startswith(f"{path}, line 2: {record['event']}.")


def test_good_names_are_taken_wherever_one_may_stand(tmp_path):
    for digits in ("0001", "123456789"):
        told = []
        records = list(naming(f"pack-{digits}", f"trial-{digits}"))
        replay(in_journal(tmp_path / digits, records), told.append)
        assert len(told) == len(records)


UNASKED = [
    ("trial-0001", Packed(pack="pack-0000", trials=("trial-0001",))),
    ("pack-0000", Sized(pack="pack-0000", capacity=2, trials=())),
    ("pack-0000", Joined(pack="pack-0000", update=1, trials=())),
    ("pack-0000", Expired(pack="pack-0000", update=1, trials=())),
    ("pack-0000", Split(pack="pack-0000", into="pack-0001", trials=())),
    ("pack-0000", Rerun(pack="pack-0000", into="pack-0001", trials=())),
    ("pack-0000", Started(pack="pack-0000", device={})),
    ("trial-0001", Validated(trial="trial-0001", update=0, milestone=0, metrics={}, prune=False)),
    ("trial-0001", Ended(trial="trial-0001", state=TrialState.PRUNED, update=0, best_update=0, metrics={})),
    ("trial-0001", TakenOut(request=REQUEST, trial="trial-0001", waits=True)),
    ("trial-0001", Promoted(picked="trial-0001", score_b=SCORE, leaders=())),
]


@pytest.mark.parametrize(("name", "event"), UNASKED)
def test_what_was_never_made_cannot_be_named(name, event, tmp_path):
    path = in_journal(tmp_path, [encode(Asked(trial=0, params={}, run=RUN))], [encode(event)])
    with pytest.raises(WorkError) as caught:
        list(SweepState(LOSS).replay(path))
    assert str(caught.value).startswith(f"{path}, line 3: it names '{name}', which no line before it made")


PACKED = Packed(pack="pack-0000", trials=("trial-0000",))
STARTED = Started(pack="pack-0000", device={})
ENDED = Ended(trial="trial-0000", state=TrialState.FAILED, update=0, best_update=0, metrics={})
POINT = Validated(trial="trial-0000", update=1, milestone=10, metrics={}, prune=False)
TAKEN_OUT = TakenOut(request=REQUEST, trial="trial-0000", waits=True)
CANNOT_FOLLOW = [
    ((), Asked(trial=0, params={}, run=RUN), "it makes trial-0000 after 1 trials"),
    ((), Asked(trial=2, params={}, run=RUN), "it makes trial-0002 after 1 trials"),
    ((), Refused(trial=0, params={}, draws=1, state=TrialState.FAILED, reason="no"), "it makes trial-0000 after 1"),
    ((), Packed(pack="pack-0000", trials=()), "it makes pack-0000 of 0 trials, after 0"),
    ((), Packed(pack="pack-0001", trials=("trial-0000",)), "it makes pack-0001 of 1 trials, after 0"),
    ((), Packed(pack="pack-0000", trials=("trial-0000", "trial-0000")), "it puts a trial into a pack twice"),
    ((), ENDED, "trial-0000 goes on in it, which is waiting"),
    ((), POINT, "trial-0000 goes on in it, which is waiting"),
    ((PACKED,), PACKED, "it makes pack-0000 of 1 trials, after 1"),
    ((PACKED, STARTED), Packed(pack="pack-0001", trials=("trial-0000",)), "it puts trial-0000 into a pack, which is r"),
    ((PACKED, STARTED), Joined(pack="pack-0000", update=1, trials=("trial-0000",)), "it puts trial-0000 into a pack"),
    ((PACKED, STARTED), Sized(pack="pack-0000", capacity=1, trials=("trial-0000",)), "it puts trial-0000 into a pack"),
    ((PACKED, ENDED), ENDED, "trial-0000 goes on in it, which is failed"),
    ((PACKED,), TAKEN_OUT, "it takes trial-0000 out, which is running"),
    ((TAKEN_OUT,), TAKEN_OUT, "it takes trial-0000 out, which is pruned"),
    ((TAKEN_OUT,), PACKED, "it puts trial-0000 into a pack, which is pruned already"),
    ((PACKED, ENDED), POINT, "trial-0000 goes on in it, which is failed"),
]


@pytest.mark.parametrize(("before", "event", "problem"), CANNOT_FOLLOW)
def test_what_cannot_follow_is_said_with_its_line(before, event, problem, tmp_path):
    asked = Asked(trial=0, params={}, run=RUN)
    path = in_journal(tmp_path, *([encode(one)] for one in (asked, *before, event)))
    with pytest.raises(WorkError) as caught:
        list(SweepState(LOSS).replay(path))
    assert str(caught.value).startswith(f"{path}, line {len(before) + 3}: {problem}")


@pytest.mark.parametrize(
    "change",
    [
        {"run": {}},
        {"run": {"benchmark": {}, "budget": {}}},
        {"run": {"benchmark": "sine", "budget": {"updates": 4}}},
        *({"run": RUN | {"budget": {"updates": total}}} for total in (0, -1, 2.5, True, "4", [4], 2**53)),
        {"draws": 51},
        {"draws": 10**12},
        {"trial": 10**9},
        {"trial": 10**4000},
    ],
)
def test_a_proposal_that_status_could_not_show_is_refused(change):
    with pytest.raises(ValueError, match="asked"):
        decode(RECORDS[Asked] | change)


BAD_NAMES = [
    "../../../../victim",
    "/etc",
    "",
    ".",
    *(f"pack-{rest}" for rest in ("0001/..", "0001/../../x", "0001\n", "1", "\u0660\u0660\u0660\u0661", "9" * 10)),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_becomes_a_path_is_a_name_and_nothing_else(name):
    for kind in (Packed, Sized, Joined, Started):
        with pytest.raises(ValueError, match="pack"):
            decode(RECORDS[kind] | {"pack": name})
    trial = name.replace("pack", "trial")
    for kind in (Packed, Sized, Joined):
        with pytest.raises(ValueError, match="trials"):
            decode(RECORDS[kind] | {"trials": [trial]})
    for kind, field in ((Validated, "trial"), (Ended, "trial"), (Promoted, "picked")):
        with pytest.raises(ValueError, match=field):
            decode(RECORDS[kind] | {field: trial})


def test_a_line_of_ten_thousand_brackets_is_one_error(tmp_path):
    """Python's own reader of JSON gives up at a depth with an error of another kind."""
    path = in_journal(tmp_path)
    with path.open("ab") as file:
        file.write(b"[" * 100_000 + b"]" * 100_000 + b"\n[]\n")
    with pytest.raises(WorkError, match="line 2: it has no checksum at its end"):
        list(SweepState(LOSS).replay(path))


@pytest.mark.parametrize("line", [b"3", b"{}", b"null", b'"text"', b"[3]", b"[[]]", b'[{}, "x"]'])
def test_a_line_that_is_no_list_of_objects_is_one_error(line, tmp_path):
    path = in_journal(tmp_path)
    with path.open("ab") as file:
        file.write(line + b"\n[]\n")
    with pytest.raises(WorkError, match="line 2: it has no checksum at its end"):
        list(SweepState(LOSS).replay(path))
