"""Meta-batches of different sizes in one tensor."""

import pytest
import torch

from oplstm.episodes.episode import Episode
from oplstm.training.update.task_groups import TaskGroups


@pytest.mark.parametrize(
    ("sizes", "group", "groups"),
    [
        ([4, 4, 4], 4, 3),
        ([5], 5, 1),
        ([4, 8, 16], 4, 7),
        ([1, 4, 8, 16, 32], 4, 16),  # 64 tasks for 61
        ([1, 2], 1, 3),  # no group of 2: 4 tasks for 3
    ],
)
def test_groups_are_the_largest_that_repeat_at_most_a_tenth(sizes, group, groups):
    made = TaskGroups(sizes)
    assert made.weights.shape == (groups, group)


def test_every_task_of_a_run_weighs_the_same_and_a_repeat_nothing():
    made = TaskGroups([1, 4, 8, 16, 32])
    by_run = made.weights.split([1, 1, 2, 4, 8])
    for size, weights in zip((1, 4, 8, 16, 32), by_run, strict=True):
        weights = weights.flatten()
        assert torch.equal(weights[:size], torch.full((size,), 1 / size, dtype=torch.float64))
        assert not weights[size:].any()


def test_a_meta_batch_is_split_in_order_and_filled_with_its_own_tasks():
    made = TaskGroups([3, 9, 20])
    assert made.size == 5  # 35 tasks for 32
    for size, filled in ((3, [0, 1, 2, 0, 1]), (9, [*range(9), 0]), (20, list(range(20)))):
        tasks = torch.arange(float(size)).view(1, size, 1, 1)
        assert made.split(Episode(tasks, tasks, tasks, tasks)).query_y[0].flatten().tolist() == filled


def test_what_runs_have_is_repeated_and_what_groups_have_is_added_up():
    made = TaskGroups([4, 8])
    assert made.repeat(torch.tensor([5.0, 7.0])).tolist() == [5, 7, 7]
    assert made.per_group([2, 1]) == [2, 1, 1]
    assert made.sum(torch.tensor([1.0, 2.0, 4.0])).tolist() == [1, 6]


def test_equal_meta_batches_are_left_alone():
    made = TaskGroups([6, 6])
    values = torch.tensor([1.0, 2.0])
    assert made.repeat(values) is values
    assert made.sum(values) is values
