"""The whole of a promotion in one call: replicates, choice, registration, final run."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from jobs.jobfile.sections import Replicates
from jobs.operations.promote import Promotion, final_run
from jobs.operations.replicate import train_replicates
from jobs.operations.reporting.tracked import track_report
from jobs.operations.running import Outcome, require_at_hand, require_original
from jobs.operations.tracking_server import tracking_server
from jobs.operations.trust import server_of
from jobs.promotion.registration import Crowned, register, register_final
from jobs.promotion.selection import Choice
from jobs.store.home import Home, SweepFolder
from jobs.store.promoted import Promoted
from jobs.sweep.messages import OnProgress, Progress
from oplstm.errors import RequestError


def _unsaid(text: str) -> None:
    """Nobody listens."""


def _unseen(name: str) -> AbstractContextManager[OnProgress]:
    """Shows nothing."""

    def show(progress: Progress) -> None:
        """Nobody looks."""

    return nullcontext(show)


@dataclass(frozen=True)
class Shown:
    """How a promotion is shown; by default not at all.

    Attributes:
        training: Entered while what has this name (the sweep, for its replicates, or the final run) is trained; gives
            what shows it.
        working: Entered while anything else takes time; more than once.
        doing: Told in a line what is being done, while ``working`` is entered.
        chosen: Told the choice, before it is registered.
        notice: Told in a line what a person should know.
    """

    training: Callable[[str], AbstractContextManager[OnProgress]] = _unseen
    working: AbstractContextManager[None] = field(default_factory=nullcontext)
    doing: Callable[[str], None] = _unsaid
    chosen: Callable[[Choice], None] = lambda choice: None
    notice: Callable[[str], None] = _unsaid


@dataclass(frozen=True)
class Carried:
    """How far a promotion was carried.

    Attributes:
        made: What was picked, and what was registered; None where it was stopped before.
        final: The final run; None where it was stopped before.
        registered: The registered model and the version that the final run gave; None while that has no result.
        champion: The same, where it is the champion; None where the champion that there was is better.
        kept: In a line, why the champion stays what it was; None where it does not.
    """

    made: Promoted | None
    final: Outcome | None = None
    registered: str | None = None
    champion: str | None = None
    kept: str | None = None


def carry(
    home: Home,
    promotion: Promotion,
    *,
    asked: Replicates | int | None,
    again: int = 0,
    seeds: int | None = None,
    final: str | None = None,
    crown: bool = False,
    uri: str | None,
    shown: Shown,
) -> Carried:
    """Go on with a promotion from wherever it is, up to the champion that its final run gives.

    Args:
        home: Where.
        promotion: Of the sweep.
        asked: How many replicates; 0 for none, None for as many as the job says.
        again: So many more seeds, which join those of its final run.
        seeds: Of the final run; None for as many as the job says.
        final: Name of the final run; None for the sweep's with ``-final``, with the next free number.
        crown: Make its model the champion also where it is worse than that of another promotion.
        uri: Of the MLflow server that was chosen.
        shown: How it is shown.

    Raises:
        RequestError: The sweep cannot be promoted so; nothing was started.
        WorkError: It failed.
    """
    folder, made = promotion.folder, promotion.made
    if again and made is None:
        raise RequestError(f"{folder.name} has no final run yet that seeds could join: oplstm promote {folder.name}")
    require_at_hand(require_original(folder))
    home.check_writable()
    if made is None and final is not None:
        home.new_sweep(final)  # it is refused now, and not after hours of replicates
    if made is not None and final not in (None, made.final):
        raise RequestError(
            f"{folder.name} was promoted before, and its final run is {made.final}, not {final}; "
            f"oplstm rename {made.final} {final} gives it that name"
        )
    server = server_of(promotion.header, uri)
    with tracking_server(home, server, wait=True) as address:
        if made is None:
            choice = _choice(home, promotion, asked=asked, seeds=seeds, address=address, shown=shown)
            if choice is None:
                return Carried(None)
            shown.chosen(choice)
            name = final or home.free_name(f"{folder.name}-final")
            with shown.working:
                shown.doing("registering the model")
                made = register(folder, choice, address, final=name, crown=crown)
                shown.doing("writing the report")
                track_report(folder, address)
        with shown.training(made.final or "") as show:
            outcome = final_run(
                home, folder, made, seeds=seeds, uri=server, progress=show, more=again, notice=shown.notice
            )
        if outcome.result is None:
            return Carried(made, outcome)
        crowned = register_final(outcome.folder, outcome.result, address, of=made, crown=crown)
        track_report(folder, address)
        return Carried(made, outcome, crowned.registered, crowned.champion, _kept(folder, crowned))


def _choice(
    home: Home,
    promotion: Promotion,
    *,
    asked: Replicates | int | None,
    seeds: int | None,
    address: str,
    shown: Shown,
) -> Choice | None:
    """Train the replicates that are missing, and pick; None where that was stopped."""
    folder = promotion.folder
    with shown.working:
        rescore = promotion.rescorer(shown.doing)
        plan = promotion.next_plan(rescore)
    while plan.missing:
        with shown.training(folder.name) as show:
            if not train_replicates(folder, plan, tracking_uri=address, progress=show):
                return None
        promotion = Promotion.of(folder, asked, chosen=promotion.chosen)
        with shown.working:
            plan = promotion.next_plan(rescore)
    with shown.working:
        return promotion.choose(home, rescore, seeds=seeds)


def _kept(folder: SweepFolder, crowned: Crowned) -> str | None:
    if crowned.kept is None:
        return None
    return f"{crowned.kept}; oplstm promote {folder.name} --champion makes it the champion all the same"
