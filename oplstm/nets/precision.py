"""The precisions that a run may ask for."""

from typing import Literal

Precision = Literal["float32", "tf32", "bf16"]
"""Of the products in the networks; everything is kept, added up, normalised and averaged in the pack's own type.

``float32`` rounds nothing; ``tf32`` rounds factors to 10 bits of mantissa, on a GPU alone (a CPU has no such units and
computes ``float32``); ``bf16`` rounds the factors and results of linear layers, convolutions and outer products to 7
bits, on any device. LSTM cells keep at least ``tf32``, for the cell state adds up over many steps.
"""
