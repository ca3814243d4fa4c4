"""The plain LSTM and OP-LSTM of ``reference.py`` on the features of Conv-4."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from tests.oplstm.learners.reference import ClassifyingOuterProductLSTM, PlainLSTM, gradient


class Conv4:
    """Section 5's convolutional network for one run; a set is normalised by its own statistics."""

    def __init__(self, params: dict[str, Tensor]) -> None:
        self.params = {n: value.clone().requires_grad_() for n, value in params.items() if n.startswith("conv.")}

    def __call__(self, images: Tensor) -> Tensor:
        x = images
        for block in range(4):
            weight, bias, scale, shift = (
                self.params[f"conv.{block}.{part}"] for part in ("weight", "bias", "scale", "shift")
            )
            x = nn.functional.conv2d(x, weight, bias, padding=1)
            x = nn.functional.batch_norm(x, None, None, scale, shift, training=True)
            x = nn.functional.max_pool2d(x.clamp(min=0), 2)
        return x.flatten(1)


class OnConv4:
    """A method whose inputs are the features of the images."""

    method_class: Any

    def __init__(self, params: dict[str, Tensor], config: Any) -> None:
        self.config, self.conv = config, Conv4(params)
        self.method = self.method_class(params, config)

    def learn(self, xs: Tensor, ys: Tensor) -> Iterator[Any]:
        yield from self.method.learn(self.conv(xs), ys)

    def predict(self, known: Any, xs: Tensor) -> list[Tensor]:
        predicted: list[Tensor] = self.method.predict(known, self.conv(xs))
        return predicted

    def gradients(self) -> dict[str, Tensor]:
        return self.method.gradients() | {name: gradient(value) for name, value in self.conv.params.items()}


class LSTMOnConv4(OnConv4):
    method_class = PlainLSTM


class OuterProductLSTMOnConv4(OnConv4):
    method_class = ClassifyingOuterProductLSTM
