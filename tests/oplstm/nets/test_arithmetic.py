"""Products with fewer bits: what is rounded, where, and that nothing else is."""

import pytest
import torch

from oplstm.nets.arithmetic import arithmetic, matmul
from oplstm.nets.outer_product import outer_product_update
from oplstm.training.pack import Pack
from tests.oplstm.learners.comparison import training_loss
from tests.oplstm.training.runs import LEARNERS, next_tasks, run

CPU = torch.device("cpu")
A, B = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0)), torch.rand(5, 6)


def test_bf16_rounds_the_factors_and_the_product():
    with arithmetic("bf16", CPU):
        found = matmul(A, B)
    wanted = (A.bfloat16().double() @ B.bfloat16().double()).bfloat16().float()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=0)
    assert torch.equal(found, found.bfloat16().float()) and not torch.equal(found, A @ B)


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_a_cpu_has_no_tf32(precision):
    with arithmetic(precision, CPU):
        assert torch.equal(matmul(A, B), A @ B)


def test_a_precision_ends_with_its_block():
    with pytest.raises(ValueError, match="within"), arithmetic("bf16", CPU):
        raise ValueError("within")
    assert torch.equal(matmul(A, B), A @ B)
    with arithmetic("bf16", CPU):
        with arithmetic("float32", CPU):
            assert torch.equal(matmul(A, B), A @ B)
        assert not torch.equal(matmul(A, B), A @ B)


@pytest.mark.parametrize("learner", LEARNERS)
def test_losses_and_gradients_in_bf16_are_those_in_float32_roughly(learner):
    pack = Pack([run(learner, seed=seed) for seed in range(3)], ["a", "b", "c"])
    weights = pack.state.weights.requires_grad_()
    found = {}
    for precision in ("float32", "bf16"):
        with arithmetic(precision, CPU):
            loss = training_loss(pack.learner, pack.params(weights), next_tasks(pack))
            (grad,) = torch.autograd.grad(loss.sum(), weights)
        assert loss.dtype == grad.dtype == torch.float32
        found[precision] = loss, grad
    (exact, slope), (rounded, rounded_slope) = found["float32"], found["bf16"]
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0)
    assert torch.cosine_similarity(rounded_slope, slope).min() > 0.98


def test_the_outer_products_of_op_lstm_are_rounded_too():
    message, value = torch.rand(1, 2, 3, 4), torch.rand(1, 2, 3, 5)
    zeros = [(torch.zeros(1, 2, 4, 5), torch.zeros(1, 2, 4))]
    with arithmetic("bf16", CPU):
        gamma = torch.tensor([3.0])  # gamma / M = 1
        [(update, _)] = outer_product_update(
            zeros, [message], [value], gamma=gamma, normalisation="none", update_bias=False
        )
    assert torch.equal(update, (message.bfloat16().mT @ value.bfloat16()).float())


def test_a_pack_trains_and_validates_in_its_own_precision():
    packs = {precision: Pack([run(precision=precision)], ["a"]) for precision in ("float32", "bf16")}
    untrained = {precision: pack.validation_scores()["loss"] for precision, pack in packs.items()}
    assert not torch.equal(untrained["bf16"], untrained["float32"])
    for pack in packs.values():
        pack.step()
    assert not torch.equal(packs["bf16"].state.weights, packs["float32"].state.weights)
