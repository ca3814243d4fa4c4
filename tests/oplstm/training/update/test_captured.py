"""Work done over and over without a GPU; tests of CUDA graphs are in test_cuda.py."""

from dataclasses import replace

import pytest
import torch

from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.update.captured import Captured
from tests.oplstm.training.runs import LEARNERS, run
from tests.oplstm.training.test_mixed_packs import SHAPES, mixed, named


@pytest.mark.parametrize(("device", "capture"), [("cpu", False), ("cuda", False)])
def test_without_a_capture_every_call_does_the_work(device, capture):
    calls, captured = [], Captured(torch.device(device), capture=capture)
    for number in range(9):
        captured(lambda number=number: calls.append(number))
    assert calls == list(range(9))


@pytest.mark.slow
@pytest.mark.parametrize("learner", LEARNERS)
def test_an_update_reads_nothing_back_from_the_device(learner):
    # tensors of this device have no numbers: reading one, or mixing them with the CPU's, is an error, as in a capture
    device = Device(torch.device("meta"))
    runs = [run(learner, passes=3, meta_batch_size=4), run(learner, meta_batch_size=2)]
    pack = Pack(
        [replace(one, grad_clip=0.1, meta_gradient="sum", lr_half_life=9.0) for one in runs], ["a", "b"], device
    )
    for _ in range(2):
        pack.step()
    assert pack.state.weights.is_meta


@pytest.mark.slow
@pytest.mark.parametrize("learner", SHAPES)
def test_an_update_of_runs_of_different_shapes_reads_nothing_back_either(learner):
    pack = Pack(mixed(learner), named(mixed(learner)), Device(torch.device("meta")))
    for _ in range(2):
        pack.step()
    assert pack.state.weights.is_meta
