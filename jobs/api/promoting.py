"""From a sweep to the final run of its best configuration."""

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING

from jobs.api.asked import AnyHome, home_of
from jobs.api.process import as_before, unseen

if TYPE_CHECKING:
    from jobs.jobfile.sections import Replicates
    from jobs.operations.promoting import Carried
    from jobs.sweep.messages import OnProgress


def promote(
    name: str,
    *,
    seeds: int | None = None,
    replicates: "Replicates | int | None" = None,
    trial: str | None = None,
    again: int = 0,
    champion: bool = False,
    tracking_uri: str | None = None,
    home: AnyHome = None,
    progress: "OnProgress | None" = None,
) -> "Carried":
    """Pick the best configuration of a sweep by meta-validation, register it, and run its final run.

    Promoting again goes on where this was stopped, and afterwards says the same and trains nothing.

    Args:
        name: Of the sweep.
        seeds: Of the final run; None for as many as the job says.
        replicates: More seeds of the leaders first, such as ``Replicates(leaders=5, seeds=2)`` of
            ``jobs.jobfile.sections``; 0 for none, None for as many as the job says.
        trial: Promote this one instead of the best, without more seeds of the leaders.
        again: So many more seeds, which join those of its final run.
        champion: Make its model the champion also where it is worse than that of another sweep.
        tracking_uri: Of the sweep's MLflow server, where it was not named in this home before.
        home: Where it is.
        progress: Called about twice a second, in this thread.

    Returns:
        What was picked (``made``), the final run (``final``, whose ``result`` has the test score with its two
        intervals), what it ``registered``, and the ``champion``, which is the same unless that of another sweep is
        better (``kept`` says so); each None where it was stopped before.

    Raises:
        RequestError: The sweep runs, or no trial of it has completed; nothing was started.
        WorkError: It failed.
    """
    from jobs.operations.promote import Promotion
    from jobs.operations.promoting import Shown, carry
    from jobs.operations.tracking_server import chosen_uri

    with as_before():
        there = home_of(home)
        promotion = Promotion.of(there.sweep(name), replicates, chosen=trial)
        if promotion.missing is not None:
            warnings.warn(promotion.missing, stacklevel=2)
        show = progress or unseen
        return carry(
            there,
            promotion,
            asked=replicates,
            again=again,
            seeds=seeds,
            crown=champion,
            uri=chosen_uri(tracking_uri),
            shown=Shown(training=lambda name: nullcontext(show), notice=lambda line: warnings.warn(line, stacklevel=5)),
        )
