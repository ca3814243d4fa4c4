"""Damaged headers and journals: each is read or refused in a line; nothing hangs, nothing else is touched.

The number of mutants and the first seed come from the environment; each mutant is a function of its seed alone.
"""

import contextlib
import json
import os
import random
import resource
import shutil
import time
from pathlib import Path

import optuna
import pytest

from jobs.jobfile.space_source import SpaceSource
from jobs.operations.control import resume
from jobs.operations.doctor import examine
from jobs.operations.status import all_status, sweep_status
from jobs.store.events import Asked, Ended, Exhausted, Packed, Refused, Resumed, Sized, Started, Validated
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, WorkError
from oplstm.training.reports import RunEnd
from tests.conftest import ROOT
from tests.jobs.formula_training import events, job, opened, train, training
from tests.jobs.headers import redigested
from tests.jobs.promoting import select
from tests.jobs.sweep.test_coordinator_stories import MEDIAN
from tests.journal_lines import resealed

COUNT = int(os.environ.get("OPLSTM_FUZZ_COUNT", "400"))
FIRST = int(os.environ.get("OPLSTM_FUZZ_SEED", "1"))
LONGEST_SECONDS = 5.0
MOST_BYTES = 400 << 20

WRITTEN = [
    *(ROOT / "tests" / "jobs" / "store" / f"version_{version}" / "old" for version in (1, 2, 3)),
    *(ROOT / "tests" / "jobs" / "version_1" / "sweeps" / name for name in ("ended", "stopped-sweep", "stopped-train")),
]
VALUES = [
    None, True, False, 0, 1, -1, 2, 7, 0.5, -0.0, 1e308, float("inf"), float("nan"), 2**31, 2**53, 2**63, 10**40,
    10**4000, "", "a", "trial-0000", "trial-0001", "pack-0000", "../../../../victim", "/etc/passwd", "trial-9999",
    "pack-0001\n", "\0", "\x1b[31m", "\ud800", "x" * 5000, "none", "sine", "omniglot", "failed", "stopped", "complete",
    "grid", "RandomSampler", "TPESampler", "CmaEsSampler", "GPSampler", "PartialFixedSampler",
    "tests.jobs.user_spaces:raises", "os:abort", "old.payload:space", [], {}, [[]], [None], {"a": 1}, {"": {}},
    ["trial-0000"], ["trial-0000", "trial-0000"], [0] * 10_000,
]  # fmt: skip


def places(value, path=()):
    """The paths of all values in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def mutated_json(chance, value):
    """A copy with one to three values replaced, removed, renamed, doubled or swapped."""
    value = json.loads(json.dumps(value))
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        try:
            found = [path for path in places(value) if path]
        except RecursionError:  # it is deep enough
            return value
        if not found:
            return value
        *above, key = chance.choice(found)
        holder = value
        for part in above:
            holder = holder[part]
        what = chance.randrange(6)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, dict):
            holder[chance.choice([str(key) + "x", "", "kind", "event", "trial", "\x1b[2J"])] = holder.pop(key)
        elif what == 2 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif what == 3 and type(holder[key]) in (int, float):
            holder[key] += chance.choice([1, -1, 0.5, 1000])
        elif what == 4:
            for _ in range(chance.choice([1, 5, 2000])):
                holder[key] = [holder[key]] if chance.random() < 0.5 else {"x": holder[key]}
        else:
            holder[key] = chance.choice(VALUES)
    return value


def dumped(value):
    """JSON text, also of what is too deep for Python's own writer."""
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 5000 + b"]" * 5000
    except ValueError:  # an integer of too many digits
        return b"9" * 5000


