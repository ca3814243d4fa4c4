"""How long a run trains, and how it is validated and tested."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from oplstm.analysis.registry import ANALYSES
from oplstm.configuration import Problems, positive
from oplstm.limits import MOST_POINTS


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a run trains, and how it is validated and tested.

    Attributes:
        tasks: Training tasks; the run ends with the update that reaches it. Give this or ``updates``.
        updates: Meta-updates.
        validate_every: Meta-validation interval, in the budget's own unit.
        validation_tasks: Tasks a meta-validation point averages over.
        test_tasks: Tasks the best weights are tested on at the end; 0 for no test.
        analyses: What else is measured at every meta-validation point, on its first 100 tasks, by the names in
            ``ANALYSES``; the learner must support it.
        max_hours: Wall clock after which the run stops cleanly and is tested, without the time between a stop and its
            resume; None for no limit.
    """

    tasks: int | None = None
    updates: int | None = None
    validate_every: int
    validation_tasks: int = 1000
    test_tasks: int = 2000
    analyses: tuple[str, ...] = ()
    max_hours: float | None = 48.0

    conventions: ClassVar[dict[str, dict[str, Any]]] = {"paper": {}}

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        if (self.tasks is None) == (self.updates is None) and not (problems.has("tasks") or problems.has("updates")):
            problems.add("tasks", "exactly one of tasks and updates must be given: a budget names its unit")
        positive(problems, self, "tasks", "updates", "validate_every", "validation_tasks", "max_hours")
        for name in self.analyses:
            if name not in ANALYSES:
                problems.add("analyses", f"must be one of {', '.join(ANALYSES)}, got {name!r}")
        if self.test_tasks < 0:
            problems.add("test_tasks", f"must be >= 0, got {self.test_tasks}")
        if 0 < self.total < self.validate_every:
            problems.add(
                "validate_every",
                f"must be at most the budget of {self.total} {self.unit}: "
                f"the run would never be validated, got {self.validate_every}",
            )
        if self.validate_every > 0 and self.total // self.validate_every > MOST_POINTS:
            least = math.ceil(self.total / MOST_POINTS)
            reason = f"a run has at most {MOST_POINTS} validation points, got {self.validate_every}"
            problems.add("validate_every", f"must be >= {least} with a budget of {self.total} {self.unit}: {reason}")

    @property
    def unit(self) -> Literal["tasks", "updates"]:
        """The unit of ``total`` and ``validate_every``."""
        return "updates" if self.tasks is None else "tasks"

    @property
    def total(self) -> int:
        """The budget in its own unit."""
        return (self.updates if self.tasks is None else self.tasks) or 0

    def update_count(self, meta_batch_size: int) -> int:
        """Meta-updates of a whole run."""
        return self._first_update(self.total, meta_batch_size)

    def milestones(self, meta_batch_size: int) -> dict[int, int]:
        """The first update that reaches each multiple of ``validate_every``, mapped to the highest such multiple."""
        multiples = range(self.validate_every, self.total + 1, self.validate_every)
        return {self._first_update(m, meta_batch_size): m for m in multiples}

    def _first_update(self, amount: int, meta_batch_size: int) -> int:
        return amount if self.unit == "updates" else math.ceil(amount / meta_batch_size)
