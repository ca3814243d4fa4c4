"""Sweeps that take milliseconds: a real coordinator and journal, and validation losses that come from a formula.

`train` plays the part of Ray Tune and of a pack's process; it can be cut off anywhere, as they can.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jobs.jobfile.schema import Job
from jobs.store.events import Event, Joined, Packed, Resumed, Sized, Started, read_events
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import Assignment
from oplstm.training.reports import Point, RunEnd
from oplstm.training.run import RunConfig

BUDGET = {"tasks": 40, "validate_every": 10, "validation_tasks": 2, "test_tasks": 2}


def job(space: str | None = "rates", **keys: Any) -> Job:
    """A small job over a space of tests.jobs.user_spaces."""
    named = None if space is None else f"tests.jobs.user_spaces:{space}"
    data = {"learner": "lstm", "benchmark": {"name": "sine"}, "space": named, "budget": BUDGET, "trials": 4}
    return Job.model_validate(data | keys)


def new_sweep(path: Path, job: Job, *, kind: SweepKind = SweepKind.SWEEP, of: str | None = None) -> SweepFolder:
    """The folder of a sweep that has not begun."""
    folder = SweepFolder(path)
    header = Header(
        id=f"id-of-{path.name}", name=path.name, kind=kind, experiment="tests", job=job,
        measure=job.measure, tracking_uri=None, provenance={"version.oplstm": "0"}, of=of,
    )  # fmt: skip
    header.write(folder)
    return folder


def no_server() -> str:
    """The embedded server, not up yet."""
    raise ConnectionError("no MLflow server yet")


def opened(folder: SweepFolder) -> Coordinator:
    """The sweep's coordinator, new or rebuilt, without a server to ship to; who was asked to stop has done so."""
    folder.stop_request.unlink(missing_ok=True)
    return Coordinator(folder, no_server)


def loss(run: RunConfig, milestone: int) -> float:
    """Falls with the work done, faster for rates near 0.02; rises again above 0.04; diverges halfway above 0.25."""
    rate, width = run.lr, run.hyperparameters.widths[0]
    if rate > 0.25 and milestone >= 20:
        return math.nan
    speed = 0.05 / (1 + abs(math.log(rate / 0.02)))
    return (1 + width / 100) * math.exp(-speed * (milestone if rate < 0.04 else 10 - abs(milestone - 10)))


def train(
    coordinator: Coordinator, assignment: Assignment, loss: Callable[..., float] = loss, measured: int = 2
) -> None:
    """Train a pack from its beginning to its end, as if it had no checkpoint."""
    for _ in training(coordinator, assignment, loss, measured):
        pass


def training(
    coordinator: Coordinator, assignment: Assignment, loss: Callable[..., float] = loss, measured: int = 2
) -> Iterator[int]:
    """The same step by step: yields the pack's milestone after each exchange with the coordinator.

    Args:
        coordinator: Of the sweep.
        assignment: What `next_pack` gave.
        loss: Of a run at a milestone of its own.
        measured: What a measurement of the pack's capacity would find.
    """
    pack = assignment.pack
    if assignment.measure is not None:
        coordinator.sized(pack, measured)
    started = coordinator.started(pack, {"oplstm.device": "cpu: test"})
    if started is None:
        return
    runs = {one.name: one.run for one in started.runs if one.name in started.initial}
    joined, best = dict.fromkeys(runs, 0), dict.fromkeys(runs, math.inf)
    first = next(iter(runs.values()))
    every, total, tasks = first.budget.validate_every, first.budget.total, first.meta_batch_size

    def validate(names: Sequence[str], milestone: int) -> None:
        points = []
        for name in names:
            own = milestone - joined[name]
            value = loss(runs[name], own)
            best[name] = min(best[name], math.inf if math.isnan(value) else value)
            points.append(Point(name, -(-own // tasks), own, {"val/loss": value, "val/best": best[name]}))
        prune = coordinator.on_points(points)
        for point in points:
            ended = "diverged" if math.isnan(point.metrics["val/loss"]) else "pruned" if point.run in prune else None
            if ended is not None:
                coordinator.on_ends([RunEnd(point.run, ended, point.update, 0, {"val/best": best[point.run]})])
                del runs[point.run]

    for milestone in itertools.count(0, every):
        validate(list(runs), milestone)
        last = -(-total // tasks)
        through = [name for name in runs if milestone - joined[name] >= total]
        coordinator.on_ends(
            [RunEnd(name, "complete", last, last, {"val/best": best[name], "test/loss": 2 * best[name]})
             for name in through]
        )  # fmt: skip
        for name in through:
            del runs[name]
        if runs and milestone and (room := started.capacity - len(runs)):
            come = {one.name: one.run for one in coordinator.joins(pack, -(-milestone // tasks), room)}
            runs |= come
            joined |= dict.fromkeys(come, milestone)
            best |= dict.fromkeys(come, math.inf)
            validate(list(come), milestone)
        yield milestone
        if not runs:
            return


def train_everything(coordinator: Coordinator) -> None:
    """One pack after the other, until none is left."""
    while (assignment := coordinator.next_pack()) is not None:
        train(coordinator, assignment)


def finish(folder: SweepFolder) -> SweepState:
    """Open the sweep, train all that is left, close it; returns what the journal then says."""
    coordinator = opened(folder)
    train_everything(coordinator)
    coordinator.close(flush_seconds=0)
    return state_of(folder)


def state_of(folder: SweepFolder) -> SweepState:
    """What the sweep's journal says."""
    return SweepState.of(folder, Header.read(folder))


def events(folder: SweepFolder) -> list[Event]:
    """All that the sweep's journal holds, oldest first."""
    return [read.event for read in read_events(folder.journal)]


def decisions(folder: SweepFolder) -> list[Event]:
    """The same without when and where packs were begun and the sweep went on."""
    return [event for event in events(folder) if not isinstance(event, Started | Resumed)]


def signatures(state: SweepState) -> dict[str, set[Any]]:
    """The signatures in each pack."""
    found: dict[str, set[Any]] = {}
    for trial in state.trials.values():
        found.setdefault(str(trial.pack), set()).add(trial.signature)
    return found


def same_state(folder, coordinator):
    """Whether the journal says what the coordinator believes."""
    written = state_of(folder)
    known = coordinator.state
    return (written.trials, written.packs, written.exhausted) == (known.trials, known.packs, known.exhausted)


def placed_by(event: Event) -> tuple[str, ...]:
    """Names of the trials that the event puts into a pack."""
    return event.trials if isinstance(event, Packed | Sized | Joined) else ()


def stopped_in_its_first_pack(path: Path) -> SweepFolder:
    """A sweep of two trials whose process was killed after the first point."""
    folder = new_sweep(path, job("rates", trials=2))
    coordinator = opened(folder)
    next(training(coordinator, coordinator.next_pack()))
    coordinator.close(flush_seconds=0)
    return folder
