"""The tensors that signatures speak of most, by name; the letters are those of ``oplstm.shape``."""

from collections.abc import Mapping
from typing import Annotated

from torch import Tensor

from oplstm.shape import Shape

Params = Mapping[str, Annotated[Tensor, Shape("R ...")]]
"""Weights and constants of a pack by name."""
TaskWeights = Mapping[str, Annotated[Tensor, Shape("R B ...")]]
"""Weights by name that are adapted to tasks."""

Scalars = dict[str, Annotated[Tensor, Shape("")]]
"""Numbers of one run by name."""

PerRun = Annotated[Tensor, Shape("R")]
PerTask = Annotated[Tensor, Shape("R B")]

Inputs = Annotated[Tensor, Shape("R B M *x")]
Queries = Annotated[Tensor, Shape("R B Q *x")]
Predictions = Annotated[Tensor, Shape("R B Q d_y")]
"""Values, or logits of classes."""

Features = Annotated[Tensor, Shape("R B M d")]
Pictures = Annotated[Tensor, Shape("R B M c h w")]
