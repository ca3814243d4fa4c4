"""What a sweep's folder may ask for when it is gone on with: the code it was made with, a server that was named."""

from dataclasses import replace

from optuna.trial import FixedTrial

from jobs.jobfile.plugins import PluginSource, find_code
from jobs.jobfile.resolving import build_trial_run, numbered, suggest
from jobs.jobfile.space_source import check_source
from jobs.store.header import Header
from jobs.store.known import KnownPlugins
from jobs.store.plugins import not_installed, take_plugin
from jobs.store.servers import KnownServers
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, one_line
from oplstm.training.run import RunConfig
from search_spaces.own import is_own
from search_spaces.spaces import SPACES, find_space
from tracking.server.client import without_credentials


def check_plugins(header: Header, *, trust: bool) -> tuple[PluginSource, ...]:
    """See that what a sweep has from outside of oplstm is as recorded, and import its plug-ins.

    Args:
        header: Of the sweep.
        trust: Take all of it as it is now, as code that the user has named.

    Returns:
        What is to be recorded from now on.

    Raises:
        RequestError: Something is missing, fails, was changed, or was never named here.
    """
    if trust:
        for source in header.plugins:
            if source.package is None:
                KnownPlugins().add(str(find_code(source.plugin).path.resolve()))
    now = []
    for source in header.plugins:
        found = _installed(header, source) if source.package else take_plugin(source, of=header.name)
        if not trust and found.path != source.path and source.package is None:
            raise _changed(header, f"was made with the plug-in {source.path}, and here it is {found.path}")
        if not trust and found.sha256 != source.sha256:
            raise _changed(header, f"cannot go on: {found.path} was changed since it was made")
        now.append(found)
    return tuple(now)


def _installed(header: Header, source: PluginSource) -> PluginSource:
    """What an installed package declares, as it is now."""
    for registry, name in source.entries():
        if registry.point(name) is None:
            raise RequestError(f"{header.name} was made with {not_installed(source)}")
    return find_code(source.plugin).source(source.brings, source.package)


def _changed(header: Header, problem: str) -> RequestError:
    return RequestError(f"{header.name} {problem}; if that is what you want: oplstm resume {header.name} --trust")


def check_space(header: Header, state: SweepState, *, trust: bool) -> None:
    """See that a space from outside of oplstm is the recorded one, and still gives the runs that it gave.

    Args:
        header: Of the sweep.
        state: Of the sweep.
        trust: Take the space as it is now; what it gave must be the same all the same.

    Raises:
        RequestError: Something of that is not so.
    """
    job = header.job
    if job.space is None or SPACES.ships(job.space):
        return
    if not trust and is_own(job.space):
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
