"""A meta-gradient computed block by block: the same gradient, and no block above its bound."""

import pytest
import torch

from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.update import blocks as module
from oplstm.training.update.blocks import SAVED_AT_ONCE, TENSOR_AT_ONCE, blocks, saved_bytes, tasks_at_once
from oplstm.training.update.gradients import GroupedGradients
from tests.oplstm.training.runs import LEARNERS, next_tasks, run

pytestmark = pytest.mark.integration
DOUBLE = Device(dtype=torch.float64)


def gradients(runs, at_once):
    pack = Pack(runs, [str(i) for i in range(len(runs))], DOUBLE)
    pack.meta_update.gradients.at_once = at_once
    return pack.meta_update.gradients.of(next_tasks(pack))


@pytest.mark.parametrize("loss_on", ["last", "every"])
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("sizes", [(3, 3, 3, 3, 3), (1, 4, 2, 8, 3)], ids=["equal", "ragged"])
def test_blocks_give_the_gradients_of_the_whole_step(learner, loss_on, sizes):
    runs = [
        run(learner, seed=i, meta_batch_size=size, passes=passes, loss_on=loss_on)
        for i, (size, passes) in enumerate(zip(sizes, (2, 4, 3, 3, 2), strict=True))
    ]
    whole = gradients(runs, 1000)
    for at_once in (1, 2, 5, 7):
        for got, wanted in zip(gradients(runs, at_once), whole, strict=True):
            assert (got - wanted).norm() / wanted.norm() <= 1e-13


@pytest.mark.parametrize(("rows", "tasks", "at_once"), [(7, 2, 5), (64, 4, 27), (3, 5, 2), (1, 4, 1), (5, 3, 99)])
def test_blocks_hold_every_task_once_and_never_more_than_the_bound(rows, tasks, at_once):
    seen = torch.zeros(rows, tasks, dtype=torch.int64)
    for some, few in blocks(rows, tasks, at_once):
        assert 0 < seen[some, few].numel() <= at_once
        seen[some, few] += 1
    assert (seen == 1).all()


def test_blocks_are_as_even_as_can_be():
    assert [len(range(*some.indices(10))) for some, _ in blocks(10, 1, 4)] == [3, 3, 4]


def test_the_graph_of_a_block_keeps_no_more_than_the_bound(monkeypatch):
    monkeypatch.setattr(module, "SAVED_AT_ONCE", 20_000)
    monkeypatch.setattr(module, "TENSOR_AT_ONCE", 0)
    pack = Pack([run("maml", seed=i, meta_batch_size=3) for i in range(9)], [str(i) for i in range(9)], DOUBLE)
    seen, whole = [], GroupedGradients._losses

    def counted(self, weights, *rest, **named):
        kept = []
        seen.append(sum(saved_bytes(lambda: kept.append(whole(self, weights, *rest, **named)), weights)))
        return kept[0]

    pack.step()
    monkeypatch.setattr(GroupedGradients, "_losses", counted)
    pack.step()
    assert len(seen) > 1
    assert max(seen) <= 20_000 < 2 * max(seen)


def test_one_task_is_a_block_however_large():
    assert tasks_at_once([4 * SAVED_AT_ONCE]) == 1


def test_many_small_tensors_may_keep_more_than_a_few_large_ones():
    assert tasks_at_once([SAVED_AT_ONCE // 8] * 2) == 4
    assert tasks_at_once([TENSOR_AT_ONCE // 100] * 10_000) == 100


def test_saved_tensors_are_counted_once_as_they_lie_in_memory_and_without_the_weights():
    weights = torch.ones(4, 5, requires_grad=True)
    x = torch.ones(1, 5)

    def forward():
        grown = (weights * x.expand(4, 5)).exp()  # saves x, 5 numbers, and the result, 20
        return grown.square().sum()  # saves the same result

    assert sorted(saved_bytes(forward, weights)) == [20, 80]


def test_a_pack_has_the_same_blocks_when_it_is_restored():
    def made():
        return Pack([run("op_lstm", seed=i, passes=i + 1) for i in range(3)], ["a", "b", "c"])

    pack, again = made(), made()
    for _ in range(2):
        pack.step()
    again.restore(pack.state, 2, pack.joined)
    again.step()
    assert again.meta_update.gradients.at_once == pack.meta_update.gradients.at_once > 1
