"""What to train next: the Optuna study of a sweep, without repeats, and exhausted exactly once."""

import contextlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import BaseTrial, FixedTrial, Trial, TrialState

from jobs.jobfile.resolving import build_trial_run, numbered, pins, space_of, suggest
from jobs.jobfile.schema import Job
from jobs.store.events import MOST_DRAWS, Params
from jobs.store.states import TrialState as State
from jobs.store.study_file import StudyFile, StudyStorage
from jobs.sweep.restored import PointTrial, Restored
from oplstm.errors import one_line
from oplstm.training.run import RunConfig
from search_spaces.enumeration import NotFinite, enumerate_grid
from search_spaces.samplers import make_pruner, make_sampler, notes_draws, pruner_keeps_count, sampler_keeps_count

REPEATS_BEFORE_ENUMERATING = MOST_DRAWS
MODEST = 1e300
"""Whole numbers above it may be too long to be written."""


@dataclass(frozen=True)
class Proposal:
    """A configuration to train.

    Attributes:
        number: Optuna's trial number.
        params: The point of the space.
        run: The run that it means.
        draws: Times the sampler drew for it, repeats included; 0 for a point that was given.
    """

    number: int
    params: Params
    run: RunConfig
    draws: int


@dataclass(frozen=True)
class Impossible:
    """A point of which the space makes no run.

    Attributes:
        number: Of the trial that it is all the same.
        params: The point, as far as the space came.
        draws: As of a proposal.
        state: ``pruned`` where the space said that the point is infeasible (``optuna.TrialPruned``), else ``failed``.
        reason: One line.
    """

    number: int
    params: Params
    draws: int
    state: State
    reason: str


