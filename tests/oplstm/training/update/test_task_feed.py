"""The window of coming meta-batches holds what the streams hold, update by update."""

import pytest
import torch

from oplstm.episodes.sine import SineTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.training.update.task_feed import TaskFeed
from oplstm.training.update.task_groups import TaskGroups


def streams(count):
    return [TaskStream(SineTasks(shots=2, queries=3), seed, split=Split.TRAIN) for seed in range(count)]


def feed_of(sizes):
    return TaskFeed(streams(len(sizes)), TaskGroups(sizes), torch.device("cpu"))


@pytest.mark.parametrize("size", [1, 4, 100, 300])
def test_every_update_gets_the_meta_batch_of_its_number(size):
    feed, own = feed_of([size, size]), streams(2)
    updates = range(7, 7 + 2 * feed.length + 2)
    for update in updates:
        feed.prepare(update, [update, update - 5])
        batch = feed.take()
        for row, number in enumerate((update, update - 5)):
            wanted = own[row].batch(number, size)
            for part, whole in zip(batch.parts(), wanted.parts(), strict=True):
                assert torch.equal(part[row], whole[0])


def test_runs_of_different_meta_batch_sizes_get_their_own():
    feed, own = feed_of([2, 4]), streams(2)
    for update in range(feed.length + 1):
        feed.prepare(update, [update, update])
        batch = feed.take().query_y
        assert torch.equal(batch[0], own[0].batch(update, 2).query_y[0])
        assert torch.equal(batch[1:].flatten(0, 1), own[1].batch(update, 4).query_y[0])


def test_a_window_lasts_about_a_block_and_at_least_an_update():
    assert [feed_of([size]).length for size in (1, 4, 5, 256, 300)] == [256, 64, 51, 1, 1]


def test_the_window_stays_where_a_captured_update_finds_it():
    feed = feed_of([128])
    feed.prepare(0, [0])
    places = [part.data_ptr() for part in feed._window.parts()]
    feed.prepare(feed.length, [feed.length])
    assert [part.data_ptr() for part in feed._window.parts()] == places


def test_nothing_comes_from_an_empty_window():
    with pytest.raises(RuntimeError, match="prepare comes before batch"):
        feed_of([4]).take()


def test_looking_at_the_coming_tasks_does_not_use_them_up():
    feed = feed_of([4])
    feed.prepare(0, [0])
    seen, taken = feed.batch(), feed.take()
    assert torch.equal(seen.query_y, taken.query_y)
    assert not torch.equal(feed.batch().query_y, taken.query_y)


def test_tasks_are_drawn_once_a_window(monkeypatch):
    feed, drawn = feed_of([128]), []
    tasks = TaskStream.tasks
    monkeypatch.setattr(TaskStream, "tasks", lambda *given: drawn.append(given[1:]) or tasks(*given))
    for update in range(5):
        feed.prepare(update, [update])
    assert drawn == [(0, 256), (256, 256), (512, 256)]
