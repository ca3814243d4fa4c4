"""Few-shot sine regression (Section 5; Finn et al., 2017): y = A sin(x - p), fitted from k points."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from oplstm.configuration import Problems, positive
from oplstm.episodes.measure import LOSS, Measure
from oplstm.episodes.split import Split
from oplstm.episodes.task_shape import TaskShape

if TYPE_CHECKING:  # they need torch
    from oplstm.episodes.benchmark import Arrays
    from oplstm.episodes.episode import Episode


@dataclass(frozen=True, kw_only=True)
class SineTasks:
    """Tasks with amplitude A ~ U[0.1, 5], phase p ~ U[0, pi] and inputs x ~ U[-5, 5].

    Attributes:
        shots: k, the points in the support set.
        queries: Points in the query set.
        phase: ``minus`` for sin(x - p), as in the paper; ``plus`` for sin(x + p), as in the authors' code.
    """

    shots: int = 5
    queries: int = 50
    phase: Literal["minus", "plus"] = "minus"

    name: ClassVar[str] = "sine"
    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}, "authors": {"phase": "plus"}}
    measure: ClassVar[Measure] = LOSS
    amplitude: ClassVar[tuple[float, float]] = (0.1, 5.0)
    inputs: ClassVar[tuple[float, float]] = (-5.0, 5.0)
    shape: ClassVar[TaskShape] = TaskShape((1,), 1, "mse")

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "shots", "queries")

    def open(self, data: Path | None = None) -> "SineTasks":
        """The tasks; they need no data."""
        return self

    def gather(self, episode: "Episode") -> "Episode":
        """The episode as it is."""
        return episode

    def sample(self, rng: np.random.Generator, count: int, split: Split) -> "Arrays":
        """Draw ``count`` tasks; all splits have the same distribution.

        Amplitudes, phases and query inputs are drawn before the support inputs, so tasks that differ in ``shots``
        alone share them: comparisons over k are paired.
        """
        amplitude = rng.uniform(*self.amplitude, (count, 1))
        shift = rng.uniform(0, np.pi, (count, 1)) * (-1 if self.phase == "minus" else 1)
        query_x = rng.uniform(*self.inputs, (count, self.queries))
        support_x = rng.uniform(*self.inputs, (count, self.shots))
        support_y, query_y = (amplitude * np.sin(x + shift) for x in (support_x, query_x))
        return support_x[..., None], support_y[..., None], query_x[..., None], query_y[..., None]

    def partial_title(self) -> None:
        """None: nothing can be absent."""

    def digests(self) -> dict[str, str]:
        """None: there are no data."""
        return {}

    def cross(self) -> dict[str, "SineTasks"]:
        """None: there is one domain."""
        return {}

    def digest(self) -> str:
        """SHA-256 over the definition of the benchmark."""
        definition = {"benchmark": self.name, "amplitude": self.amplitude, "inputs": self.inputs, **asdict(self)}
        return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
