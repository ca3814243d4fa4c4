"""The descriptions of runs in MLflow, in Markdown: what each is, how to train it again, and where to look next."""

import json
import re
from typing import Any, Final

from jobs.store.header import Header
from jobs.store.names import trial_name
from jobs.store.states import SweepKind
from jobs.store.trial import Trial
from tracking.outbox.links import run_link, trials_link
from tracking.results.views import view_key

_BEST: Final = "val/best"
_LONGEST: Final = 2000  # characters of a command or a list of values


def sweep_note(header: Header, *more: str) -> str:
    """That of a sweep's, training's or final run's own run; links first, because MLflow folds what is long.

    Args:
        header: Of it.
        more: Paragraphs of further links.
    """
    job = header.job
    lines = []
    if header.kind is SweepKind.SWEEP:
        lines.append(f"{trials_link('All trials', view_of(header, header.name))}, best meta-validation first.")
    lines += [*more, job.description, _budget(job.budget), _fixed(job.fixed)]
    return "\n\n".join(line for line in lines if line)


def view_of(header: Header, name: str) -> str:
    """The key of the saved view of a sweep's trials, under a name that it has or had."""
    return view_key(name, _BEST, ascending=not header.measure.higher_is_better)


def renamed_note(header: Header, note: str, *, trial: str, before: str) -> str:
    """The description of a trial's run with the name that its sweep has now.

    Args:
        header: Of the sweep.
        note: As it was told last.
        trial: Name of the trial.
        before: The name that the sweep had.
    """
    own = rf"\[{re.escape(before)}\]\(run:[^()/#]+\)"  # the id of a copy that was made a sweep of its own is another
    linked = re.sub(own, run_link(header.name, header.id), note)
    return linked.replace(_train_alone(before, trial), _train_alone(header.name, trial))


def view_tag(header: Header) -> dict[str, str]:
    """What makes shipping write the saved view of a sweep's trials, anew each time; {} for what is no sweep."""
    if header.kind is not SweepKind.SWEEP:
        return {}
    return {"oplstm.view": json.dumps([header.name, _BEST, not header.measure.higher_is_better])}


def trial_note(header: Header, trial: Trial, *first: str) -> str:
    """That of a trial's, replicate's or seed's run.

    Args:
        header: Of its sweep.
        trial: It.
        first: Paragraphs before it, such as why it has failed; "" for none.
    """
    whole = run_link(header.name, header.id)
    if trial.replicate:
        original = trial_name(trial.number)
        what = f"One more seed of {run_link(original, f'{header.id}/{original}')} of sweep {whole}, for its promotion."
    elif header.kind is SweepKind.SWEEP:
        given = " as the job lists it under `enqueue`" if trial.number < len(header.job.enqueue) else ""
        if trial.added is not None:
            given = " added by hand" + (f", like {trial.added.like}" if trial.added.like else "")
        if trial.is_warm:
            given += f", which began with {trial.began_with} and not with fresh ones, so it is not ranked"
        what = f"Trial {trial.number} of sweep {whole}: a point{given or f' that {header.job.sampler.name} proposed'}."
    else:
        kind = "final run" if header.kind is SweepKind.FINAL else "training"
        what = f"Seed {trial.number} of {kind} {whole}."
    point = ", ".join(f"{_code(name)} {_code(value)}" for name, value in trial.params.items())
    lines = [*first, what, point[:_LONGEST], _budget(header.job.budget), _alone(header, trial)]
    return "\n\n".join(line for line in lines if line)


def _alone(header: Header, trial: Trial) -> str:
    """The command that trains it once more, of a replicate or final run its configuration."""
    if not trial.run:
        return ""
    return f"Its configuration alone, in the home of its sweep:\n\n    {_train_alone(header.name, trial.name)}"


def _train_alone(sweep: str, trial: str) -> str:
    return f"oplstm train {sweep}/{trial}"


def _budget(budget: dict[str, Any]) -> str:
    return _listed("Budget", budget)


def _fixed(fixed: dict[str, Any]) -> str:
    return _listed("Fixed", fixed)


def _listed(title: str, values: dict[str, Any]) -> str:
    shown = ", ".join(f"{_code(name)} {_code(value)}" for name, value in values.items())
    return f"{title}: {shown[:_LONGEST]}." if shown else ""


def _code(value: object) -> str:
    """Text from a user, as it stands."""
    plain = re.sub(r"[`\s]+", " ", str(value)).strip()
    return f"`{plain}`" if plain else ""
