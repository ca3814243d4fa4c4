"""Trained models: loaded by name, scored, and put to new tasks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.api.asked import AnyHome, home_of
from jobs.api.process import as_before

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import ArrayLike, NDArray

    from jobs.operations.evaluate import Evaluation
    from oplstm.training.model import Model
    from oplstm.training.run import RunConfig


class Learner:
    """A trained run that learns new tasks.

    Attributes:
        run: Its configuration.
    """

    def __init__(self, model: "Model") -> None:
        self._model = model

    @property
    def run(self) -> "RunConfig":
        """Its configuration: learner, hyperparameters and the tasks that it was trained with."""
        return self._model.run

    def predict(
        self,
        support_x: "ArrayLike | torch.Tensor",
        support_y: "ArrayLike | torch.Tensor",
        query_x: "ArrayLike | torch.Tensor",
    ) -> "NDArray[np.float32] | torch.Tensor":
        """Learn one task from its support set and predict its queries.

        Args:
            support_x: ``(M, d_x)``, or images ``(M, channels, height, width)``, of any real type.
            support_y: ``(M, d_y)``: targets of a regression; of N classes one-hot, ``(M, N)``.
            query_x: ``(Q, ...)``, as ``support_x``.

        Returns:
            ``(Q, d_y)``, float32: predictions of a regression, scores (logits) of the classes, whose largest is the
            answer. A tensor where ``query_x`` is one, else an array.

        Raises:
            ValueError: A shape does not fit; the message names it.
        """
        import numpy as np
        import torch

        def tensor(value: Any) -> torch.Tensor:
            if isinstance(value, torch.Tensor):
                return value.detach().float()
            return torch.from_numpy(np.array(value, dtype=np.float32))

        with as_before():
            found = self._model.predict(tensor(support_x), tensor(support_y), tensor(query_x))
        return found if isinstance(query_x, torch.Tensor) else found.numpy()


def champion(name: str, *, tracking_uri: str | None = None, home: AnyHome = None) -> Learner:
    """The champion of a registered model, which ``promote`` made: its name is that of the job file.

    Args:
        name: Of the registered model.
        tracking_uri: Of its MLflow server; by default that of ``MLFLOW_TRACKING_URI``, or of the newest sweep
            in the home.
        home: Where that server's files are.

    Raises:
        RequestError: There is no such model, or no server answers.
    """
    return load_model(f"{name}@champion", tracking_uri=tracking_uri, home=home)


def load_model(model: str, *, tracking_uri: str | None = None, home: AnyHome = None) -> Learner:
    """A trained model.

    Args:
        model: A trial, ``SWEEP/TRIAL``, or a registered model: ``NAME@ALIAS`` or ``NAME:VERSION``.
        tracking_uri: As of ``champion``; no server is asked for a trial.
        home: As of ``champion``.

    Raises:
        RequestError: There is no such model.
        WorkError: A file of it is damaged.
    """
    from jobs.operations.evaluate import found_model
    from jobs.operations.tracking_server import chosen_uri
    from oplstm.training.checkpoint import load_model as load

    with as_before(), found_model(home_of(home), model, chosen_uri(tracking_uri)) as folder:
        return Learner(load(Path(folder)))


def evaluate(
    model: str,
    *,
    dataset: str | None = None,
    shots: int | None = None,
    ways: int | None = None,
    queries: int | None = None,
    passes: int | None = None,
    tasks: int = 2000,
    seed: int = 0,
    tracking_uri: str | None = None,
    home: AnyHome = None,
) -> "Evaluation":
    """Score a model on test tasks of one's choice: what is None is as in its training.

    Args:
        model: As of ``load_model``; ``NAME`` alone is the champion.
        dataset: Of the tasks.
        shots: Support points, of a class where there are classes.
        ways: Classes a task, for learners without one output a class.
        queries: Query points, of a class where there are classes.
        passes: T: over the support set, or steps of gradient descent.
        tasks: How many.
        seed: Of the tasks.
        tracking_uri: As of ``champion``.
        home: Where sweeps and datasets are.

    Raises:
        RequestError: There is no such model, it is not made for such tasks, or the data are not there.
        WorkError: A file of the model is damaged.
    """
    from jobs.operations.evaluate import Tasks
    from jobs.operations.evaluate import evaluate as score
    from jobs.operations.tracking_server import chosen_uri

    with as_before():
        on = Tasks(dataset=dataset, shots=shots, ways=ways, queries=queries, count=tasks, seed=seed)
        return score(home_of(home), model, on, passes=passes, uri=chosen_uri(tracking_uri))
