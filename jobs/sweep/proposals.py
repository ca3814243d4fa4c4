"""What to train next: the Optuna study of a sweep, without repeats, and exhausted exactly once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FixedTrial, Trial, TrialState

from jobs.jobfile.resolving import build_trial_run, numbered, suggest
from jobs.jobfile.schema import Job
from jobs.store.states import TrialState as State
from jobs.store.study_file import StudyFile, StudyStorage
from oplstm.training.run import RunConfig
from search_spaces.samplers import make_pruner, make_sampler
from search_spaces.spaces import NotFinite, enumerate_grid, find_space

REPEATS_BEFORE_ENUMERATING = 50


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
    params: dict[str, Any]
    run: RunConfig
    draws: int


class Proposals:
    """An Optuna study behind ask, report and tell.

    Args:
        job: The sweep's job.
        study_file: Where Optuna keeps the study, anew; None for memory only.
        final: Whether the runs are final runs.
    """

    def __init__(self, job: Job, study_file: Path | None = None, *, name: str = "study", final: bool = False) -> None:
        self._job, self._final = job, final
        storage: BaseStorage = InMemoryStorage() if study_file is None else StudyStorage(StudyFile(study_file))
        pruner = make_pruner(job.pruner.name, job.pruner.options, patience=job.pruner.patience)
        self._study = optuna.create_study(
            study_name=name, storage=storage, pruner=pruner, direction=job.measure.direction
        )
        self._trials: dict[int, Trial] = {}
        self._seen: set[Any] = set()
        self._asked = 0
        self._made = 0  # trials of Optuna's, repeats included
        self._planned: list[dict[str, Any]] = list(job.enqueue)
        if job.space and job.is_grid:
            self._planned += enumerate_grid(find_space(job.space))

    def _is_new(self, run: RunConfig) -> bool:
        """Whether no trial with this run was proposed; without a space trials differ in their seeds alone."""
        return self._job.space is None or run not in self._seen

    def _first(self, suggested: Mapping[str, Any]) -> RunConfig:
        """The run of a configuration, as that of trial 0: two trials with the same would be the same experiment."""
        return build_trial_run(self._job, suggested)

    def ask(self) -> Proposal | None:
        """The next configuration, or None when the trials are used up or the space is exhausted."""
        limit = self._job.trial_limit
        if limit is not None and self._asked >= limit:
            return None
        while self._planned:
            params = self._planned.pop(0)
            if self._is_new(self._first(suggest(self._job, FixedTrial(params)))):
                return self._propose(params)
        if self._job.is_grid:
            return None
        for draws in range(1, REPEATS_BEFORE_ENUMERATING + 1):
            trial = self._ask_optuna()
            first = self._first(suggest(self._job, trial))
            if self._is_new(first):
                return self._accept(trial, first, draws)
            self._study.tell(trial, state=TrialState.FAIL)
        return self._ask_unseen()

    def _ask_unseen(self) -> Proposal | None:
        """After many repeats: a finite space is nearly used up, so look for what is left of it."""
        try:
            for params in enumerate_grid(find_space(str(self._job.space))):
                if self._is_new(self._first(suggest(self._job, FixedTrial(params)))):
                    return self._propose(params, draws=REPEATS_BEFORE_ENUMERATING)
        except NotFinite:
            pass
        return None

    def _ask_optuna(self, *, enqueued: bool = False) -> Trial:
        sampler = self._job.sampler
        self._study.sampler = make_sampler(sampler.name, sampler.options, seed=self._job.seed, trial=self._made)
        self._made += not enqueued
        return self._study.ask()

    def _propose(self, params: Mapping[str, Any], draws: int = 0) -> Proposal:
        self._study.enqueue_trial(dict(params))
        self._made += 1
        trial = self._ask_optuna(enqueued=True)
        return self._accept(trial, self._first(suggest(self._job, trial)), draws)

    def _accept(self, trial: Trial, first: RunConfig, draws: int) -> Proposal:
        self._seen.add(first)
        number = self._asked
        self._asked += 1
        self._trials[number] = trial
        return Proposal(number, dict(trial.params), numbered(self._job, first, number, final=self._final), draws)

    def replay(self, params: Mapping[str, Any], draws: int) -> Proposal:
        """Put a trial that was asked for earlier back into the study.

        The sampler draws as often as it did then, because some of Optuna's keep count in the study; should it draw
        something else (another version of Optuna), the trial is given as it was.
        """
        for _ in range(draws):
            trial = self._ask_optuna()
            suggested = suggest(self._job, trial)
            if trial.params == params:
                return self._accept(trial, self._first(suggested), draws)
            self._study.tell(trial, state=TrialState.FAIL)
        return self._propose(params, draws)

    def report(self, number: int, value: float, milestone: int) -> None:
        """A validation value at a multiple of the validation interval."""
        self._trials[number].report(value, milestone)

    def should_prune(self, number: int) -> bool:
        """Whether the pruner wants this trial to end."""
        return bool(self._trials[number].should_prune())  # some pruners answer with NumPy's bool

    def tell(self, number: int, state: State, value: float) -> None:
        """A trial has ended; a diverged one counts as pruned, so that samplers learn to avoid it."""
        if state is State.COMPLETE:
            self._study.tell(self._trials[number], value)
        else:
            pruned = state in (State.PRUNED, State.DIVERGED)
            self._study.tell(self._trials[number], state=TrialState.PRUNED if pruned else TrialState.FAIL)
