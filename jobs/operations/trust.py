"""What a sweep's folder may ask for when it is gone on with: the space it was made with, a server that was named."""

from dataclasses import replace

from optuna.trial import FixedTrial

from jobs.jobfile.resolving import build_trial_run, numbered, suggest
from jobs.jobfile.space_source import check_source
from jobs.store.header import Header
from jobs.store.servers import KnownServers
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, one_line
from oplstm.training.run import RunConfig
from search_spaces.own import is_own
from search_spaces.spaces import find_space
from tracking.server.access import without_credentials


def check_space(header: Header, state: SweepState, *, trust: bool) -> None:
    """See that a user's own space is the recorded one, and still gives the runs that it gave.

    Args:
        header: Of the sweep.
        state: Of the sweep.
        trust: Take the space as it is now; what it gave must be the same all the same.

    Raises:
        RequestError: Something of that is not so.
    """
    job = header.job
    if job.space is None or not is_own(job.space):
        return
    if not trust:
        check_source(job.space, header.space_source, name=header.name)
    try:
        find_space(job.space)
    except ValueError as error:
        raise RequestError(f"{header.name} cannot go on: {error}") from error
    for trial in state.trials.values():
        if not trial.run:
            continue
        try:
            before = RunConfig.from_dict(trial.run)
            again = numbered(job, build_trial_run(job, suggest(job, FixedTrial(trial.params))), trial.number,
                             final=header.kind is SweepKind.FINAL)  # fmt: skip
        except Exception as error:  # a space is the user's code
            raise RequestError(
                f"space {job.space!r} no longer gives {trial.name} {str(trial.params)[:200]}: {one_line(error)}; "
                f"{header.name} can go on only with the space that it was made with"
            ) from error
        if replace(again, budget=before.budget) != before:  # the sweep may have been extended since
            raise RequestError(
                f"space {job.space!r} now gives another run for {trial.name} {str(trial.params)[:200]}; {header.name} "
                "can go on only with the space that it was made with"
            )


def server_of(header: Header, chosen: str | None) -> str | None:
    """The URI of the server that a sweep tracks to, with credentials if they were given; None for the embedded one.

    Args:
        header: Of the sweep.
        chosen: Named by option or environment.

    Raises:
        RequestError: The sweep tracks to a server that this user never named.
    """
    if header.tracking_uri is None:
        return None
    wanted = without_credentials(header.tracking_uri)
    if chosen is not None and without_credentials(chosen) == wanted:
        KnownServers().add(wanted)
        return chosen
    if wanted not in KnownServers():
        raise RequestError(
            f"{header.name} tracks to {wanted}, which was never named here; if it is a server of yours, add "
            f"--tracking-uri {wanted}"
        )
    return header.tracking_uri
