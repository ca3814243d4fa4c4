"""What holds for packs of any learner: a pack equals its single runs, and stopped and resumed equals never stopped."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch

from oplstm.testing.recorder import Recorder
from oplstm.training.checkpoint import runs_of_checkpoint
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.reports import RunEnd
from oplstm.training.run import RunConfig


def stepped(runs: Sequence[RunConfig], updates: int, *, data: Path | None = None) -> Pack:
    """A pack after some updates, in float64; its runs are called ``run-0`` and so on."""
    pack = Pack(runs, [f"run-{i}" for i in range(len(runs))], Device(dtype=torch.float64, data=data))
    for _ in range(updates):
        pack.step()
    return pack


def assert_rows_equal_singles(
    runs: Sequence[RunConfig], updates: int, tolerance: float, *, data: Path | None = None
) -> None:
    """See that every run of a pack has the weights that it has alone, but for rounding."""
    pack = stepped(runs, updates, data=data)
    for row, name in enumerate(pack.names):
        alone = stepped([pack.runs[row]], updates, data=data).state.weights[0]
        error = (pack.state.weights[row][: len(alone)] - alone).norm() / alone.norm()
        assert error <= tolerance, f"{name}: relative difference {error:.1e} from the same run alone"


def train(
    folder: Path, runs: Sequence[RunConfig], listener: Recorder, *, initial: int | None = None, data: Path | None = None
) -> Pack:
    """Train a pack from its last checkpoint; ``initial`` of the runs begin, the others join when the listener says."""
    begin = len(runs) if initial is None else initial
    named = {f"run-{i}": each for i, each in enumerate(runs)}
    kept = runs_of_checkpoint(folder / "pack", named) or dict(list(named.items())[:begin])
    pack = Pack(list(kept.values()), list(kept), Device(data=data))
    Trainer(pack, listener, folder=folder / "pack", run_folder=folder / "runs", capacity=begin).train()
    return pack


def files(folder: Path) -> dict[Path, bytes]:
    """Every file that runs leave behind, as bytes."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def assert_same_when_stopped(
    folder: Path,
    runs: Sequence[RunConfig],
    stops: Iterable[int],
    *,
    prune: Mapping[int, set[str]] | None = None,
    join: Mapping[int, int] | None = None,
    data: Path | None = None,
) -> None:
    """See that a pack that is stopped and resumed ends as one that never was, to the bit: points, ends, files, state.

    Args:
        folder: An empty one.
        runs: Of the pack.
        stops: Updates at which it is stopped, one after the other.
        prune: Names of runs, by the update at which they end.
        join: Places of runs that join, by update.
        data: The folder of imported datasets.
    """
    joined = {update: [(f"run-{row}", runs[row])] for update, row in (join or {}).items()}
    initial = len(runs) - len(joined)

    def recorder(stop_at: int | None = None) -> Recorder:
        return Recorder(prune=dict(prune or {}), join=joined, stop_at=stop_at)

    whole = recorder()
    final = train(folder / "whole", runs, whole, initial=initial, data=data)
    seen: dict[tuple[str, int], dict[str, float]] = {}
    ends: dict[str, RunEnd] = {}
    for stop in [*stops, None]:
        part = recorder(stop)
        pack = train(folder / "parts", runs, part, initial=initial, data=data)
        assert not set(seen) & set(part.metrics()), "a point was reported again after a clean stop"
        seen |= part.metrics()
        ends |= part.ends
    assert seen == whole.metrics(), "the points of a resumed pack differ"
    states = {name: (end.state, end.metrics) for name, end in ends.items()}
    assert states == {n: (e.state, e.metrics) for n, e in whole.ends.items()}, "the ends of a resumed pack differ"
    assert files(folder / "parts" / "runs") == files(folder / "whole" / "runs"), "the files of a resumed pack differ"
    for name, tensor in final.state.tensors().items():
        assert torch.equal(tensor, pack.state.tensors()[name]), f"{name} of a resumed pack differs"
