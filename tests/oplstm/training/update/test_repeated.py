"""Updates repeated from a recording: to the bit those that would have been made, and only what can be repeated."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.update import recorded
from oplstm.training.update.captured import UNRECORDED_CALLS, Captured
from oplstm.training.update.memory_plan import ALIGNED, memory_plan
from oplstm.training.update.recorded import Recording, tensors_in
from oplstm.training.update.repeated import Repeated
from tests.oplstm.training.runs import LEARNERS, run
from tests.oplstm.training.test_mixed_packs import SHAPES, mixed, named

CPU = torch.device("cpu")
SETS = {
    "one": [{}],
    "equal": [{}, {"seed": 1, "lr": 0.02}],
    "different B and T": [{"meta_batch_size": 4, "passes": 3}, {"meta_batch_size": 1, "seed": 1}],
}


@pytest.mark.integration
@pytest.mark.parametrize("loss_on", ["last", "every"])
@pytest.mark.parametrize("runs", SETS)
@pytest.mark.parametrize("learner", LEARNERS)
def test_repeated_updates_are_those_made_anew_to_the_bit(learner, runs, loss_on):
    configs = [replace(run(learner, loss_on=loss_on, **one), grad_clip=0.1, meta_gradient="sum") for one in SETS[runs]]
    names = [str(number) for number in range(len(configs))]
    repeated, anew = (Pack(configs, names, Device(capture=capture)) for capture in (True, False))
    for _ in range(UNRECORDED_CALLS + 30):  # beyond the end of a window of tasks
        repeated.step()
        anew.step()
    assert repeated.meta_update._captured._repeated is not None, "nothing was repeated: the test shows nothing"
    for name, tensor in anew.state.tensors().items():
        assert torch.equal(repeated.state.tensors()[name], tensor), name


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["lstm", "op_lstm"])
def test_a_few_repeated_updates_are_those_made_anew(learner):
    repeated, anew = (Pack([run(learner)], ["a"], Device(capture=capture)) for capture in (True, False))
    for _ in range(4):
        repeated.step()
        anew.step()
    assert repeated.meta_update._captured._repeated is not None
    assert torch.equal(repeated.state.weights, anew.state.weights)


@pytest.mark.integration
@pytest.mark.parametrize("learner", SHAPES)
def test_repeated_updates_of_runs_of_different_shapes_are_those_made_anew_to_the_bit(learner):
    runs = [replace(one, grad_clip=0.1, meta_gradient="sum") for one in mixed(learner)]
    repeated, anew = (Pack(runs, named(runs), Device(capture=capture)) for capture in (True, False))
    for _ in range(UNRECORDED_CALLS + 30):
        repeated.step()
        anew.step()
    assert repeated.meta_update._captured._repeated is not None
    for name, tensor in anew.state.tensors().items():
        assert torch.equal(repeated.state.tensors()[name], tensor), name


def called(work, calls):
    """How often Python was asked to do ``work`` in so many calls."""
    count = 0

    def counted():
        nonlocal count
        count += 1
        work()

    captured = Captured(CPU)
    for _ in range(calls):
        captured(counted)
    return count


def test_work_is_done_anew_until_it_was_recorded_and_then_repeated():
    total = torch.zeros(3)
    assert called(lambda: total.add_(torch.ones(3) * 2), 10) == UNRECORDED_CALLS + 1
    assert total.tolist() == [20, 20, 20]


@pytest.mark.parametrize(
    "work",
    [
        lambda total: total.add_(torch.rand(3)),
        lambda total: total.add_(float(total.sum().item())),
        lambda total: total[total.nonzero()[:, 0]].sum(),
        lambda total: torch.ones(3).add_(total),
        lambda total: total.add_(torch.from_numpy(np.random.default_rng().random(3))),
        lambda total: total.add_(torch.tensor([1.0, 2.0, 3.0])),
    ],
    ids=["random", "read", "unknown shape", "changed constant", "from NumPy", "from Python"],
)
def test_what_cannot_be_repeated_is_done_anew(work):
    total = torch.zeros(3)
    assert called(lambda: work(total), 10) == 10


def test_large_operations_are_not_recorded(monkeypatch):
    monkeypatch.setattr(recorded, "FEW", 1)
    assert called(lambda: torch.zeros(100).add(1), 10) == UNRECORDED_CALLS + 1
    monkeypatch.setattr(recorded, "MOST_BYTES_A_CALL", 8)
    assert called(lambda: torch.zeros(100).add(1), 10) == 10


def test_a_recording_keeps_no_memory_of_what_was_let_go():
    with Recording() as recording:
        for _ in range(64):
            torch.zeros(1 << 20).add_(1)  # 4 MiB each
        held = torch.zeros(7)
    found = {made.storage for call in recording.calls for made in tensors_in(call.results)}
    assert len(found) == 65, "storages that lay in one place were taken for one"
    assert Repeated(recording).bytes == 4 << 20
    assert held.numel() == 7


def repeat_of(work):
    with Recording() as recording:
        work()
    return Repeated(recording)


def test_views_copies_several_results_and_wanted_and_unwanted_ones_are_repeated():
    source, found = torch.arange(12.0).view(3, 4), torch.zeros(4, dtype=torch.float64)
    weight, wanted = torch.ones(2, 4, requires_grad=True), torch.zeros(2, 4)
    picture, kernel = torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2, requires_grad=True)

    def work():
        largest, places = source.max(0)
        found.copy_(largest.double() + places + torch.stack(source.unbind(0)).sum(0).to(torch.float64))
        loss = torch.nn.functional.linear(source, weight).square().sum()
        loss = loss + torch.nn.functional.conv2d(picture, kernel).sum()  # picture's gradient is unwanted
        of_weight, of_kernel = torch.autograd.grad(loss, [weight, kernel])
        wanted.copy_(of_weight + of_kernel.sum())

    repeat = repeat_of(work)
    for factor in (1.0, -3.0):
        source.mul_(factor)
        work()
        expected = found.clone(), wanted.clone()
        found.zero_(), wanted.zero_()
        repeat()
        assert torch.equal(found, expected[0]) and torch.equal(wanted, expected[1])


@pytest.mark.slow
def test_recording_does_not_load_the_compiler():
    import subprocess
    import sys

    code = (
        "import sys, torch\nfrom oplstm.training.update.recorded import Recording, tensors_in\n"
        "with Recording(): torch.ones(3) + 1\nassert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_that_is_needed_at_one_time_shares_memory_and_little_is_wasted(seed):
    choice = random.Random(seed)
    first = {key: choice.randrange(100) for key in range(300)}
    last = {key: begin + choice.randrange(20) for key, begin in first.items()}
    sizes = {key: choice.randrange(5000) for key in first}
    places, whole = memory_plan(sizes, first, last)
    assert all(place % ALIGNED == 0 for place in places.values())
    most = 0
    for step in range(120):
        held = sorted((places[key], sizes[key]) for key in first if first[key] <= step <= last[key])
        assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(held))
        assert all(place + size <= whole for place, size in held)
        most = max(most, sum(size for _, size in held))
    assert whole <= 1.6 * most
