"""What Ray says of packs that it killed, as the coordinator hears it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.execution import ray_packs
from jobs.execution.home_mark import Mark
from jobs.execution.ray_packs import MemoryKills, PackOnRay, PackSearcher, SweepOnRay
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.jobfile.sections import Resources
from jobs.store.home import SweepFolder
from jobs.sweep.messages import Assignment

SWEEP = SweepOnRay(
    ShippedPlugins(), "c", "n", SweepFolder(Path("s")), Mark(Path("s", "mark"), "word"), Resources(), "here", "code"
)
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
    trial = SimpleNamespace(get_error=lambda: said, config={"pack": PackOnRay(SWEEP, Assignment("pack-0003", ()))})
    MemoryKills(SimpleNamespace(out_of_memory=method)).on_trial_recover(iteration=1, trials=[trial], trial=trial)
    assert told == ([("pack-0003", False)] if for_memory else [])


def test_while_packs_are_trained_there_may_be_another(monkeypatch):
    """A user may add a trial when all others have been handed out."""
    given = [Assignment("pack-0000", ()), None, Assignment("pack-0001", ()), None, None]
    actor = SimpleNamespace(next_pack=SimpleNamespace(remote=lambda slots: given.pop(0)))
    monkeypatch.setattr(ray_packs.ray, "get", lambda answer: answer)
    monkeypatch.setattr(ray_packs, "pack_slots", lambda resources: 4)
    searcher = PackSearcher(actor, SWEEP)
    assert searcher.suggest("a")["pack"].assignment.pack == "pack-0000"
    assert searcher.suggest("b") is None
    assert searcher.suggest("b")["pack"].assignment.pack == "pack-0001"
    searcher.on_trial_complete("a")
    assert searcher.suggest("c") is None
    searcher.on_trial_complete("b")
    assert searcher.suggest("c") == PackSearcher.FINISHED
