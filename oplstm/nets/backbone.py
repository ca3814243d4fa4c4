"""What stands between an image and a learner's own part: nothing, or Conv-4 (Section 5)."""

from typing import Literal

import torch
from torch import Tensor

from oplstm.nets.conv import BLOCKS, conv4, conv4_features, init_conv4
from oplstm.tensors import Features, Inputs, Params

Backbone = Literal["none", "conv4"]
MAPS = 64


def init_backbone(backbone: Backbone, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Tensor]:
    """Its parameters for inputs of ``shape``; {} for ``none``."""
    return {} if backbone == "none" else init_conv4(shape[0], MAPS, generator)


def features(backbone: Backbone, params: Params, x: Inputs) -> Features:
    """What the learner's own part is fed."""
    return x.flatten(3) if backbone == "none" else conv4(params, x)


def feature_count(backbone: Backbone, shape: tuple[int, ...]) -> int:
    """d, the features of an input of ``shape``."""
    if backbone == "none":
        return torch.Size(shape).numel()
    return conv4_features(MAPS, shape[1], shape[2])


def fits(backbone: Backbone, shape: tuple[int, ...]) -> bool:
    """Whether inputs of ``shape`` can go through it: Conv-4 wants images of at least 16 x 16."""
    return backbone == "none" or (len(shape) == 3 and min(shape[1:]) >= 1 << BLOCKS)
