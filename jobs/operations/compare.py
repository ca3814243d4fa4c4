"""``oplstm compare``: two sweeps, or two trials: what differs, and how their scores do."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from jobs.operations.exported_tables import flat
from jobs.operations.trials import find_trial, split_reference
from jobs.operations.tuning import compared, notes, tried
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.intervals import Interval, Values
from jobs.store.state import SweepState
from jobs.store.states import OUT, SweepKind, TrialState
from jobs.store.trial import Trial
from jobs.store.trial_files import readable
from oplstm.episodes.measure import Measure
from oplstm.errors import RequestError

BAND: Final = 0.95**0.5
"""Confidence of each of two independent bands that hold together with 95%."""


@dataclass(frozen=True)
class Difference:
    """A key that is not the same in both; None where one has none.

    Attributes:
        key: As a job file has it, with its section.
        values: Of the first and of the second.
    """

    key: str
    values: tuple[Any, Any]


@dataclass(frozen=True)
class Scored:
    """A score of both, a claim about their trained weights.

    Attributes:
        scores: Of the first and of the second, with their intervals over tasks.
        difference: The first less the second, with its interval.
        paired: Whether both met the same tasks, so that the interval is that of the differences task by task.
        tasks: How many of each.
        better: 0 or 1 where the interval of the difference says so; None where they cannot be told apart.
    """

    scores: tuple[Interval, Interval]
    difference: Interval
    paired: bool
    tasks: tuple[int, int]
    better: int | None


@dataclass(frozen=True)
class Comparison:
    """Two sweeps, trainings, final runs or trials beside each other.

    Attributes:
        names: As they were asked for.
        measure: What scores are.
        job: What differs between their jobs, key by key.
        searched: The searched values in which the trials that are compared differ.
        trials: Those whose weights are compared: of a sweep its best by meta-validation, else all that completed.
        validation: Their scores by meta-validation; None where one has none.
        tuning: Which sweep is better at equal effort; None where they are not two sweeps.
        notes: What to know, a line each.
        test: Their test scores, which pick nothing.
    """

    names: tuple[str, str]
    measure: str
    job: tuple[Difference, ...]
    searched: tuple[Difference, ...]
    trials: tuple[tuple[str, ...], tuple[str, ...]]
    validation: Scored | None
    tuning: str | None
    notes: tuple[str, ...]
    test: Scored | None

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON, which knows no nan."""
        plain = asdict(self)
        for name in ("validation", "test"):
            if (scored := getattr(self, name)) is not None:
                plain[name]["scores"] = [asdict(one.stated()) for one in scored.scores]
                plain[name]["difference"] = asdict(scored.difference.stated())
        return plain


@dataclass(frozen=True)
class _Side:
    """One of the two: a sweep, or a trial of it.

    Attributes:
        name: As it was asked for.
        folder: Of the sweep.
        header: Of the sweep.
        state: Of the sweep.
        trials: Those whose weights are compared.
        is_trial: Whether a trial was asked for.
    """

    name: str
    folder: SweepFolder
    header: Header
    state: SweepState
    trials: tuple[Trial, ...]
    is_trial: bool

    @classmethod
    def of(cls, home: Home, name: str) -> "_Side":
        """What a name means; raises what ``compare`` does."""
        sweep, trial = split_reference(name) or (name, None)
        folder = home.sweep(sweep)
        folder.check_links()
        header = Header.read(folder)
        state = SweepState.of(folder, header)
        if trial is not None:
            return cls(name, folder, header, state, (find_trial(state, trial, sweep=sweep),), is_trial=True)
        fresh = (one for one in state.trials.values() if not one.is_warm)
        ranked = sorted(fresh, key=lambda one: (one.cost, one.number))
        complete = [one for one in ranked if one.state is TrialState.COMPLETE]
        chosen = complete[:1] if header.kind is SweepKind.SWEEP else sorted(complete, key=lambda one: one.number)
        return cls(name, folder, header, state, tuple(chosen), is_trial=False)

    @property
    def is_sweep(self) -> bool:
        """Whether it is a sweep as a whole."""
        return not self.is_trial and self.header.kind is SweepKind.SWEEP

    def scored(self, load: Callable[[Path], Values | None], count: str) -> tuple[Values, list[str]] | None:
        """The value of every task, and on which tasks the parts of it are; None where a trial has no values.

        Trials with the same tasks are one part, in which a task has its mean over them; others are a part each.
        """
        found = []
        for trial in self.trials:
            with readable(self.folder, trial.name, again="train its configuration again"):
                values = load(self.folder.trial(trial.name)) if trial.state.ended else None
            if values is None:
                return None
            found.append(values)
        if not found:
            return None
        tasks = [_tasks(trial.run, count) for trial in self.trials]
        return (np.mean(found, axis=0), tasks[:1]) if len(set(tasks)) == 1 else (np.concatenate(found), tasks)


