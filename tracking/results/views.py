"""Links into the MLflow UI that show something.

MLflow 3's own views hide metric columns, and a bare link to an experiment opens an overview of language-model
traces. Two things of its UI mend that: the URL parameter `workflowType`, and saved views, whose state (filter,
order, columns, charts) lies in an experiment tag that the URL names by `viewStateShareKey`, and which its menu "Views"
lists by their names.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from oplstm.errors import WorkError
from tracking.results.charts import chart_state
from tracking.server.client import connect, error_code, is_final, one_line, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SHARED_VIEW_TAG: Final = "mlflow.sharedViewState."
TRAINING: Final = "workflowType=machine_learning"
"""The parameter of a link with which a page shows its face for model training."""
_FIRST_COLUMNS: Final = ("val/loss", "val/accuracy")
_LAST_COLUMNS: Final = ("val/ci95", "train/loss", "tasks_seen")
_MAX_PARAM_COLUMNS: Final = 10
_COLUMN_WIDTH: Final = 96  # pixels
_NOTE: Final = "mlflow.note.content"
_LISTED: Final = "The trials of sweep "
_MOST_LISTED: Final = 40


def sweep_url(base_uri: str, experiment_id: str, *, sweep_key: str, metric: str, ascending: bool) -> str:
    """Link to the trials of a sweep, in order of `metric`; needs no server, but shows no metric columns.

    Args:
        base_uri: Of the server.
        experiment_id: Where the sweep is.
        sweep_key: The value of the runs' tag `oplstm.sweep`.
        metric: To order by.
        ascending: Whether the smallest value comes first.
    """
    facets = _facets(sweep_key, metric, ascending=ascending)
    wanted = {name: facets[name] for name in ("searchFilter", "orderByKey")} | {"orderByAsc": str(ascending).lower()}
    return _experiment_url(base_uri, experiment_id, wanted)


def share_sweep_view(
    client: "MlflowClient", base_uri: str, experiment_id: str, *, sweep_key: str, metric: str, ascending: bool
) -> str:
    """Link to the trials of a sweep with the metric and hyperparameter columns that matter.

    Writes the view into a tag of the experiment. Where the server does not let us, the link is `sweep_url`'s.

    Args:
        client: Of the server.
        base_uri: Of the server, as the user's browser reaches it.
        experiment_id: Where the sweep is.
        sweep_key: The value of the runs' tag `oplstm.sweep`.
        metric: To order by.
        ascending: Whether the smallest value comes first.
    """
    facets = _facets(sweep_key, metric, ascending=ascending)
    trials = client.search_runs([experiment_id], facets["searchFilter"], max_results=100)
    tuned = _tuned(trials)
    columns = [f"metrics.`{name}`" for name in (metric, *_FIRST_COLUMNS)]
    columns.append("tags.`oplstm.state`")  # a pruned trial is FINISHED to MLflow
    columns += [f"params.`{name}`" for name in tuned]
    columns = list(dict.fromkeys(columns + [f"metrics.`{name}`" for name in _LAST_COLUMNS]))
    state = {
        **facets,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": dict.fromkeys(columns, _COLUMN_WIDTH),
        "runsHiddenMode": "FIRST_20_RUNS",  # in charts; those that come first in the order
    }
    charts = chart_state(metric, tuned, seen=_metrics(trials), by_tasks=len(_values(trials, "meta_batch_size")) > 1)
    key = view_key(sweep_key, metric, ascending=ascending)
    now = round(time.time() * 1000)
    view = {"name": sweep_key, "createdAt": _created(trials, now), "updatedAt": now}
    # an MLflow without the menu reads the state itself, and has other charts
    stored = json.dumps({**state, **view, "state": json.dumps(state | charts)}, separators=(",", ":"))
    try:
        client.set_experiment_tag(experiment_id, _SHARED_VIEW_TAG + key, stored)
        describe_experiment(client, experiment_id)
    except Exception as error:
        if not is_final(error) and error_code(error) not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
            raise
        return sweep_url(base_uri, experiment_id, sweep_key=sweep_key, metric=metric, ascending=ascending)
    return _experiment_url(base_uri, experiment_id, {"viewStateShareKey": key})


def view_key(sweep_key: str, metric: str, *, ascending: bool) -> str:
    """By what a link names the saved view of a sweep; for the arguments see `sweep_url`."""
    return "oplstm-" + hashlib.sha256(f"{sweep_key} {metric} {ascending}".encode()).hexdigest()[:12]


def view_link(experiment_id: str, key: str) -> str:
    """Link to a saved view from any page of the server that it is on."""
    return _experiment_url("", experiment_id, {"viewStateShareKey": key}).removeprefix("/")


def forget_sweep_view(base_uri: str, experiment: str, *, sweep_key: str, key: str) -> None:
    """Remove the saved view of a sweep under a name that it has no more, which shows nothing, and what lists it.

    Args:
        base_uri: Of the server.
        experiment: Name of the experiment.
        sweep_key: The name.
        key: Of the view.

    Raises:
        WorkError: The server did not take it.
    """
    client = connect(base_uri)
    try:
        found = client.get_experiment_by_name(experiment)
        if found is not None and _SHARED_VIEW_TAG + key in found.tags:
            client.delete_experiment_tag(found.experiment_id, _SHARED_VIEW_TAG + key)
            describe_experiment(client, found.experiment_id)
    except Exception as error:
        raise WorkError(f"the MLflow server did not forget the view of {sweep_key}: {one_line(error)}") from error


def describe_experiment(client: "MlflowClient", experiment_id: str) -> None:
    """List the saved views of sweeps in the experiment's description; what else a person has written there stays."""
    tags = client.get_experiment(experiment_id).tags
    found: dict[str, tuple[int, str]] = {}
    for tag, text in tags.items():
        key = tag.removeprefix(_SHARED_VIEW_TAG)
        if key == tag or not key.startswith("oplstm-"):
            continue
        try:
            view = json.loads(text)
            found[key] = int(view["createdAt"]), str(view["name"])
        except (ValueError, KeyError, TypeError):
            continue  # of an older oplstm, or altered
    newest = sorted(found.items(), key=lambda item: item[1], reverse=True)[:_MOST_LISTED]
    listed = [f"* {_LISTED}[{name}]({view_link(experiment_id, key)})" for key, (_, name) in newest]
    kept = [line for line in tags.get(_NOTE, "").splitlines() if not line.startswith(f"* {_LISTED}")]
    text = "\n".join(kept).rstrip() + "\n\n" + "\n".join(listed)
    client.set_experiment_tag(experiment_id, _NOTE, text.strip())


