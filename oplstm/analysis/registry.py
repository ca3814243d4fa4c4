"""The analyses that a budget may ask for at every meta-validation point, by name."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import torch
from torch import Tensor

from oplstm.analysis.permutation import permutation_variance
from oplstm.analysis.update_similarity import update_similarity
from oplstm.episodes.episode import Episode
from oplstm.learners.learner import Learner, Params

Analysis = Literal["update_similarity", "update_similarity_authors", "permutation_variance"]

TASKS: Final = 100
"""Meta-validation tasks, the first ones, that an analysis looks at."""


def _permutation_variance(learner: Learner[Any], params: Params, episode: Episode) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"permutation/variance": permutation_variance(learner, params, episode, generator=generator)}


def _authors_similarity(learner: Any, params: Params, episode: Episode) -> dict[str, Tensor]:
    return update_similarity(learner, params, episode, convention="authors")


ANALYSES: Final[Mapping[Analysis, Callable[[Any, Params, Episode], dict[str, Tensor]]]] = {
    "update_similarity": update_similarity,
    "update_similarity_authors": _authors_similarity,
    "permutation_variance": _permutation_variance,
}
"""Each gives values ``(R, B)`` by metric name; see the functions."""

OF_OP_LSTM: Final = ("update_similarity", "update_similarity_authors")
