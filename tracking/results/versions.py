"""The versions of a registered model that come from the runs of one sweep."""

from typing import TYPE_CHECKING, Final

from oplstm.errors import WorkError
from tracking.server.client import connect, is_missing, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_KEY_TAG: Final = "oplstm.key"
_SWEEP_TAG: Final = "oplstm.sweep"


def versions_of(client: "MlflowClient", model: str, *, key: str) -> "list[ModelVersion]":
    """Those of a sweep, oldest first.

    Args:
        client: Of the server.
        model: Name of the registered model.
        key: Of the sweep's own run, with which those of its trials begin.

    Raises:
        Exception: The server gives no answer.
    """
    quote = '"' if "'" in model else "'"
    found = [one for one in client.search_model_versions(f"name = {quote}{model}{quote}") if one.name == model]
    return sorted((one for one in found if _key_of(client, one).partition("/")[0] == key), key=lambda v: int(v.version))


def _key_of(client: "MlflowClient", version: "ModelVersion") -> str:
    """The key of the run that a version comes from; "" where that is gone, or none of oplstm's."""
    if not version.run_id:
        return ""
    try:
        return str(client.get_run(version.run_id).data.tags.get(_KEY_TAG, ""))
    except Exception as error:
        if not is_missing(error):
            raise
        return ""


def rename_in_versions(uri: str, model: str, *, key: str, before: str, after: str) -> None:
    """Put a sweep's new name into the tags and descriptions of its versions.

    Args:
        uri: Of the server.
        model: Name of the registered model.
        key: As of ``versions_of``.
        before: The sweep's name until now.
        after: Its name.

    Raises:
        WorkError: The server did not take it.
    """
    client = connect(uri)
    try:
        for one in versions_of(client, model, key=key):
            client.set_model_version_tag(model, one.version, _SWEEP_TAG, after)
            told = (one.description or "").replace(f" {before}: ", f" {after}: ", 1)
            if told != (one.description or ""):
                client.update_model_version(model, one.version, told)
    except Exception as error:
        raise WorkError(
            f"the MLflow server did not rename {before} in the registered model {model}: {one_line(error)}; "
            f"the same again goes on: oplstm rename {before} {after}"
        ) from error
