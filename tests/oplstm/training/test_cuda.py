"""What only a GPU can show: captured updates equal eager ones, nothing waits for the host, resume is exact."""

import pytest
import torch

from oplstm.testing.recorder import Recorder
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.update import captured
from tests.oplstm.training.runs import LEARNERS, run
from tests.oplstm.training.test_mixed_packs import SHAPES, mixed, named

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]

UPDATES = 12


def pack_of(learner, *, dtype=torch.float32, device="cuda", capture=True, **changes):
    runs = [run(learner, seed=seed, lr=0.001 * (seed + 1), **changes) for seed in range(3)]
    return Pack(runs, ["a", "b", "c"], Device(torch.device(device), dtype, capture=capture))


def mixed_pack(learner, *, dtype=torch.float32, device="cuda", capture=True):
    """Runs of different shapes, T and meta-batch sizes."""
    runs = mixed(learner)
    return Pack(runs, named(runs), Device(torch.device(device), dtype, capture=capture))


def trained(pack, updates=UPDATES):
    for _ in range(updates):
        pack.step()
    return pack


def assert_equal(ours, theirs):
    for name, tensor in ours.state.tensors().items():
        assert torch.equal(tensor, theirs.state.tensors()[name]), name


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_captured_update_equals_an_eager_one(learner):
    replayed, eager = trained(pack_of(learner)), trained(pack_of(learner, capture=False))
    assert replayed.meta_update._captured._graph is not None
    assert eager.meta_update._captured._graph is None
    assert_equal(replayed, eager)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_gpu_computes_what_a_cpu_computes(learner):
    gpu, cpu = (trained(pack_of(learner, dtype=torch.float64, device=device)) for device in ("cuda", "cpu"))
    ours, theirs = gpu.state.weights.cpu(), cpu.state.weights
    assert ((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max() <= 1e-9


@pytest.mark.parametrize("learner", SHAPES)
def test_runs_of_different_shapes_are_captured_and_compute_what_a_cpu_computes(learner):
    replayed, eager = trained(mixed_pack(learner)), trained(mixed_pack(learner, capture=False))
    assert replayed.meta_update._captured._graph is not None
    assert_equal(replayed, eager)
    gpu, cpu = (trained(mixed_pack(learner, dtype=torch.float64, device=device)) for device in ("cuda", "cpu"))
    ours, theirs = gpu.state.weights.cpu(), cpu.state.weights
    assert ((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max() <= 1e-9


def test_a_pack_that_shrinks_is_captured_anew():
    small = trained(pack_of("op_lstm", dtype=torch.float64))
    small.keep([0, 2])
    trained(small)
    alone = trained(pack_of("op_lstm", dtype=torch.float64), 2 * UPDATES)
    torch.testing.assert_close(small.state.weights, alone.state.weights[[0, 2]], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("learner", LEARNERS)
def test_between_two_windows_of_tasks_no_update_waits_for_the_device(learner):
    pack = trained(pack_of(learner), captured.EAGER_CALLS + 1)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trained(pack, UPDATES)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_stopped_pack_goes_on_to_the_bit(tmp_path):
    def train(name, stop_at=None):
        recorder = Recorder(stop_at=stop_at)
        Trainer(pack_of("lstm"), recorder, folder=tmp_path / name, run_folder=tmp_path / f"{name}-runs").train()
        return recorder

    whole = train("whole")
    stopped = train("parts", stop_at=17)
    assert {**stopped.metrics(), **train("parts").metrics()} == whole.metrics()


@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 0.01), ("bf16", 0.05)])
@pytest.mark.parametrize("learner", ["op_lstm", "maml"])
def test_losses_with_fewer_bits_are_those_in_float32_roughly(learner, precision, tolerance):
    rounded, exact = trained(pack_of(learner, precision=precision)), trained(pack_of(learner))
    assert not torch.equal(rounded.state.loss_sum, exact.state.loss_sum)
    torch.testing.assert_close(rounded.state.loss_sum, exact.state.loss_sum, rtol=tolerance, atol=0)
