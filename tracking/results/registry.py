"""Puts a trained model into the MLflow Model Registry, without pickle."""

import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oplstm.errors import WorkError
from tracking.server.client import connect, error_code, one_line
from tracking.server.inside import CannotUpload, checked_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FOLDER: Final = "registered_model"
_PACKAGES: Final = ("torch", "numpy", "safetensors")
_LOADER: Final = "tracking.registered_model"
_NEEDS: Final = (
    "Loading this model needs oplstm, which is in no package index: install it from its source, or put its folder "
    "on PYTHONPATH. The packages in requirements.txt are what oplstm needs for it."
)


def register_model(
    uri: str, *, run_id: str, model_dir: Path, name: str, tags: Mapping[str, str], alias: str = "champion"
) -> str:
    """Upload the model of a run, register it and give it an alias.

    A run is registered once: doing it again only sets the tags and the alias.

    Args:
        uri: Of the tracking server.
        run_id: The run that trained it.
        model_dir: What `oplstm.training.checkpoint.load_model` reads.
        name: Of the registered model; made if need be.
        tags: Of the version.
        alias: `models:/<name>@<alias>` is the model from now on.

    Returns:
        The version.

    Raises:
        WorkError: The server did not take it, or there is no model, or a link in it leads out of the folder it is in.
    """
    if not model_dir.is_dir():
        raise WorkError(f"there is no model at {model_dir}")
    try:
        checked_artifact(model_dir.parent, model_dir.name)
    except CannotUpload as error:
        raise WorkError(f"the model {name} is not registered: {error}") from error
    client = connect(uri)
    try:
        number = _known_version(client, name, run_id) or _new_version(client, run_id, model_dir, name)
        for tag, value in tags.items():
            client.set_model_version_tag(name, number, tag, value)
        client.set_registered_model_alias(name, alias, number)
    except Exception as error:
        raise WorkError(f"the MLflow server did not register the model {name}: {one_line(error)}") from error
    return number


def _known_version(client: "MlflowClient", name: str, run_id: str) -> str | None:
    found = client.search_model_versions(f"run_id = '{run_id}'")
    numbers = [int(known.version) for known in found if known.name == name]
    return str(max(numbers)) if numbers else None


def _new_version(client: "MlflowClient", run_id: str, model_dir: Path, name: str) -> str:
    from mlflow import pyfunc

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _FOLDER
        pyfunc.save_model(
            str(path),
            loader_module=_LOADER,
            data_path=str(model_dir),
            # else MLflow loads the model to find them, for a minute
            pip_requirements=[f"{package}=={_installed(package)}" for package in _PACKAGES],
            metadata={"oplstm": _installed("oplstm"), "needs": _NEEDS},
        )
        client.log_artifacts(run_id, str(path), _FOLDER)
    try:
        client.create_registered_model(name, description="Few-shot learners promoted by oplstm")
    except Exception as error:
        if error_code(error) != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/{_FOLDER}"
    made = client.create_model_version(name, source, run_id, description=_NEEDS, await_creation_for=0)
    return str(made.version)


def _installed(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"  # oplstm run from a checkout