class NoRun(Exception):
    """A space gave no run for a point; carries the end of that trial and the reason."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state, self.reason = state, reason


class Proposals:
    """An Optuna study behind ask, report and tell.

    Args:
        job: The sweep's job.
        study_file: Where Optuna keeps the study, anew; None for memory only.
        name: Of the study.
        final: Whether the runs are final runs.

    Raises:
        ValueError: The job's space, sampler or pruner cannot be found, or does not take its options.
    """

    def __init__(self, job: Job, study_file: Path | None = None, *, name: str = "study", final: bool = False) -> None:
        self._job, self._final = job, final
        storage: BaseStorage = InMemoryStorage() if study_file is None else StudyStorage(StudyFile(study_file))
        pruner = make_pruner(job.pruner.name, job.pruner.options, patience=job.pruner.patience)
        self._study = optuna.create_study(
            study_name=name, storage=storage, pruner=pruner, direction=job.measure.direction
        )
        self._trials: dict[int, Trial] = {}
        self._keeps_count = sampler_keeps_count(job.sampler.name) or pruner_keeps_count(job.pruner.name)
        self._notes_draws = notes_draws(job.sampler.name, job.sampler.options)
        self._restored = Restored(self._study, alike=self._notes_draws)
        self._seen: set[RunConfig] = set()
        self._impossible: set[str] = set()
        self._asked = 0
        self._added = 0  # by users, beyond those of the job
        self._warm: set[int] = set()
        self._made = 0  # trials of Optuna's, repeats included
        make_sampler(job.sampler.name, job.sampler.options, seed=job.seed, trial=0)
        space = None if job.space is None else space_of(job)
        cells = enumerate_grid(space) if space is not None and job.is_grid else ()
        self._given: Iterator[Params] = itertools.chain(job.enqueue, cells)

    def _is_new(self, run: RunConfig) -> bool:
        """Whether no trial with this run was proposed; without a space trials differ in their seeds alone."""
        return self._job.space is None or run not in self._seen

    def _run(self, trial: BaseTrial) -> RunConfig:
        """The run at a point, as that of trial 0: two trials with the same would be the same experiment.

        Raises:
            NoRun: There is none.
        """
        try:
            suggested = suggest(self._job, trial)
            if told(trial.params) != trial.params:
                raise TypeError("choices must be text, numbers, lists, true, false or null")
            return build_trial_run(self._job, suggested)
        except NotFinite:
            raise
        except optuna.TrialPruned as error:
            raise NoRun(State.PRUNED, f"pruned before it began: {one_line(error)}") from error
        except Exception as error:  # a space is the user's code
            what = self._job.space or "the job"
            raise NoRun(State.FAILED, f"failed: {what} at this point: {one_line(error)}") from error

    def _is_new_point(self, params: Params) -> bool:
        """Whether no trial is of a point that is given, or of another that means the same run."""
        trial = FixedTrial(params)
        try:
            return self._is_new(self._run(trial))
        except NoRun:
            return _key(trial.params) not in self._impossible

    def ask(self) -> Proposal | Impossible | None:
        """The next configuration, or None when the trials are used up or the space is exhausted."""
        limit = self._job.trial_limit
        if limit is not None and self._asked - self._added >= limit:
            return None
        for params in self._given:
            if self._is_new_point(params):
                return self._propose(params)
        if self._job.is_grid:
            return None
        for draws in range(1, REPEATS_BEFORE_ENUMERATING + 1):
            trial = self._ask_optuna()
            try:
                run = self._run(trial)
            except NoRun as error:
                if _key(trial.params) not in self._impossible:
                    return self._refuse(trial, error, draws)
            else:
                if self._is_new(run):
                    return self._accept(trial, run, draws)
            self._study.tell(trial, state=TrialState.FAIL)
        return self._ask_unseen()

    def _ask_unseen(self) -> Proposal | Impossible | None:
        """After many repeats: a finite space is nearly used up, so look for what is left of it."""
        if self._job.space is None:  # its one configuration is impossible
            return None
        try:
            for params in enumerate_grid(space_of(self._job)):
                if self._is_new_point(params):
                    return self._propose(params, draws=REPEATS_BEFORE_ENUMERATING)
        except NotFinite:
            pass
        return None

    def _ask_optuna(self, *, enqueued: bool = False) -> Trial:
        self.settle()
        self._keeps_count |= self._notes_draws  # from here on there may be notes
        sampler = self._job.sampler
        self._study.sampler = make_sampler(sampler.name, sampler.options, seed=self._job.seed, trial=self._made)
        self._made += not enqueued
        return self._study.ask()

    def _propose(self, params: Params, draws: int = 0) -> Proposal | Impossible:
        self.settle()
        self._study.enqueue_trial(dict(params))
        self._made += 1
        trial = self._ask_optuna(enqueued=True)
        try:
            return self._accept(trial, self._run(trial), draws)
        except NoRun as error:
            return self._refuse(trial, error, draws)

    def _accept(self, trial: Trial, first: RunConfig, draws: int) -> Proposal:
        self._seen.add(first)
        number = self._number(trial)
        return Proposal(number, dict(trial.params), numbered(self._job, first, number, final=self._final), draws)

    def _refuse(self, trial: Trial, error: NoRun, draws: int) -> Impossible:
        self._impossible.add(_key(trial.params))
        number = self._number(trial)
        self.tell(number, error.state, self._job.measure.worst)
        return Impossible(number, told(trial.params), draws, error.state, error.reason)

    def _number(self, trial: Trial | None) -> int:
        number = self._asked
        self._asked += 1
        if trial is not None:
            self._trials[number] = trial
        return number

    def add(self, params: Params, *, warm: bool = False) -> Proposal | Impossible:
        """A point of a user's own, beyond the trials of the job; to the study it is enqueued.

        Args:
            params: The point.
            warm: Whether it begins with another's weights: then neither sampler nor pruner learns of it, and its
                configuration may still be tried from fresh ones.
        """
        self._added += 1
        seen = set(self._seen) if warm else self._seen
        proposal = self._propose(params)
        if warm:
            self._seen = seen
            self._warm.add(proposal.number)
        return proposal

    def replay(self, params: Params, draws: int) -> Impossible | None:
        """Put a trial that was asked for earlier, and not by a user, back into the study; None where that can be.

        The sampler draws as often as it did then, because some of Optuna's keep count in the study; should it draw
        something else (another version of Optuna), the trial is given as it was. Where neither sampler nor pruner keeps
        count, nothing is drawn: ``settle`` puts the trial into the study, with what is told of it until then.
        """
        params = self._searched(params)
        if not self._keeps_count and draws <= 1 and self._restore(params, draws):
            return None
        for _ in range(draws):
            trial = self._ask_optuna()
            try:
                run = self._run(trial)
            except NoRun as error:
                if told(trial.params) == params:
                    return self._refuse(trial, error, draws)
            else:
                if trial.params == params:
                    self._accept(trial, run, draws)
                    return None
            self._study.tell(trial, state=TrialState.FAIL)
        again = self._propose(params, draws)
        return again if isinstance(again, Impossible) else None

    def _searched(self, params: Params) -> Params:
        """A recorded point without what the job pins, which older versions searched all the same."""
        pinned = pins(self._job)
        if pinned.keys().isdisjoint(params):
            return params
        trial = FixedTrial(params)
        with contextlib.suppress(NoRun):
            self._run(trial)
        of_old = pinned.keys() - trial.params.keys()
        return {name: value for name, value in params.items() if name not in of_old}

    def _restore(self, params: Params, draws: int) -> bool:
        """Take a trial at a point, without asking Optuna; False if the space gives no run there, or asks for more."""
        trial = PointTrial(params, number=self._made)
        try:
            run = self._run(trial)
        except NoRun:
            return False
        if trial.params != params or (distributions := self._restored.known(trial)) is None:
            return False
        self._made += 1
        self._seen.add(run)
        self._restored.put(self._number(None), trial, distributions=distributions, given=draws == 0)
        return True

    def settle(self) -> None:
        """All has been replayed: what is told from now on takes place."""
        self._trials |= self._restored.settle()

    def decide(self, number: int, value: float, milestone: int, *, total: int) -> bool:
        """Whether to prune a trial with this validation value at a milestone of its ``total``.

        It is replayed with every point, because some of Optuna's pruners remember being asked.
        """
        alone = self._job.space is None and self._job.pruner.name is None  # nobody learns from its points
        if alone or not math.isfinite(value) or milestone == 0 or number in self._warm:
            return False
        if self._restored.report(number, value, milestone):
            return False  # as it was decided then is in the journal
        self._trials[number].report(value, milestone)
        return milestone < total and bool(self._trials[number].should_prune())  # some answer with NumPy's bool

    def tell(self, number: int, state: State, value: float) -> None:
        """A trial has ended; a diverged one counts as pruned, so that samplers learn to avoid it.

        One that began with another's weights counts as failed, of which they learn nothing.
        """
        if number in self._warm:
            self._study.tell(self._trials[number], state=TrialState.FAIL)
            return
        pruned = state in (State.PRUNED, State.DIVERGED)
        end = TrialState.PRUNED if pruned else TrialState.COMPLETE if state is State.COMPLETE else TrialState.FAIL
        if self._restored.tell(number, end, value):
            return
        if end is TrialState.COMPLETE:
            self._study.tell(self._trials[number], value)
        else:
            self._study.tell(self._trials[number], state=end)


def told(params: Params) -> Params:
    """A point as the journal holds it: values that it cannot hold, which no run is made of, as text."""
    return {name: value if _is_plain(value) else str(value) for name, value in params.items()}


def _is_plain(value: object) -> bool:
    if type(value) in (str, bool) or (type(value) in (int, float) and abs(value) < MODEST):  # type: ignore[arg-type]
        return True  # as nearly all are, so that a large sweep opens sooner
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _key(params: Params) -> str:
    """A point as text: its values may be lists, which cannot be looked up."""
    return json.dumps(params, sort_keys=True, default=str)


def proposed(job: Job) -> Iterator[Proposal | Impossible]:
    """What a job's trials would be if none had a result."""
    proposals = Proposals(job)
    while (proposal := proposals.ask()) is not None:
        yield proposal
