"""Recording what was picked: in the sweep's journal, on the runs of the leaders, in the MLflow Model Registry."""

import time

from jobs.promotion.selection import Choice
from jobs.store.events import encode
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.sweep.tracked import key
from oplstm.errors import WorkError
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.outbox import Outbox

SHIP_SECONDS = 120.0


def register(folder: SweepFolder, choice: Choice, tracking_uri: str) -> str:
    """Record the choice in the sweep's journal and in the MLflow Model Registry.

    Returns:
        The registered model and its version, such as ``demo:1``.

    Raises:
        WorkError: The server did not take it.
    """
    from tracking.results.registry import register_model

    header = Header.read(folder)
    with Journal(folder.journal) as journal:
        tracked = _tracked(header, SweepState.of(folder, header), choice)
        journal.append([encode(choice.event()), *(record.encode() for record in tracked)])
        journal.sync()
    picked = key(header, choice.picked)
    with Outbox(folder.journal, tracking_uri) as outbox:
        waiting = outbox.flush(SHIP_SECONDS)
        run_id = outbox.run_id(picked)
        if waiting or run_id is None:
            raise WorkError(f"the MLflow server did not take the records of {folder.name}: {outbox.last_error}")
        version = register_model(
            tracking_uri,
            run_id=run_id,
            model_dir=folder.trial(choice.picked),
            name=header.experiment,
            tags={"oplstm.sweep": header.name, "oplstm.trial": choice.picked},
        )
    return f"{header.experiment}:{version}"


def _tracked(header: Header, state: SweepState, choice: Choice) -> list[records.Record]:
    """Scores of the leaders, and who was picked."""
    found, now = [], time.time()
    for leader in choice.leaders:
        metrics = {"promote/score_a": leader.score_a.mean, "promote/ci95_a": leader.score_a.half_width}
        if leader.name == choice.picked:
            metrics |= {"promote/score_b": choice.score_b.mean, "promote/ci95_b": choice.score_b.half_width}
        update = state.by_name[leader.name].best_update
        found.append(records.Points(key(header, leader.name), step=update, metrics=metrics, timestamp=now))
    return [*found, records.Tags(key(header, choice.picked), {"oplstm.promoted": "true"})]
