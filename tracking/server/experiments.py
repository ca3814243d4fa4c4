"""Experiments that the MLflow UI shows as what they are."""

from typing import TYPE_CHECKING, Final

from tracking.server.client import error_code

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TAGS: Final = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": (
        "Few-shot meta-learning runs of oplstm. A sweep is a run whose children are its trials; "
        "`val/best` is what trials are compared by. Metrics are described in docs/metrics.md."
    ),
}


def prepare_experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, which is made, or brought back from the bin, if need be."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            experiment_id = str(client.create_experiment(name, tags=_TAGS))
        except Exception as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another process just now
            if experiment is None:
                raise
    if experiment is not None:
        if experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        experiment_id = str(experiment.experiment_id)
    if not experiment_id:
        raise ConnectionError(f"the server's answer about experiment {name!r} names no experiment")
    return experiment_id
