"""What Ray says of packs that it killed, as the coordinator hears it."""

from types import SimpleNamespace

import pytest

from jobs.execution import ray_packs
from jobs.execution.ray_packs import MemoryKills
from jobs.sweep.messages import Assignment

FULL = """Failure # {} (occurred at 2026-11-28_00-51-00)
ray.exceptions.OutOfMemoryError: 1 worker(s) were killed due to the node running low on memory. Memory on the node ...
"""
DIED = "Failure # {} (occurred at 2026-11-28_00-52-00)\nThe actor died unexpectedly before finishing this task.\n"


@pytest.mark.parametrize(
    ("said", "for_memory"),
    [
        (FULL.format(1), True),
        (DIED.format(1) + FULL.format(2), True),
        (FULL.format(1) + DIED.format(2), False),
        (DIED.format(1), False),
        (None, False),
    ],
)
def test_a_pack_that_was_killed_for_its_memory_is_halved_before_its_next_try(said, for_memory, monkeypatch):
    told = []
    method = SimpleNamespace(remote=lambda pack, alone: told.append((pack, alone)))
    monkeypatch.setattr(ray_packs.ray, "get", lambda answer: answer)
    trial = SimpleNamespace(get_error=lambda: said, config={"assignment": Assignment("pack-0003", ())})
    MemoryKills(SimpleNamespace(out_of_memory=method)).on_trial_recover(iteration=1, trials=[trial], trial=trial)
    assert told == ([("pack-0003", False)] if for_memory else [])
