"""Recording what was picked: in the MLflow Model Registry, in the sweep's journal, on the runs of the leaders."""

import json
import math
import time
from dataclasses import dataclass

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
from oplstm.errors import RequestError, WorkError
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.keyed_runs import run_of
from tracking.outbox.links import run_address
from tracking.outbox.outbox import Outbox
from tracking.results.crowning import Validated
from tracking.results.registry import Registered, Registration, register_model
from tracking.server.client import connect, one_line
from tracking.server.reachability import check_reachable

SHIP_SECONDS = 120.0


def register(folder: SweepFolder, choice: Choice, tracking_uri: str, *, final: str, crown: bool = False) -> Promoted:
    """Register the picked trial's model, and then record the choice in the sweep's journal.

    It is the champion until its final run has ended, unless it is worse than the champion of another sweep.

    A promotion that is in the journal has been registered; one that was cut off between the two is registered again,
    which makes no second version.

    Args:
        folder: Of the sweep.
        choice: What was picked.
        tracking_uri: Of the MLflow server.
        final: Name of the final run that is to follow.
        crown: Make it the champion also where it is worse.

    Raises:
        WorkError: The server did not take it.
    """
    header = Header.read(folder)
    how = _how(by_hand=choice.instead_of is not None)
    description = f"{choice.picked} of sweep {header.name}: {header.job.learner}, {how}."
    with Outbox(folder.journal, tracking_uri) as outbox:
        state = SweepState.of(folder, header)
        worth = _validated(
            header, state, trial=choice.picked, value=choice.score_b.mean, of=f"{choice.picked} on block B"
        )
        made = _register(
            folder, header, outbox=outbox, tracking_uri=tracking_uri, trial=choice.picked, description=description,
            validated=worth, crown=crown,
        )  # fmt: skip
        event = choice.event(registered=_named(header, made), final=final)
        write_file(folder.promotion, json.dumps(encode(event), indent=2) + "\n")
        with Journal(folder.journal) as journal:
            tracked = _tracked(header, state, choice)
            journal.append([encode(event), *(record.encode() for record in tracked)])
            journal.sync()
        if outbox.flush(SHIP_SECONDS):
            raise _not_taken(folder, tracking_uri, outbox)
    return event


@dataclass(frozen=True)
class Crowned:
    """What became of the model of a final run.

    Attributes:
        registered: The registered model and its version.
        kept: Why the champion stays what it was, in a line; None where this is the champion now.
    """

    registered: str
    kept: str | None = None

    @property
    def champion(self) -> str | None:
        """The registered model and its version, where it is the champion."""
        return self.registered if self.kept is None else None


def register_final(
    folder: SweepFolder, result: FinalResult, tracking_uri: str, *, of: Promoted, crown: bool = False
) -> Crowned:
    """Register the seed of a final run that is best by validation, as the champion unless that one is better.

    What is compared is the mean over all seeds of their best validation.

    Args:
        folder: Of the final run, which has ended.
        result: Its test result.
        tracking_uri: Of the MLflow server.
        of: The promotion behind it.
        crown: Make it the champion also where it is worse.

    Raises:
        WorkError: The server did not take it.
    """
    header = Header.read(folder)
    state = SweepState.of(folder, header)
    best, scores = best_seed(state), [trial.best for trial in state.trials.values() if trial.best is not None]
    of_what = f"{header.name}, mean over {len(scores)} {'seed' if len(scores) == 1 else 'seeds'}"
    worth = _validated(header, state, trial=best.name, value=_mean(scores), of=of_what)
    test = f"test {result.measure} {result.test.mean:.4f} +- {result.test.ci95_seeds:.4f} over seeds"
    description = (
        f"{best.name} of final run {header.name}: {header.job.learner}, best of {len(result.test.seed_means)} seeds by "
        f"validation; {test}. The configuration is {of.picked} of its sweep, {_how(by_hand=of.by_hand)}."
    )
    with Outbox(folder.journal, tracking_uri) as outbox:
        made = _register(
            folder, header, outbox=outbox, tracking_uri=tracking_uri, trial=best.name, description=description,
            validated=worth, crown=crown, metrics=result.metrics(),
        )  # fmt: skip
    return Crowned(_named(header, made), made.kept)


def _mean(scores: list[float]) -> float:
    return sum(scores) / len(scores) if scores else math.nan


def _named(header: Header, made: Registered) -> str:
    return f"{header.experiment}:{made.version}"


def _validated(header: Header, state: SweepState, *, trial: str, value: float, of: str) -> Validated:
    """A validation score and the tasks that it was measured on."""
    measure, benchmark = header.measure, state.by_name[trial].run["benchmark"]
    on = f"{measure.name}: {json.dumps(benchmark, sort_keys=True)}"
    return Validated(value, measure.higher_is_better, f"{measure.name}, {of}", on)


def _how(*, by_hand: bool) -> str:
    return "chosen by hand" if by_hand else "picked by meta-validation"


def best_seed(state: SweepState) -> Trial:
    """The seed of a final run whose weights are the best by validation."""
    ended = [trial for trial in state.trials.values() if trial.state in (TrialState.COMPLETE, TrialState.DIVERGED)]
    return min(ended, key=lambda trial: (trial.cost, trial.number))


def _not_taken(folder: SweepFolder, tracking_uri: str, outbox: Outbox) -> WorkError:
    """Why a promotion cannot go on: what is wrong with the server now, or what it answered last."""
    try:
        check_reachable(tracking_uri)
        reason = outbox.last_error
    except RequestError as error:
        reason = str(error)
    return WorkError(
        f"the records of {folder.name} are not in MLflow yet: {reason}; the same promote goes on from here"
    )


def _register(
    folder: SweepFolder,
    header: Header,
    *,
    outbox: Outbox,
    tracking_uri: str,
    trial: str,
    description: str,
    validated: Validated,
    crown: bool,
    metrics: dict[str, float] | None = None,
) -> Registered:
    waiting = outbox.flush(SHIP_SECONDS)
    run_id = outbox.run_id(key(header, trial))
    if waiting or run_id is None:
        raise _not_taken(folder, tracking_uri, outbox)
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
        validated=validated,
    )
    return register_model(tracking_uri, model, crown=crown)


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
    how = _how(by_hand=choice.instead_of is not None)
    picked = records.Tags(key(header, choice.picked), {"oplstm.promoted": "true", "oplstm.promoted_how": how})
    return [*found, picked, records.Artifact(key(header), path="promotion.json", folder="promotion")]
