"""Where runs have ended: the states from which those that completed go on to a longer budget."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from oplstm.training.checkpoint import Checkpoint, checkpoints, write_checkpoint
from oplstm.training.pack import Pack, by_passes
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState
from oplstm.training.sealed import Damaged


def save_end(folder: Path, pack: Pack, *, row: int, seconds: float, last_point: int) -> Path:
    """Write the state of a run that has made all its updates to ``folder``, to go on from with a longer budget.

    Args:
        folder: Of the run.
        pack: Its pack.
        row: Of the run.
        seconds: So long it has trained.
        last_point: The update of its last validation point.

    Returns:
        The folder in it that was written.

    Raises:
        WorkError: The disk is full or not writable.
    """
    name, own = pack.names[row], pack.updates[row]
    counters = {"elapsed": seconds, "began": {name: 0.0}, "last_point": {name: last_point}, "may_join": False}
    data = {"update": own, "joined": [0], "names": [name], "runs": [pack.runs[row].to_dict()], "counters": counters}
    index = torch.tensor([row], dtype=torch.int64, device=pack.device.device)
    state = pack.state.of_rows(index).resized(pack.kind(row).layout.size)
    return write_checkpoint(folder, data, state, kept=1)


def gather_ends(ends: Path, into: Path, runs: Mapping[str, RunConfig]) -> None:
    """Let a pack that has no checkpoint go on from where its runs have ended, but for those that left no state.

    Args:
        ends: Parent of what ``save_end`` wrote, one folder a run.
        into: The checkpoints of the pack.
        runs: Its runs by name, with a longer budget than they ended with.

    Raises:
        WorkError: The disk is full or not writable.
    """
    if checkpoints(into):
        return
    found = {name: end for name, run in runs.items() if (end := _end_of(ends / name, name, run)) is not None}
    if not found:
        return
    names = [[*found][place] for place in by_passes([runs[name] for name in found])]
    last, width = max(one.update for one in found.values()), max(one.state.weights.shape[1] for one in found.values())
    states = [found[name].state.resized(width).tensors() for name in names]
    seconds = {name: found[name].counters["elapsed"] for name in names}
    elapsed = max(seconds.values())
    data = {
        "update": last,
        "joined": [last - found[name].update for name in names],
        "names": names,
        "runs": [runs[name].to_dict() for name in names],
        "counters": {
            "elapsed": elapsed,
            "began": {name: elapsed - seconds[name] for name in names},
            "last_point": {name: found[name].counters["last_point"][name] for name in names},
            "may_join": False,
        },
    }
    tensors = {key: torch.cat([state[key] for state in states]) for key in states[0]}
    write_checkpoint(into, data, RunState.from_tensors(tensors), kept=1)


def _end_of(folder: Path, name: str, run: RunConfig) -> Checkpoint | None:
    """What ``save_end`` wrote of a run, which may have another budget now; None if it is gone or damaged."""
    for path in checkpoints(folder):
        try:
            end = Checkpoint.read(path)
        except Damaged as error:
            warnings.warn(f"{error}; {name} begins anew, which costs time and nothing else", stacklevel=3)
            continue
        if name in end.runs and replace(end.runs[name], budget=run.budget) == run:
            return end
    return None
