"""Control of a sweep that runs, in whatever process: prune, add, limit.

Each leaves a request in the sweep's folder and waits until it is taken up, up to some 20 seconds; of a sweep that was
stopped it takes effect when that goes on. What became of it is told by ``taken_up``, ``trial`` and ``said``.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.api.asked import AnyHome, home_of, texts_of
from jobs.api.process import as_before
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.operations.live import Asked


def prune(name: str, trial: str, *, home: AnyHome = None) -> "Asked":
    """End a trial as pruned: at its next validation point, or at once where it waits.

    Args:
        name: Of the sweep.
        trial: Name of the trial.
        home: Where the sweep is.

    Raises:
        RequestError: There is no such trial, it has ended, or so has the sweep.
    """
    from jobs.operations import live

    with as_before():
        return live.prune(home_of(home), name, trial)


def add(
    name: str,
    values: Mapping[str, Any] = {},
    *,
    like: str | None = None,
    warm_start: bool = False,
    home: AnyHome = None,
) -> "Asked":
    """Add a configuration of one's own, which joins the next pack.

    Args:
        name: Of the sweep.
        values: Of parameters of its space, by name.
        like: Name of the trial that gives the other parameters.
        warm_start: It begins with the best weights so far of that trial; it is then not ranked and never promoted.
        home: Where the sweep is.

    Raises:
        RequestError: Everything that is wrong with it, or the sweep has ended.
    """
    import yaml

    from jobs.operations import live

    with as_before():
        try:
            given = texts_of(values)
        except yaml.YAMLError as error:
            raise RequestError(f"values must be plain: {' '.join(str(error).split())[:200]}") from error
        return live.add(home_of(home), name, given, like=like, warm_start=warm_start)


def limit(name: str, concurrent: int | None, *, home: AnyHome = None) -> "Asked":
    """Let so many trials of a sweep train at once, at most; those that train go on.

    Args:
        name: Of the sweep.
        concurrent: So many, from 1; None for no limit.
        home: Where the sweep is.

    Raises:
        RequestError: There is no such sweep, or it has ended; or the limit is less than 1.
    """
    from jobs.operations import live

    if concurrent is not None and concurrent < 1:
        raise RequestError(f"concurrent must be >= 1, or None for no limit, got {concurrent}")
    with as_before():
        return live.limit(home_of(home), name, concurrent)
