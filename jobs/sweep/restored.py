"""Trials that go back into Optuna's study as a journal has them: many at once, and no sampler is asked again."""

import math
from datetime import datetime
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.samplers import RandomSampler
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, Trial, TrialState


class PointTrial(FixedTrial):
    """A trial at a point. Of what is asked for twice it keeps the first range, as trials that Optuna asks for do."""

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        first = self._distributions.get(name, distribution)
        value = super()._suggest(name, distribution)
        self._distributions[name] = first
        return value


class Restored:
    """Trials on their way into a study, each with what was told of it so far.

    Whoever asks Optuna for each of them, reports each value and tells each end writes a dozen lines of the study's
    file; a trial that is put into it as it has become is one. What the study then holds is the same.

    Args:
        study: Where they go.
        alike: Whether it takes such alone as have the same parameters.
    """

    def __init__(self, study: Study, *, alike: bool) -> None:
        self._study, self._alike_only = study, alike
        self._trials: dict[int, FrozenTrial] = {}
        self._distributions: dict[str, BaseDistribution] = {}

    def known(self, trial: PointTrial) -> dict[str, BaseDistribution] | None:
        """The distributions of a trial, of which the thousands that are equal are one object; None if it takes it not.

        To the study, a parameter keeps its kind of distribution, and a choice its choices.
        """
        if self._alike_only and self._distributions and trial.distributions.keys() != self._distributions.keys():
            return None
        found = {}
        for name, own in trial.distributions.items():
            found[name] = first = self._distributions.setdefault(name, own)
            if first != own:
                try:
                    check_distribution_compatibility(first, own)
                except ValueError:
                    return None
                found[name] = own
        return found

    def put(self, number: int, trial: PointTrial, *, distributions: dict[str, BaseDistribution], given: bool) -> None:
        """A trial at a point.

        Args:
            number: Of the trial, in the sweep.
            trial: The point, after the space was asked.
            distributions: Of ``known``.
            given: Whether the point was enqueued, and not drawn.
        """
        fixed = {"fixed_params": dict(trial.params)} if given else {}
        self._trials[number] = FrozenTrial(
            number=-1, trial_id=-1, state=TrialState.RUNNING, value=None, datetime_start=datetime.now(),
            datetime_complete=None, params=trial.params, distributions=distributions,
            user_attrs=trial.user_attrs, system_attrs=fixed | trial.system_attrs, intermediate_values={},
        )  # fmt: skip

    def report(self, number: int, value: float, step: int) -> bool:
        """Keep a value of a trial; False if it is none of these."""
        trial = self._trials.get(number)
        if trial is not None:
            trial.intermediate_values.setdefault(step, float(value))
        return trial is not None

    def tell(self, number: int, state: TrialState, value: float) -> bool:
        """Keep the end of a trial, as ``Study.tell`` takes it; False if it is none of these."""
        trial = self._trials.get(number)
        if trial is None:
            return False
        if state is TrialState.COMPLETE and not math.isnan(value):
            trial.values = [float(value)]
        elif state is TrialState.PRUNED and trial.last_step is not None:
            trial.values = [trial.intermediate_values[trial.last_step]]
        elif state is TrialState.COMPLETE:
            state = TrialState.FAIL
        trial.state, trial.datetime_complete = state, datetime.now()
        return True

    def settle(self) -> dict[int, Trial]:
        """Put them into the study; gives those that go on, by their numbers in the sweep."""
        storage, study_id = self._study._storage, self._study._study_id
        ids = {number: storage.create_new_trial(study_id, trial) for number, trial in self._trials.items()}
        running = [number for number, trial in self._trials.items() if not trial.state.is_finished()]
        if running:
            self._study.sampler = RandomSampler(seed=0)  # they have all their values, and nothing is drawn
        self._trials = {}
        return {number: Trial(self._study, ids[number]) for number in running}
