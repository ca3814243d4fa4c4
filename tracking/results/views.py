"""Links into the MLflow UI that show something.

MLflow 3's own views hide metric columns, and a bare link to an experiment opens an overview of language-model
traces. Two things of its UI mend that: the URL parameter `workflowType`, and shared views, whose state (filter,
order, columns) lies in an experiment tag that the URL names by `viewStateShareKey`.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from tracking.server.client import error_code, is_final, without_credentials

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SHARED_VIEW_TAG: Final = "mlflow.sharedViewState."
_TRAINING: Final = {"workflowType": "machine_learning"}
_FIRST_COLUMNS: Final = ("val/loss", "val/accuracy")
_LAST_COLUMNS: Final = ("val/ci95", "train/loss", "tasks_seen")
_MAX_PARAM_COLUMNS: Final = 10
_COLUMN_WIDTH: Final = 96  # pixels


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
    columns = [f"metrics.`{name}`" for name in (metric, *_FIRST_COLUMNS)]
    columns.append("tags.`oplstm.state`")  # a pruned trial is FINISHED to MLflow
    columns += [f"params.`{name}`" for name in _tuned(trials)]
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
        "runsHiddenMode": "FIRST_20_RUNS",
    }
    key = "oplstm-" + hashlib.sha256(f"{sweep_key} {metric} {ascending}".encode()).hexdigest()[:12]
    try:
        client.set_experiment_tag(experiment_id, _SHARED_VIEW_TAG + key, json.dumps(state))
    except Exception as error:
        if not is_final(error) and error_code(error) not in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
            raise
        return sweep_url(base_uri, experiment_id, sweep_key=sweep_key, metric=metric, ascending=ascending)
    return _experiment_url(base_uri, experiment_id, {"viewStateShareKey": key})


def _experiment_url(base_uri: str, experiment_id: str, query: dict[str, str]) -> str:
    text = urlencode(query | _TRAINING, quote_via=quote, safe="")
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
    values: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in trial.data.params.items():
            values.setdefault(name, set()).add(value)
    differing = [name for name, seen in sorted(values.items()) if len(seen) > 1]
    searched = [name.removeprefix("space.") for name in differing if name.startswith("space.")]
    searched = [name if name in differing else f"space.{name}" for name in searched]
    return (searched or differing)[:_MAX_PARAM_COLUMNS]
