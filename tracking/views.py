"""Where in the MLflow UI things are seen."""

from typing import TYPE_CHECKING

from tracking.client import error_code

if TYPE_CHECKING:
    from mlflow import MlflowClient


def prepare_experiment(client: "MlflowClient", name: str) -> str:
    """The id of the experiment `name`, which is made, or brought back from the bin, if need be."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name))
        except Exception as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # made by another process just now
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
