"""Puts a trained model into the MLflow Model Registry, without pickle."""

import hashlib
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from oplstm.errors import RequestError, WorkError
from tracking.results.crowning import Validated
from tracking.server.client import connect, error_code, one_line
from tracking.server.inside import CannotUpload, checked_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array

CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"
_FOLDER: Final = "registered_model"
_WEIGHTS: Final = "oplstm.weights"
"""Tag of a version: what it was made of."""
_PACKAGES: Final = ("torch", "numpy", "safetensors")
_LOADER: Final = "tracking.registered_model"
_NEEDS: Final = (
    "Loading this model needs oplstm, which is in no package index: install it from its source, or put its folder "
    "on PYTHONPATH. The packages in requirements.txt are what oplstm needs for it."
)


@dataclass(frozen=True)
class Registration:
    """What becomes a version of a registered model.

    Attributes:
        name: Of the registered model; made if need be.
        run_id: The run that trained it.
        model_dir: What `oplstm.training.checkpoint.load_model` reads.
        description: What it is, for a person.
        tags: Of the version.
        replaces: The one of the tags whose value tells a new promotion from a further version of the same.
        validated: What it is worth; it is compared with the champion of another promotion.
    """

    name: str
    run_id: str
    model_dir: Path
    description: str
    tags: dict[str, str]
    replaces: str
    validated: Validated

    @property
    def digest(self) -> str:
        """SHA-256 of its files' manifest, which holds theirs."""
        return hashlib.sha256((self.model_dir / "run.json").read_bytes()).hexdigest()


@dataclass(frozen=True)
class Registered:
    """A version of a registered model.

    Attributes:
        version: Its number.
        kept: Why the champion stays what it was; None where this is the champion now.
    """

    version: str
    kept: str | None


def register_model(uri: str, model: Registration, *, crown: bool = False) -> Registered:
    """Upload the model of a run, register it and make it the champion, if it is not worse by meta-validation.

    `models:/<name>@champion` is this model then, and `@previous` what was the champion of another promotion. A run is
    registered once: doing it again only sets the description, the tags and the aliases.

    Args:
        uri: Of the tracking server.
        model: It.
        crown: Make it the champion also where it is worse, or cannot be compared.

    Raises:
        WorkError: The server did not take it, or there is no model, or a link in it leads out of the folder it is in.
    """
    if not (model.model_dir / "run.json").is_file():
        raise WorkError(f"there is no model at {model.model_dir}")
    try:
        checked_artifact(model.model_dir.parent, model.model_dir.name)
    except CannotUpload as error:
        raise WorkError(f"the model {model.name} is not registered: {error}") from error
    client = connect(uri)
    try:
        number = _known_version(client, model) or _new_version(client, model)
        client.update_model_version(model.name, number, f"{model.description}\n\n{_NEEDS}")
        for tag, value in (model.tags | model.validated.tags()).items():
            client.set_model_version_tag(model.name, number, tag, value)
        return Registered(number, _crown(client, model, number, whatever=crown))
    except Exception as error:
        raise WorkError(f"the MLflow server did not register the model {model.name}: {one_line(error)}") from error


def _crown(client: "MlflowClient", model: Registration, number: str, *, whatever: bool) -> str | None:
    """Make a version the champion, or say why not; a champion of another promotion becomes the previous one."""
    aliases = client.get_registered_model(model.name).aliases
    champion = aliases.get(CHAMPION)
    if champion is not None and champion != number:
        tags = client.get_model_version(model.name, champion).tags
        if tags.get(model.replaces) != model.tags[model.replaces]:
            if not whatever and (why := model.validated.behind(tags)) is not None:
                return f"{model.name}:{number} is registered, and {model.name}:{champion} stays the champion: {why}"
            client.set_registered_model_alias(model.name, PREVIOUS, champion)
    client.set_registered_model_alias(model.name, CHAMPION, number)
    return None


def download_model(uri: str, reference: str, into: Path) -> Path:
    """Fetch a registered model.

    Args:
        uri: Of the tracking server.
        reference: ``NAME`` (its champion), ``NAME@ALIAS`` or ``NAME:VERSION``.
        into: An empty folder.

    Returns:
        The folder that `oplstm.training.checkpoint.load_model` reads.

    Raises:
        RequestError: There is no such model on the server, or it is none of oplstm's.
    """
    name, colon, number = reference.partition(":")
    name, at, alias = (name, "", "") if colon else reference.partition("@")
    client = connect(uri)
    try:
        version = number if colon else client.get_model_version_by_alias(name, alias if at else CHAMPION).version
        source = client.get_model_version_download_uri(name, str(version))
        from mlflow.artifacts import download_artifacts

        local = Path(download_artifacts(artifact_uri=source, dst_path=str(into), tracking_uri=uri))
    except Exception as error:
        raise RequestError(f"no registered model {reference!r} on {uri}: {one_line(error)}") from error
    found = sorted(path.parent for path in local.glob("data/*/run.json"))
    if len(found) != 1:
        raise RequestError(f"the registered model {reference!r} was not registered by oplstm")
    return found[0]


def _known_version(client: "MlflowClient", model: Registration) -> str | None:
    """That of these weights: a run that was trained on since its model was registered has others."""
    found = client.search_model_versions(f"run_id = '{model.run_id}'")
    same = [known for known in found if known.name == model.name and known.tags.get(_WEIGHTS) == model.digest]
    return str(max(int(known.version) for known in same)) if same else None


def _new_version(client: "MlflowClient", model: Registration) -> str:
    from mlflow import pyfunc

    folder_there = f"{_FOLDER}-{model.digest[:12]}"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*input example was not provided.*")
        path = Path(folder) / _FOLDER
        pyfunc.save_model(
            str(path),
            loader_module=_LOADER,
            data_path=str(model.model_dir),
            signature=_signature(model.model_dir),
            # else MLflow loads the model to find them, for a minute
            pip_requirements=[f"{package}=={_installed(package)}" for package in _PACKAGES],
            metadata={"oplstm": _installed("oplstm"), "needs": _NEEDS},
        )
        client.log_artifacts(model.run_id, str(path), folder_there)
    try:
        client.create_registered_model(model.name, description="Few-shot learners promoted by oplstm")
    except Exception as error:
        if error_code(error) != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(model.run_id).info.artifact_uri}/{folder_there}"
    made = client.create_model_version(
        model.name, source, model.run_id, tags={_WEIGHTS: model.digest}, await_creation_for=0
    )
    return str(made.version)


def _signature(model_dir: Path) -> "ModelSignature":
    """A row is a task: nested lists of its points, whose depth is that of an input."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import Array

    from oplstm.training.checkpoint import load_model  # imports torch

    def points(dimensions: int) -> "Array":
        of = DataType.double if dimensions == 1 else points(dimensions - 1)
        return Array(of)

    x = 1 + len(load_model(model_dir).pack.learner.shape.x)
    dimensions = {"support_x": x, "support_y": 2, "query_x": x}
    inputs: list[ColSpec | TensorSpec] = [ColSpec(points(count), name) for name, count in dimensions.items()]
    return ModelSignature(Schema(inputs), Schema([ColSpec(points(2))]))


def _installed(package: str) -> str:
    try:
        return version(package).partition("+")[0]
    except PackageNotFoundError:
        return "not installed"  # oplstm run from a checkout
