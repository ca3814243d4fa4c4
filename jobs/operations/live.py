"""Live control of a sweep: ending a trial, adding one, limiting how many train at once.

The verbs leave a request in the sweep's folder and wait until its coordinator has taken it up. One that does not run
takes it up when it goes on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobs.operations.running import is_running, require_at_hand, require_original
from jobs.store import requests
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.live import Answer
from jobs.store.requests import Add, Limit, Prune, Request
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from oplstm.errors import RequestError, WorkError, shown

PATIENCE: Final = 20.0
"""Seconds; a coordinator looks for requests about twice a second, unless it is busy."""
LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Asked:
    """What became of a request.

    Attributes:
        name: Of the sweep.
        taken_up: Whether it has taken effect.
        trial: Name of the trial that it is about, if it is known.
        said: One line for a person.
    """

    name: str
    taken_up: bool
    trial: str | None
    said: str


def prune(home: Home, name: str, trial: str, *, patience: float = PATIENCE) -> Asked:
    """End a trial as pruned.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        trial: Name of the trial.
        patience: Seconds to wait until it is taken up.

    Raises:
        RequestError: There is no such trial, it has ended, or so has the sweep.
    """
    from jobs.sweep.requested import trial_to_prune  # imports Optuna

    folder, header, state = _known(home, name)
    request = Prune(trial=_named(state, trial, name=name))
    found = trial_to_prune(state, request, name=header.name)
    where = "it is pruned" if found.pack is None else "it ends as pruned at its next validation point"
    return _asked(folder, request, done=lambda answer: f"{found.name} of {name}: {where}", patience=patience)


def add(
    home: Home,
    name: str,
    values: Sequence[str],
    *,
    like: str | None = None,
    warm_start: bool = False,
    patience: float = PATIENCE,
) -> Asked:
    """Add a configuration of the user's own.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        values: ``key=value`` texts, of parameters of the space.
        like: Name of the trial that gives the other parameters.
        warm_start: Whether it begins with the weights of ``like``.
        patience: Seconds to wait until it is taken up.

    Raises:
        RequestError: Everything that is wrong with it, one line each.
    """
    from jobs.operations.trust import check_space  # imports torch
    from jobs.sweep.requested import point_to_add
    from jobs.sweep.warm_starts import weights_to_begin_with
    from search_spaces.own import is_own

    folder, header, state = _known(home, name)
    like = None if like is None else _named(state, like, name=name)
    request = Add(values=_parsed(values), like=like, warm_start=warm_start)
    if not (is_own(str(header.job.space)) and is_running(folder)):  # its coordinator has the space of the user's own
        check_space(header, state, trust=False)
        _, run = point_to_add(header.job, state, request, name=header.name)
        if warm_start:
            weights_to_begin_with(folder, state, request, run=run)
    return _asked(folder, request, done=lambda answer: f"{name} has {answer.trial} now", patience=patience)


def limit(home: Home, name: str, concurrent: int | None, *, patience: float = PATIENCE) -> Asked:
    """Let so many trials of a sweep train at once, at most.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        concurrent: So many; None for no limit.
        patience: Seconds to wait until it is taken up.

    Raises:
        RequestError: There is no such sweep, or it has ended.
    """
    folder, _, _ = _known(home, name)
    said = f"{name} has no limit any more" if concurrent is None else f"at most {concurrent} trials of {name} train now"
    return _asked(folder, Limit(concurrent=concurrent), done=lambda answer: said, patience=patience)


def _known(home: Home, name: str) -> tuple[SweepFolder, Header, SweepState]:
    folder = home.sweep(name)
    require_at_hand(header := require_original(folder))
    if header.kind is not SweepKind.SWEEP:
        raise RequestError(f"{name} is a {header.kind} run, which has no trials to choose from: this takes a sweep")
    try:
        state = SweepState.of(folder, header)
    except WorkError as error:  # nothing was started
        raise RequestError(str(error)) from error
    if state.finished:
        raise RequestError(f"{name} has ended; this takes a sweep that runs or was stopped")
    return folder, header, state


def _named(state: SweepState, trial: str, *, name: str) -> str:
    if trial not in state.by_name:
        raise RequestError(f"{name} has no trial {shown(trial)}; oplstm status {name} shows its trials")
    return trial


def _parsed(values: Sequence[str]) -> dict[str, Any]:
    """Values by name, of ``key=value`` texts."""
    from jobs.jobfile.yaml_text import Unreadable, read_yaml
    from oplstm.configuration import Problems

    found: dict[str, Any] = {}
    problems: list[str] = []
    for text in values:
        key, equals, value = text.partition("=")
        wrong = Problems()
        try:
            parsed = read_yaml(value, wrong).value
        except Unreadable as error:
            problems.append(f"must be key=value, with a value in YAML, got {shown(text)}: {error.problem}")
            continue
        if not equals or not key.strip() or wrong:
            problems.append(f"must be key=value, with a value in YAML, got {shown(text)}")
        elif key.strip() in found:
            problems.append(f"{key.strip()} is given twice, the second time as {shown(text)}")
        else:
            found[key.strip()] = parsed
    if problems:
        raise RequestError(problems)
    return found


def _asked(folder: SweepFolder, request: Request, *, done: Callable[[Answer], str], patience: float) -> Asked:
    """Leave a request and wait until it is taken up, or nobody is there to do it."""
    trial = request.trial if isinstance(request, Prune) else None
    running = is_running(folder)
    name, until = requests.ask(folder, request), time.monotonic() + patience
    while running and requests.is_left(folder, name) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
        running = is_running(folder)
    state = SweepState.of(folder, Header.read(folder))
    answer = state.live.answers.get(name)
    if answer is not None and answer.reasons:
        raise RequestError(answer.reasons)
    if answer is not None:
        return Asked(folder.name, True, answer.trial, done(answer))
    if state.finished:
        requests.remove(folder, name)
        raise RequestError(f"{folder.name} ended before it was taken up")
    if running:
        return Asked(folder.name, False, trial, f"asked; {folder.name} is busy, and takes it up at its next update")
    said = f"asked; {folder.name} is not running: oplstm resume {folder.name} takes it up"
    return Asked(folder.name, False, trial, said)
