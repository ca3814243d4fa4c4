"""How MLflow loads a model that was registered by oplstm: data only, this module is the code.

The name of this module and of `_load_pyfunc` stand inside every model that a user has registered: they must stay.
Loading a model needs this package and `oplstm`, which are in no package index, so it does not ask pip for them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oplstm.training.model import Model

_FIELDS = ("support_x", "support_y", "query_x")


class RegisteredModel:
    """A trained learner behind MLflow's `predict`."""

    def __init__(self, model: "Model") -> None:
        self._model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[Any]:
        """Learn one task from its support set and predict its queries.

        Args:
            model_input: A dict (one task) with "support_x" (M, *x), "support_y" (M, dy) and "query_x" (Q, *x), as
                nested lists or arrays, where an x is (dx,) or an image (channels, height, width); or a DataFrame with
                these columns and a task a row.
            params: MLflow's; not used.

        Returns:
            The predictions (Q, dy) of each task as nested lists: MLflow makes a DataFrame of one row of a dict.

        Raises:
            ValueError: A field is missing, or has another shape.
        """
        if hasattr(model_input, "to_dict"):
            return [self._one_task(row) for row in model_input.to_dict(orient="records")]
        return [self._one_task(model_input)]

    def _one_task(self, task: dict[str, Any]) -> list[Any]:
        import numpy as np
        import torch

        missing = [name for name in _FIELDS if name not in task]
        if missing:
            raise ValueError(f"the input must have {', '.join(_FIELDS)} and lacks {', '.join(missing)}")
        tensors = {name: torch.as_tensor(np.array(task[name], dtype=np.float32)) for name in _FIELDS}
        predictions: list[Any] = self._model.predict(**tensors).tolist()
        return predictions


def _load_pyfunc(data_path: str) -> RegisteredModel:
    """MLflow calls this with the place of the model's data."""
    from oplstm.training.checkpoint import load_model

    return RegisteredModel(load_model(Path(data_path)))