def _tasks(run: Mapping[str, Any], count: str) -> str:
    """On which tasks a run was scored, as text that is the same for the same tasks."""
    parts = [run["benchmark"], run["evaluation_seed"], run.get("final"), run["budget"][count]]
    return json.dumps(parts, sort_keys=True)


def compare(home: Home, first: str, second: str) -> Comparison:
    """Two sweeps, trainings or final runs, or two trials, beside each other.

    Args:
        home: Where they are.
        first: ``NAME``, or ``NAME/TRIAL``.
        second: Likewise.

    Raises:
        RequestError: There is no such thing, or the two have nothing in common.
        WorkError: A journal, or the scores of a trial, are damaged.
    """
    sides = _Side.of(home, first), _Side.of(home, second)
    one, other = sides
    if first == second:
        raise RequestError(f"{first} is given twice; give two")
    if one.is_trial != other.is_trial:
        trial, sweep = (one, other) if one.is_trial else (other, one)
        raise RequestError(f"{trial.name} is a trial and {sweep.name} is none: give two of a kind")
    measure, theirs = one.header.measure, other.header.measure
    if measure != theirs:
        raise RequestError(f"{first} is compared by {measure.name} and {second} by {theirs.name}: nothing is in common")
    both = one.is_sweep and other.is_sweep
    return Comparison(
        names=(first, second),
        measure=measure.name,
        job=tuple(_differences(*(dict(flat(side.header.job.model_dump(mode="json"))) for side in sides))),
        searched=tuple(_differences(*(side.trials[0].params if len(side.trials) == 1 else {} for side in sides))),
        trials=(tuple(t.name for t in one.trials), tuple(t.name for t in other.trials)),
        validation=_scored(sides, _validation, measure, count="validation_tasks"),
        tuning=_tuning(one, other) if both else None,
        notes=tuple(_notes(sides, both=both)),
        test=_scored(sides, lambda path: _test(path, measure.name), measure, count="test_tasks"),
    )


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Difference]:
    for key in {**ours, **theirs}:
        if ours.get(key) != theirs.get(key):
            yield Difference(key, (ours.get(key), theirs.get(key)))


def _validation(path: Path) -> Values | None:
    from oplstm.training.checkpoint import load_validation_values

    return load_validation_values(path).numpy().astype(np.float64) if (path / "run.json").is_file() else None


def _test(path: Path, measure: str) -> Values | None:
    from oplstm.training.checkpoint import has_test_scores, load_test_scores

    return load_test_scores(path)[measure].numpy().astype(np.float64) if has_test_scores(path) else None


def _scored(
    sides: tuple[_Side, _Side], load: Callable[[Path], Values | None], measure: Measure, *, count: str
) -> Scored | None:
    """Both scores and their difference; None where one has none."""
    one, other = (side.scored(load, count) for side in sides)
    if one is None or other is None:
        return None
    (ours, of_one), (theirs, of_other) = one, other
    scores = Interval.of(ours, over="tasks"), Interval.of(theirs, over="tasks")
    if paired := of_one == of_other and len(ours) == len(theirs):
        difference = Interval.of(ours - theirs, over="differences")
    else:
        half_width = math.hypot(scores[0].half_width, scores[1].half_width)
        difference = Interval(scores[0].mean - scores[1].mean, half_width)
    apart = abs(difference.mean) > difference.half_width
    better = int(measure.cost(difference.mean) > 0) if apart else None
    return Scored(scores, difference, paired, (len(ours), len(theirs)), better)


def _tuning(one: _Side, other: _Side) -> str:
    try:
        found = [tried(side.header, side.state, "trials") for side in (one, other)]
    except RequestError as error:
        return f"no tuning curves: {error}"
    return compared(*found, confidence=BAND)


def _notes(sides: Sequence[_Side], *, both: bool) -> Iterator[str]:
    for side in sides:
        ended = sum(trial.state.ended for trial in side.state.trials.values())
        if not side.trials:
            yield f"{side.name}: no trial has completed, so it has no score"
        elif side.is_sweep and ended > 1:
            yield (
                f"{side.name}: its best of {ended} trials was picked by this very score, which therefore flatters it; "
                f"oplstm promote {side.folder.name} scores it anew"
            )
        for trial in side.trials:
            if trial.state in OUT or trial.state is TrialState.PRUNED:
                yield f"{side.name}: it {trial.state}: its score is that of the best weights from before"
            elif not trial.state.ended:
                yield f"{side.name}: it is {trial.state} and has no score of every task yet"
        if both:
            with_score = any(math.isfinite(trial.cost) for trial in side.state.trials.values())
            yield from notes(tried(side.header, side.state, "trials")) if with_score and side.trials else ()
