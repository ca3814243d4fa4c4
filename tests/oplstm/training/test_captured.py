"""Work done over and over without a GPU; tests of CUDA graphs are in test_cuda.py."""

import pytest
import torch

from oplstm.training.captured import Captured

pytestmark = pytest.mark.unit


def test_without_a_gpu_every_call_does_the_work():
    calls, captured = [], Captured(torch.device("cpu"))
    for number in range(9):
        captured(lambda number=number: calls.append(number))
    assert calls == list(range(9))
