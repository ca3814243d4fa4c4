"""Recording what was picked: in the MLflow Model Registry, in the sweep's journal, on the runs of the leaders."""

import json
import time

from jobs.promotion.selection import Choice
from jobs.store.events import encode
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.promoted import Promoted
from jobs.store.scores import FinalResult
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.sweep.tracked import key
from oplstm.durable import write_file
from oplstm.errors import WorkError
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.keyed_runs import run_of
from tracking.outbox.links import run_address
from tracking.outbox.outbox import Outbox
from tracking.results.registry import Registration, register_model
from tracking.server.client import connect, one_line

SHIP_SECONDS = 120.0


def register(folder: SweepFolder, choice: Choice, tracking_uri: str, *, final: str) -> Promoted:
    """Register the picked trial's model as the champion, and then record the choice in the sweep's journal.

    A promotion that is in the journal has been registered; one that was cut off between the two is registered again,
    which makes no second version.

    Args:
        folder: Of the sweep.
        choice: What was picked.
        tracking_uri: Of the MLflow server.
        final: Name of the final run that is to follow.

    Raises:
        WorkError: The server did not take it.
    """
    header = Header.read(folder)
    description = f"{choice.picked} of sweep {header.name}: {header.job.learner}, picked by meta-validation."
    with Outbox(folder.journal, tracking_uri) as outbox:
        version = _register(
            folder, header, outbox=outbox, tracking_uri=tracking_uri, trial=choice.picked, description=description
        )
        event = choice.event(registered=version, final=final)
        write_file(folder.promotion, json.dumps(encode(event), indent=2) + "\n")
        with Journal(folder.journal) as journal:
            tracked = _tracked(header, SweepState.of(folder, header), choice)
            journal.append([encode(event), *(record.encode() for record in tracked)])
            journal.sync()
        if outbox.flush(SHIP_SECONDS):
            raise WorkError(f"the MLflow server did not take the records of {folder.name}: {outbox.last_error}")
    return event


def register_final(folder: SweepFolder, result: FinalResult, tracking_uri: str, *, of: Promoted) -> str:
    """Register the seed of a final run that is best by validation as the champion, in place of the sweep's trial.

    Args:
        folder: Of the final run, which has ended.
        result: Its test result.
        tracking_uri: Of the MLflow server.
        of: The promotion behind it.

    Returns:
        The registered model and its version.

    Raises:
        WorkError: The server did not take it.
    """
    header = Header.read(folder)
    best = best_seed(SweepState.of(folder, header))
    test = f"test {result.measure} {result.test.mean:.4f} +- {result.test.ci95_seeds:.4f} over seeds"
    description = (
        f"{best.name} of final run {header.name}: {header.job.learner}, best of {len(result.test.seed_means)} seeds by "
        f"validation; {test}. The configuration is {of.picked} of its sweep, picked by meta-validation."
    )
    with Outbox(folder.journal, tracking_uri) as outbox:
        return _register(
            folder,
            header,
            outbox=outbox,
            tracking_uri=tracking_uri,
            trial=best.name,
            description=description,
            metrics=result.metrics(),
        )


def best_seed(state: SweepState) -> Trial:
    """The seed of a final run whose weights are the best by validation."""
    ended = [trial for trial in state.trials.values() if trial.state in (TrialState.COMPLETE, TrialState.DIVERGED)]
    return min(ended, key=lambda trial: (trial.cost, trial.number))


def _register(
    folder: SweepFolder,
    header: Header,
    *,
    outbox: Outbox,
    tracking_uri: str,
    trial: str,
    description: str,
    metrics: dict[str, float] | None = None,
) -> str:
    waiting = outbox.flush(SHIP_SECONDS)
    run_id = outbox.run_id(key(header, trial))
    if waiting or run_id is None:
        raise WorkError(f"the MLflow server did not take the records of {folder.name}: {outbox.last_error}")
    description = "\n\n".join([description, *_where(header, tracking_uri, run_id)])
    tags = {"oplstm.promotion_of": header.of or header.id, "oplstm.sweep": header.name, "oplstm.trial": trial}
    tags |= {name: f"{value:.6g}" for name, value in (metrics or {}).items()}
    model = Registration(
        name=header.experiment,
        run_id=run_id,
        model_dir=folder.trial(trial),
        description=description,
        tags=tags,
        replaces="oplstm.promotion_of",
    )
    return f"{header.experiment}:{register_model(tracking_uri, model)}"


def _where(header: Header, tracking_uri: str, run_id: str) -> list[str]:
    """Links from the registry to the sweep's run and report, if they are on the server."""
    client = connect(tracking_uri)
    try:
        experiment_id = str(client.get_run(run_id).info.experiment_id)
        sweep = run_of(client, experiment_id, header.of or header.id)
    except Exception as error:
        raise WorkError(f"the MLflow server did not say where {header.name} is: {one_line(error)}") from error
    if sweep is None:
        return []
    report = run_address(experiment_id, sweep, "report/report.html")
    return [f"Its sweep: [run]({run_address(experiment_id, sweep)}), [report]({report})."]


def _tracked(header: Header, state: SweepState, choice: Choice) -> list[records.Record]:
    """Scores of the leaders, who was picked, and the report of it on the sweep's own run."""
    found, now = [], time.time()
    for leader in choice.leaders:
        metrics = {"promote/score_a": leader.score_a.mean, "promote/ci95_a": leader.score_a.half_width}
        if leader.name == choice.picked:
            metrics |= {"promote/score_b": choice.score_b.mean, "promote/ci95_b": choice.score_b.half_width}
            if choice.forecast is not None:
                metrics["promote/forecast"] = choice.forecast.mean
                metrics["promote/ci95_forecast"] = choice.forecast.half_width
        update = state.by_name[leader.name].best_update
        found.append(records.Points(key(header, leader.name), step=update, metrics=metrics, timestamp=now))
    picked = records.Tags(key(header, choice.picked), {"oplstm.promoted": "true"})
    return [*found, picked, records.Artifact(key(header), path="promotion.json", folder="promotion")]
