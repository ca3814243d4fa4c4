"""Experiments are made once, as the UI wants them."""

import pytest

from tests.tracking.conftest import Rest, texts
from tracking.server.client import connect
from tracking.server.experiments import prepare_experiment


@pytest.mark.integration
def test_experiments_are_made_once_with_kind_and_description(rest: Rest, unique: str) -> None:
    client = connect(rest.uri)
    experiment_id = prepare_experiment(client, unique)
    client.set_experiment_tag(experiment_id, "mlflow.note.content", "the user's own words")
    assert prepare_experiment(client, unique) == experiment_id == rest.experiment_id(unique)
    stored = rest.get("experiments/get", experiment_id=experiment_id)["experiment"]
    tags = texts({"data": stored}, "tags")
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"] == "the user's own words"
