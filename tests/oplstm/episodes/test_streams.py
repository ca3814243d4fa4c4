"""Task streams: pure functions of seed, split and task index."""

from itertools import combinations

import numpy as np
import pytest
import torch

from oplstm.episodes.sine import SineTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream

PARTS = ("support_x", "support_y", "query_x", "query_y")
SMALL = SineTasks(shots=2, queries=3)
BLOCK = TaskStream.BLOCK
PINNED = [4.139707175290809, 0.22572805444737243, -2.464074537115674, 1.255381167897081]


def stream(seed=0, split=Split.TRAIN, tasks=SMALL, **options):
    return TaskStream(tasks, seed, split=split, **options)


def same(one, other):
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in PARTS)


def shared(one, other):
    """How many numbers two episodes have in common."""
    numbers = [np.concatenate([getattr(e, part).flatten().numpy() for part in PARTS]) for e in (one, other)]
    return len(np.intersect1d(*numbers))


def test_shapes_and_type():
    episode = stream().batch(0, 4)
    assert [tuple(getattr(episode, part).shape) for part in PARTS] == [(1, 4, 2, 1)] * 2 + [(1, 4, 3, 1)] * 2
    assert episode.support_x.dtype == torch.float32
    assert stream(dtype=torch.float64).batch(0, 4).query_y.dtype == torch.float64


def test_a_stream_made_again_is_the_same():
    assert same(stream(seed=7, split=Split.TEST).tasks(0, 300), stream(seed=7, split=Split.TEST).tasks(0, 300))


def test_a_batch_does_not_depend_on_what_was_asked_before():
    used = stream()
    for index in (900, 3, 77, 0, 900):
        assert same(used.batch(index, 5), stream().batch(index, 5))


@pytest.mark.parametrize("size", [1, 3, 4, 100, BLOCK, 3 * BLOCK])
def test_tasks_do_not_depend_on_the_meta_batch_size(size):
    whole, count = stream().tasks(0, 3 * BLOCK), 3 * BLOCK // size
    read = stream()
    parts = [read.batch(index, size) for index in range(count)]
    for part in PARTS:
        joined = torch.cat([getattr(episode, part) for episode in parts], dim=1)
        assert torch.equal(joined, getattr(whole, part)[:, : count * size])


@pytest.mark.parametrize(("start", "count"), [(0, 1), (BLOCK - 1, 2), (BLOCK, 1), (10, 2 * BLOCK + 5), (10**9, 3)])
def test_any_range_can_be_made(start, count):
    episode = stream().tasks(start, count)
    assert episode.task_count == count
    alone = [stream().tasks(start + index, 1) for index in (0, count - 1)]
    assert torch.equal(episode.query_y[:, 0], alone[0].query_y[:, 0])
    assert torch.equal(episode.query_y[:, -1], alone[1].query_y[:, 0])


def test_different_splits_and_seeds_share_nothing():
    streams = [stream(seed, split, dtype=torch.float64) for seed in (0, 1, 2**63 - 1) for split in Split]
    for one, other in combinations([s.tasks(0, 30) for s in streams], 2):
        assert shared(one, other) == 0


def test_blocks_of_one_stream_share_nothing():
    blocks = [stream(dtype=torch.float64).tasks(index * BLOCK, BLOCK) for index in (0, 1, 2, 10**6)]
    for one, other in combinations(blocks, 2):
        assert shared(one, other) == 0


def test_tasks_of_one_block_differ():
    y = stream(dtype=torch.float64).tasks(0, BLOCK).query_y
    assert len(y.unique()) == y.numel()


def test_precision_rounds_and_changes_nothing_else():
    double, single = stream(dtype=torch.float64).tasks(0, 5), stream().tasks(0, 5)
    assert all(torch.equal(getattr(double, part).float(), getattr(single, part)) for part in PARTS)


def test_digest_is_of_the_tasks():
    digest = stream().digest(300)
    assert digest == stream().digest(300)
    others = [
        stream().digest(301),
        stream(seed=1).digest(300),
        stream(split=Split.TEST).digest(300),
        stream(tasks=SineTasks(shots=3, queries=3)).digest(300),
        stream(tasks=SineTasks(shots=2, queries=3, phase="plus")).digest(300),
        stream(dtype=torch.float64).digest(300),
    ]
    assert len({digest, *others}) == 7


def test_the_stream_is_the_one_that_results_were_made_with():
    """Pinned: a change here changes every result, past ones cannot be made again."""
    episode = TaskStream(SineTasks(), 0, split=Split.TRAIN, dtype=torch.float64).tasks(1000, 1)
    got = [getattr(episode, part)[0, 0, 0, 0].item() for part in PARTS]
    assert got == pytest.approx(PINNED, rel=1e-12)


def test_splits_keep_their_numbers():
    assert [(split.name, int(split)) for split in Split] == [
        ("TRAIN", 0),
        ("VALIDATION", 1),
        ("TEST", 2),
        ("PROMOTION_A", 3),
        ("PROMOTION_B", 4),
        ("FINAL_TRAIN", 5),
        ("FINAL_VALIDATION", 6),
        ("FINAL_TEST", 7),
    ]
