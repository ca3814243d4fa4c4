"""The whole of a promotion in one call: replicates, choice, registration, final run."""

from dataclasses import dataclass

from jobs.jobfile.sections import Replicates
from jobs.operations.promote import Promotion, final_run
from jobs.operations.replicate import train_replicates
from jobs.operations.reporting.tracked import track_report
from jobs.operations.running import Outcome, require_original
from jobs.operations.tracking_server import tracking_server
from jobs.operations.trust import server_of
from jobs.promotion.registration import register, register_final
from jobs.store.home import Home
from jobs.store.promoted import Promoted
from jobs.sweep.messages import OnProgress
from oplstm.errors import RequestError


@dataclass(frozen=True)
class Carried:
    """How far a promotion was carried.

    Attributes:
        made: What was picked, and what was registered; None where it was stopped before.
        final: The final run; None where it was stopped before.
        champion: The registered model and its version; None while the final run has no result.
    """

    made: Promoted | None
    final: Outcome | None = None
    champion: str | None = None


def carry(
    home: Home,
    promotion: Promotion,
    *,
    again: int,
    asked: Replicates | int | None,
    seeds: int | None,
    uri: str | None,
    progress: OnProgress,
) -> Carried:
    """Go on with a promotion from wherever it is, up to the champion that its final run gives.

    Args:
        home: Where.
        promotion: Of the sweep.
        again: So many more seeds, which join those of its final run.
        asked: How many replicates; 0 for none, None for as many as the job says.
        seeds: Of the final run; None for as many as the job says.
        uri: Of the MLflow server that was chosen.
        progress: Shows the training.

    Raises:
        RequestError: The sweep cannot be promoted; nothing was started.
        WorkError: It failed.
    """
    folder = promotion.folder
    require_original(folder)
    home.check_writable()
    server = server_of(promotion.header, uri)
    with tracking_server(home, server, wait=True) as address:
        made = promotion.made
        if made is None:
            if again:
                raise RequestError(f"{folder.name} has no final run yet that seeds could join: promote it first")
            rescore = promotion.rescorer()
            plan = promotion.next_plan(rescore)
            while plan.missing:
                if not train_replicates(folder, plan, tracking_uri=address, progress=progress):
                    return Carried(None)
                promotion = Promotion.of(folder, asked)
                plan = promotion.next_plan(rescore)
            choice = promotion.choose(home, rescore, seeds=seeds)
            made = register(folder, choice, address, final=home.free_name(f"{folder.name}-final"))
            track_report(folder, address)
        outcome = final_run(home, folder, made, seeds=seeds, uri=server, progress=progress, more=again)
        if outcome.result is None:
            return Carried(made, outcome)
        champion = register_final(outcome.folder, outcome.result, address, of=made)
        track_report(folder, address)
        return Carried(made, outcome, champion)