def _experiment_url(base_uri: str, experiment_id: str, query: dict[str, str]) -> str:
    text = f"{urlencode(query, quote_via=quote, safe='')}&{TRAINING}"
    return f"{without_credentials(base_uri).rstrip('/')}/#/experiments/{experiment_id}/runs?{text}"


def _facets(sweep_key: str, metric: str, *, ascending: bool) -> dict[str, Any]:
    quoted = f'"{sweep_key}"' if "'" in sweep_key else f"'{sweep_key}'"
    return {
        "searchFilter": f"tags.`oplstm.sweep` = {quoted} AND tags.`oplstm.kind` LIKE '%-trial'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": ascending,
    }


def _tuned(trials: Sequence[Any]) -> list[str]:
    """The hyperparameters that differ between trials; those of the search space, where `space.` marks them."""
    names = sorted({name for trial in trials for name in trial.data.params})
    differing = [name for name in names if len(_values(trials, name)) > 1]
    searched = [name.removeprefix("space.") for name in differing if name.startswith("space.")]
    searched = [name if name in differing else f"space.{name}" for name in searched]
    return (searched or differing)[:_MAX_PARAM_COLUMNS]


def _values(trials: Sequence[Any], name: str) -> set[str]:
    return {trial.data.params[name] for trial in trials if name in trial.data.params}


def _metrics(trials: Sequence[Any]) -> set[str]:
    return {name for trial in trials for name in trial.data.metrics}


def _created(trials: Sequence[Any], now: int) -> int:
    return min((int(trial.info.start_time) for trial in trials), default=now)
