"""Which MLflow server a verb speaks to."""

from jobs.operations.tracking_server import chosen_uri


def test_the_option_wins_over_the_environment_and_without_both_the_server_is_embedded(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert chosen_uri("http://option") == "http://option"
    assert chosen_uri(None) == "http://environment"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert chosen_uri(None) is None
