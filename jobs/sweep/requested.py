"""What users ask of a running sweep: each request is checked, journaled, and then removed."""

from collections.abc import Callable, Iterator, Sequence

from jobs.jobfile.given import given_point
from jobs.jobfile.resolving import numbered
from jobs.jobfile.schema import Job
from jobs.store import requests
from jobs.store.events import Asked, Event, Params
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.live import Added, Declined, Limited, TakenOut
from jobs.store.names import trial_name
from jobs.store.requests import Add, Limit, Prune, Request
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep import tracked
from jobs.sweep.clock import Clock
from jobs.sweep.failures import Failures
from jobs.sweep.proposals import Impossible, Proposals
from jobs.sweep.reported import Told
from jobs.sweep.warm_starts import keep_start, weights_to_begin_with
from oplstm.errors import RequestError
from oplstm.training.run import RunConfig
from tracking.outbox.records import Record


class Requested:
    """The requests to one sweep.

    Args:
        folder: Of the sweep.
        header: Of the sweep.
        state: Of the sweep, which is read and not changed.
        proposals: Of the sweep, which learn of what is added and what ends while it waits.
        failures: Of its packs, which are told what a person should know.
        clock: Of the sweep.
        new_runs: Makes the records that create the runs of trials.
    """

    def __init__(
        self,
        folder: SweepFolder,
        header: Header,
        *,
        state: SweepState,
        proposals: Proposals,
        failures: Failures,
        clock: Clock,
        new_runs: Callable[[Sequence[Trial]], list[Record]],
    ) -> None:
        self._folder, self._header, self._state, self._proposals = folder, header, state, proposals
        self._failures, self._clock, self._new_runs = failures, clock, new_runs

    def told(self) -> Iterator[Told]:
        """What the requests that are left become, the oldest first.

        Each is to be written, to the disk, before the next is asked for: then it is removed. A sweep in which nothing
        is left to do takes none up.
        """
        for name in requests.left(self._folder):
            if name not in self._state.live.answers:
                if self._state.complete:
                    return
                yield self._taken(name)
            requests.remove(self._folder, name)

    def turned_away(self) -> Iterator[Told]:
        """The same for a sweep that ends, which declines what is left."""
        for name in requests.left(self._folder):
            if name not in self._state.live.answers:
                yield _declined(name, f"{self._header.name} ended before it was taken up")
            requests.remove(self._folder, name)

    def _taken(self, name: str) -> Told:
        try:
            return self._answered(name, requests.read(self._folder, name))
        except (ValueError, RequestError) as error:
            lines = error.problems if isinstance(error, RequestError) else (str(error),)
            for line in lines:
                self._failures.say(f"declined: {line}")
            return _declined(name, *lines)

    def _answered(self, name: str, request: Request) -> Told:
        match request:
            case Prune():
                return self._prune(name, request)
            case Add():
                return self._add(name, request)
            case Limit(concurrent=limit):
                self._failures.say(f"at most {limit} trials train from now on" if limit else "no limit any more")
                return Told((Limited(request=name, concurrent=limit),), (tracked.limited(self._header, limit),))

    def _prune(self, name: str, request: Prune) -> Told:
        trial = trial_to_prune(self._state, request, name=self._header.name)
        event, waits = TakenOut(request=name, trial=trial.name, waits=trial.pack is None), trial.pack is None
        self._failures.say(f"{trial.name} is pruned by hand")
        if waits:
            self._proposals.tell(trial.number, TrialState.PRUNED, self._header.measure.worst)
        records = [*self._new_runs([trial]), *tracked.taken_out(self._header, trial, now=self._clock.now())]
        return Told((event,), tuple(records))

    def _add(self, name: str, request: Add) -> Told:
        params, run = point_to_add(self._header.job, self._state, request, name=self._header.name)
        weights = None
        if request.warm_start:
            weights = weights_to_begin_with(self._folder, self._state, request, run=run)
            keep_start(self._folder.start(trial_name(len(self._state.trials))), weights)
        proposal = self._proposals.add(params, warm=weights is not None)
        if isinstance(proposal, Impossible):  # which the check above would have said
            raise RequestError(proposal.reason)
        begins = "" if weights is None else f", to begin with the weights of {request.like} at update {weights.update}"
        self._failures.say(f"{trial_name(proposal.number)} was added by hand{begins}")
        event: Event = Asked(
            trial=proposal.number,
            params=proposal.params,
            run=proposal.run.to_dict(),
            added=Added(request=name, like=request.like, from_update=None if weights is None else weights.update),
        )
        return Told((event,), ())


def _declined(name: str, *reasons: str) -> Told:
    return Told((Declined(request=name, reasons=reasons),), ())


def trial_to_prune(state: SweepState, request: Prune, *, name: str) -> Trial:
    """The trial that a request would end.

    Args:
        state: Of the sweep.
        request: For it.
        name: Of the sweep.

    Raises:
        RequestError: There is none, it is a replicate, or it has ended.
    """
    trial = _trial(state, request.trial, name=name)
    if trial.replicate:
        raise RequestError(f"{trial.name} is one more seed of another trial, for its promotion, and is not pruned")
    if trial.state.ended:
        raise RequestError(f"{trial.name} of {name} has ended already: it is {trial.state}")
    if trial.taken_out:
        raise RequestError(f"{trial.name} of {name} is being pruned already")
    return trial


def point_to_add(job: Job, state: SweepState, request: Add, *, name: str) -> tuple[Params, RunConfig]:
    """The point that a request would add, and its run as that of trial 0.

    Args:
        job: Of the sweep.
        state: Of the sweep.
        request: For it.
        name: Of the sweep.

    Raises:
        RequestError: Everything that is wrong with it, one line each; or it is that of a trial which there is.
    """
    if request.warm_start and request.like is None:
        raise RequestError("--warm-start begins with the weights of the trial that --like names: give that too")
    like = {} if request.like is None else _trial(state, request.like, name=name).params
    params, run = given_point(job, request.values, like=like)
    for trial in () if request.warm_start else state.trials.values():
        if trial.run and not trial.is_warm and numbered(job, run, trial.number, final=False) == trial.config:
            raise RequestError(f"this configuration is {trial.name} of {name} already, which is {trial.state}")
    return params, run


def _trial(state: SweepState, trial: str, *, name: str) -> Trial:
    if trial not in state.by_name:
        raise RequestError(f"{name} has no trial {trial!r}; oplstm status {name} shows its trials")
    return state.by_name[trial]
