"""The analyses that a budget may ask for at every meta-validation point, by name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from oplstm.registry import Registry

if TYPE_CHECKING:  # they need torch
    from oplstm.episodes.episode import Batch
    from oplstm.learners.learner import AnyLearner
    from oplstm.tensors import Params, PerTask

Analysis: TypeAlias = "Callable[[AnyLearner, Params, Batch], dict[str, PerTask]]"
"""Values of every task, by metric name."""

TASKS: Final = 100
"""Meta-validation tasks, the first ones, that an analysis looks at."""

ANALYSES: Registry[Analysis] = Registry(
    "analysis",
    "oplstm.analyses",
    {
        "update_similarity": "oplstm.analysis.update_similarity:update_similarity",
        "update_similarity_authors": "oplstm.analysis.update_similarity:authors_update_similarity",
        "permutation_variance": "oplstm.analysis.permutation:in_eight_orders",
    },
)
"""What ships, and the entry points ``oplstm.analyses`` of installed packages. Learners say which they support."""