def mutated_bytes(chance, data):
    """Some bytes flipped, cut out, doubled or put in."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at, length = chance.randrange(len(data) + 1), chance.choice([1, 1, 4, 40, 400])
        what = chance.randrange(5)
        if what == 0:
            data[at : at + length] = bytes(chance.randrange(256) for _ in range(length))
        elif what == 1:
            del data[at : at + length]
        elif what == 2:
            data[at:at] = data[at : at + length]
        elif what == 3:
            data[at : at + 1] = chance.choice([b"0", b"9", b"-", b'"', b"{", b"[", b"\n", b"\0", b"1e999", b"NaN"])
        else:
            del data[at:]
    return bytes(data)


def mutated_lines(chance, data):
    """Lines removed, doubled, moved, or with other values in them."""
    lines = data.splitlines(keepends=True)
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at = chance.randrange(len(lines))
        what = chance.randrange(6)
        if what == 0 and len(lines) > 1:
            del lines[at]
        elif what == 1:
            lines.insert(chance.randrange(len(lines) + 1), lines[at])
        elif what == 2:
            lines.insert(chance.randrange(len(lines)), lines.pop(at))
        else:
            with contextlib.suppress(ValueError, RecursionError):  # a line that an earlier change made no JSON
                lines[at] = dumped(mutated_json(chance, json.loads(lines[at]))) + b"\n"
    return b"".join(lines)


def mutate(chance, folder):
    """Change the header, the journal, or both."""
    which = chance.choice(["header", "journal", "journal", "both"])
    if which != "journal":
        text = folder.header.read_bytes()
        as_json = chance.random() < 0.7
        text = dumped(mutated_json(chance, json.loads(text))) if as_json else mutated_bytes(chance, text)
        if chance.random() < 0.8:  # by somebody who gives it its digest again
            with contextlib.suppress(ValueError, AttributeError, RecursionError):
                text = redigested(json.loads(text)).encode()
        folder.header.write_bytes(text)
    if which != "header":
        change = mutated_lines if chance.random() < 0.7 else mutated_bytes
        changed = change(chance, folder.journal.read_bytes())
        if chance.random() < 0.8:  # by somebody who gives the lines checksums again
            changed = resealed(changed.splitlines(keepends=True) or [b""])
        folder.journal.write_bytes(changed)


def go_on(folder):
    """As much of a resume as makes decisions: the rebuilt coordinator, and one pack by a formula."""
    coordinator = opened(folder)
    try:
        assignment = coordinator.next_pack()
        if assignment is not None and not coordinator.header.measure.higher_is_better:
            train(coordinator, assignment)
    finally:
        coordinator.close(flush_seconds=0)


def snapshot(folder):
    return {path: (path.read_bytes() if path.is_file() else None) for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folders of sweeps: those of version 1, and one of today in which everything has happened."""
    space = "tests.jobs.user_spaces:infeasible_at_one"
    of = job("infeasible_at_one", sampler={"name": "grid"}, trials=None, pruner=MEDIAN, resources={"pack": "auto"})
    folder = SweepFolder(tmp_path_factory.mktemp("written") / "today")
    Header(
        id="id-of-today", name="today", kind=SweepKind.SWEEP, experiment="tests", job=of, measure=of.measure,
        tracking_uri=None, provenance={"version.oplstm": "0"}, space_source=SpaceSource.of(space),
    ).write(folder)  # fmt: skip
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    next(training(coordinator, coordinator.next_pack()))
    coordinator.on_ends([RunEnd("trial-0001", "stopped", 5, 5, {"val/best": 0.5})])
    coordinator.close(flush_seconds=0)
    coordinator = opened(folder)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.close(flush_seconds=0)
    kinds = {type(event) for event in events(folder)}
    assert kinds >= {Asked, Refused, Exhausted, Packed, Sized, Started, Validated, Ended, Resumed}
    return [*WRITTEN, folder.path]


@pytest.fixture
def surroundings(tmp_path, oplstm_home, monkeypatch):
    """A folder beside the home, and a module in the home that nobody may run."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "thesis.tex").write_text("years of work")
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("no_waiting_for_the_disk")
@pytest.mark.filterwarnings("ignore")
def test_whatever_the_files_say_it_is_read_or_refused(written, surroundings, oplstm_home, monkeypatch, capsys):
    monkeypatch.setattr("jobs.operations.start.run_on_cluster", lambda *_: None)
    monkeypatch.setattr("jobs.operations.start.cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr("jobs.operations.start.run_here", lambda *_: None)
    monkeypatch.setattr("jobs.operations.control.tracking_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr("jobs.operations.reporting.tracked.track_report", lambda *_, **__: 0)
    before = snapshot(surroundings / "victim")
    first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    failures, outcomes = [], {"taken": 0, "refused": 0}
    for seed in range(FIRST, FIRST + COUNT):
        chance = random.Random(seed)
        whole = chance.choice(written)
        folder = SweepFolder(oplstm_home / "sweeps" / whole.name)
        shutil.rmtree(oplstm_home / "sweeps", ignore_errors=True)
        shutil.copytree(whole, folder.path)
        mutate(chance, folder)
        for name, look in {
            "all": lambda: all_status(Home()),
            "examine": lambda: examine(Home()),
            "status": lambda: sweep_status(Home().sweep(folder.name)),  # noqa: B023
            "state": lambda: SweepState.of(folder, Header.read(folder)),  # noqa: B023
            "promote": lambda: select(Home().sweep(folder.name)),  # noqa: B023
            "resume": lambda: resume(Home(), folder.name, progress=lambda now: None),  # noqa: B023
            "coordinator": lambda: go_on(folder),  # noqa: B023
        }.items():
            started = time.monotonic()
            try:
                look()
                outcomes["taken"] += 1
            except (RequestError, WorkError) as error:
                outcomes["refused"] += 1
                if len(str(error).splitlines()) != 1 or len(str(error)) > 2000:
                    failures.append(f"seed {seed} {name}: {len(str(error).splitlines())} lines: {str(error)[:300]!r}")
            except BaseException as error:
                failures.append(f"seed {seed} {name}: {type(error).__name__}: {str(error)[:200]}")
                if isinstance(error, KeyboardInterrupt):
                    raise
            if (took := time.monotonic() - started) > LONGEST_SECONDS:
                failures.append(f"seed {seed} {name}: took {took:.1f} s")
        if snapshot(surroundings / "victim") != before or (Path(surroundings) / "ran").exists():
            failures.append(f"seed {seed}: touched what is outside the home")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - first) << 10
    with capsys.disabled():
        print(f"\nseeds {FIRST} to {FIRST + COUNT - 1}: {outcomes}, {grown >> 20} MiB more at most")
    assert not failures, "\n".join(failures)
    assert grown < MOST_BYTES
    assert min(outcomes.values()) > COUNT // 10
