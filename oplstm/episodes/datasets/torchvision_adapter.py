"""The only door to torchvision: imported lazily, also where its compiled operators do not fit the installed torch."""

from importlib import import_module
from typing import Any

from torch.library import Library

from oplstm.errors import RequestError

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
OPERATORS = ("nms", "qnms")
_declared: list[Library] = []
"""The library that declares the operators: they live as long as it does."""


def torchvision(module: str = "") -> Any:
    """torchvision, or a module of it such as ``transforms.v2`` or ``datasets``.

    A torchvision built for CUDA cannot be imported beside a CPU build of torch: it describes the operator
    ``torchvision::nms``, which only its compiled part declares. When the import fails so, and only then, the two
    operators are declared here, without an implementation, and the import is made again.

    Raises:
        RequestError: torchvision is not installed.
    """
    name = f"torchvision.{module}" if module else "torchvision"
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise RequestError(
            "images are imported with torchvision, which is not installed: "
            "pip install --no-deps -c constraints.txt torchvision"
        ) from None
    except RuntimeError as error:
        if _declared or "operator torchvision::nms does not exist" not in str(error):
            raise
    library = Library("torchvision", "DEF")
    _declared.append(library)
    for operator in OPERATORS:
        library.define(operator + SCHEMA)
    return import_module(name)
