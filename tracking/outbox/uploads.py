"""Uploads the artifacts of a run: files of the sweep's folder, and pictures that are drawn on the way."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tracking.outbox.cursor import Upload
from tracking.outbox.records import Artifact, LearningCurve
from tracking.server.client import one_line
from tracking.server.inside import CannotUpload, checked_artifact

if TYPE_CHECKING:
    from mlflow import MlflowClient


def upload(client: "MlflowClient", run_id: str, record: Upload, *, folder: Path) -> None:
    """Carry out one record.

    Args:
        client: Of the server.
        run_id: MLflow's.
        record: What to upload.
        folder: Where the journal lies: nothing outside is read.

    Raises:
        CannotUpload: It is not there, is no part of the folder, or cannot be drawn.
        Exception: What MLflow's client raises.
    """
    match record:
        case Artifact():
            path = checked_artifact(folder, record.path)
            send = client.log_artifacts if path.is_dir() else client.log_artifact
            send(run_id, str(path), record.folder or None)
        case LearningCurve():
            png = _drawn(record)
            with tempfile.TemporaryDirectory() as drawer:
                picture = Path(drawer) / "learning_curve.png"
                picture.write_bytes(png)
                client.log_artifact(run_id, str(picture))


def _drawn(record: LearningCurve) -> bytes:
    from tracking.results.figures import learning_curve  # takes a second to import

    try:
        return learning_curve(record.points, record.metric, record.title)
    except Exception as error:
        raise CannotUpload(f"cannot be drawn: {type(error).__name__} {one_line(error)}") from error
