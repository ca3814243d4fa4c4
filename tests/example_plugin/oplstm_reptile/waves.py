"""Few-shot regression of triangle waves, y = A tri(x - p)."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from oplstm.configuration import Problems, positive
from oplstm.episodes.measure import LOSS, Measure
from oplstm.episodes.task_shape import TaskShape


@dataclass(frozen=True, kw_only=True)
class WaveTasks:
    """Tasks with amplitude A ~ U[0.5, 2] and phase p ~ U[0, 4], a period, and inputs x ~ U[-4, 4].

    Attributes:
        shots: Points in the support set.
        queries: Points in the query set.
    """

    shots: int = 5
    queries: int = 20

    name: ClassVar[str] = "waves"
    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}
    measure: ClassVar[Measure] = LOSS
    shape: ClassVar[TaskShape] = TaskShape((1,), 1, "mse")

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "shots", "queries")

    def open(self, data: Path | None = None) -> "WaveTasks":
        """The tasks; they need no data."""
        return self

    def sample(self, rng: np.random.Generator, count: int, split: Any) -> tuple[np.ndarray, ...]:
        """Draw ``count`` tasks from ``rng`` and from nothing else; all splits have the same distribution."""
        amplitude, phase = rng.uniform(0.5, 2, (count, 1)), rng.uniform(0, 4, (count, 1))
        query_x, support_x = (rng.uniform(-4, 4, (count, points)) for points in (self.queries, self.shots))
        support_y, query_y = (amplitude * (np.abs((x - phase) % 4 - 2) - 1) for x in (support_x, query_x))
        return support_x[..., None], support_y[..., None], query_x[..., None], query_y[..., None]

    def gather(self, episode: Any) -> Any:
        """The episode as it is: its inputs are numbers, not places of pictures."""
        return episode

    def partial_title(self) -> None:
        """None: nothing can be absent."""

    def digests(self) -> dict[str, str]:
        """None: there are no data."""
        return {}

    def cross(self) -> dict[str, "WaveTasks"]:
        """None: there is one domain."""
        return {}

    def digest(self) -> str:
        """SHA-256 over the definition."""
        return hashlib.sha256(json.dumps({"benchmark": self.name, **asdict(self)}, sort_keys=True).encode()).hexdigest()
