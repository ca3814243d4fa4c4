"""Checkpoints of packs and models of single runs: safetensors and JSON with digests, never pickle.

A pack's checkpoint is a folder ``update-<n>`` that appears by one rename, so it is complete or absent. Of those that
are kept the newest that is not damaged is read; damaged ones are renamed to ``damaged-update-<n>``.
A run's model is ``model.safetensors`` + ``run.json``; ``validation.safetensors`` and ``test.safetensors`` hold the
scores of every task, apart, so that code which selects can be shown the one and not the other.
"""

import shutil
import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from oplstm.durable import new_folder
from oplstm.errors import WorkError, one_line
from oplstm.training.device import Device
from oplstm.training.model import Model, TaskValues
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState
from oplstm.training.sealed import Damaged, read_sealed, write_sealed

KEPT = 2
"""Checkpoints of a pack that are kept; the older one is there should the newest be lost or damaged."""
_PACK, _STATE = "pack.json", "state.safetensors"
_RUN, _MODEL, _VALIDATION, _TEST = "run.json", "model.safetensors", "validation.safetensors", "test.safetensors"


def _write(
    folder: Path, manifest: str, *, data: Mapping[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]
) -> None:
    try:
        write_sealed(folder, manifest, data=data, tensors=tensors)
    except (OSError, SafetensorError) as error:  # a full disk is either
        raise WorkError(
            f"cannot write {folder}: {error}; free some space or mend the permissions, then resume"
        ) from error


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first; those that were found to be damaged have other names."""
    found = folder.glob("update-*") if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("update-")), reverse=True)


def save_pack(folder: Path, pack: Pack, counters: dict[str, Any]) -> Path:
    """Write everything that a bit-for-bit resume needs to ``folder/update-<n>``, which is returned.

    Raises:
        WorkError: The disk is full or not writable.
    """
    data = {
        "update": pack.update,
        "joined": pack.joined,
        "names": pack.names,
        "runs": [run.to_dict() for run in pack.runs],
        "counters": counters,
    }
    return write_checkpoint(folder, data, pack.state, kept=KEPT)


def write_checkpoint(folder: Path, data: Mapping[str, Any], state: RunState, *, kept: int) -> Path:
    """Write what ``Checkpoint.read`` reads to ``folder/update-<n>``, and let go of all but the newest there.

    Raises:
        WorkError: The disk is full or not writable.
    """
    path = folder / f"update-{data['update']}"
    _write(path, _PACK, data=data, tensors={_STATE: state.tensors()})
    keep_newest(folder, kept)
    return path


def keep_newest(folder: Path, kept: int) -> None:
    """Let go of all complete checkpoints but the newest."""
    for old in checkpoints(folder)[kept:]:
        shutil.rmtree(old)


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        path: Its folder.
        update: Of the pack.
        runs: By name, in the order of the rows.
        joined: The pack's update when each run came in.
        state: The tensors, on the CPU.
        counters: Of who trains the pack.
    """

    path: Path
    update: int
    runs: dict[str, RunConfig]
    joined: list[int]
    state: RunState
    counters: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Checkpoint":
        """That in a folder.

        Raises:
            Damaged: One of its files is not as it was written.
            WorkError: It is of a later version.
        """
        sealed = read_sealed(path / _PACK)
        tensors, data = sealed.tensors(_STATE), sealed.data
        try:
            named = zip(data["names"], data["runs"], strict=True)
            runs = {name: RunConfig.from_dict(run) for name, run in named}
            update, counters = int(data["update"]), dict(data["counters"])
            if "since_point" in counters:  # from when all runs of a pack had their points at the same updates
                counters["last_point"] = dict.fromkeys(runs, update - int(counters.pop("since_point")))
            joined = list(data.get("joined", [0] * len(runs)))
            return cls(path, update, runs, joined, RunState.from_tensors(tensors), counters)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # of version 1
            raise Damaged(path / _PACK, one_line(error)) from error

    def of(self, names: Container[str]) -> "Checkpoint | None":
        """Without the runs that have left the pack since; None if nothing is left."""
        rows = [row for row, name in enumerate(self.runs) if name in names]
        if len(rows) == len(self.runs):
            return self
        runs = {name: run for name, run in self.runs.items() if name in names}
        state, joined = self.state.of_rows(torch.tensor(rows, dtype=torch.int64)), [self.joined[row] for row in rows]
        return replace(self, runs=runs, state=state, joined=joined) if rows else None


def hand_over(folder: Path, into: Path, *, keep: bool) -> None:
    """Let a pack go on from the checkpoints of another, unless it has some of its own.

    Args:
        folder: Those of the other.
        into: Those of the pack.
        keep: Whether the other goes on too, and keeps them.

    Raises:
        WorkError: The disk is full or not writable.
    """
    found = checkpoints(folder)
    if not found or checkpoints(into):
        return
    try:
        if not keep:
            shutil.rmtree(into, ignore_errors=True)
            folder.rename(into)
            return
        with new_folder(into) as draft:
            for path in found:
                shutil.copytree(path, draft / path.name)
    except OSError as error:
        mend = "free some space or mend the permissions, then resume"
        raise WorkError(f"cannot write {into}: {error}; {mend}") from error


def _newest(folder: Path, runs: Mapping[str, RunConfig]) -> Checkpoint | None:
    """The newest checkpoint in ``folder`` that is not damaged, if there is one, as far as it is of ``runs``.

    Those that are damaged are set aside, with a warning each; those of other runs alone, which have left the pack, go.
    """
    damaged: dict[Path, Damaged] = {}
    found = None
    for path in checkpoints(folder):
        try:
            found = Checkpoint.read(path).of(runs)
        except Damaged as error:
            damaged[path] = error
            continue
        if found is not None:
            break
        shutil.rmtree(path)
    for path in damaged:
        set_aside(path)
    instead = "begins anew, for no other is left" if found is None else f"goes on from {found.path.name}"
    for problem in damaged.values():
        warnings.warn(f"{problem}; {folder.name} {instead}, which costs time and nothing else", stacklevel=3)
    if found is None:
        return None
    for name, run in found.runs.items():
        if runs[name].digest() != run.digest():
            raise WorkError(f"{found.path} holds another configuration of {name}; remove it or use another name")
    return found


def set_aside(path: Path) -> None:
    """Give a damaged checkpoint a name under which it is neither read nor counted; it goes with its pack.

    Raises:
        WorkError: It cannot be renamed.
    """
    aside = path.with_name(f"damaged-{path.name}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
    except OSError as error:
        raise WorkError(f"cannot rename {path}, which is damaged: {error}; remove it, then resume") from error


def runs_of_checkpoint(folder: Path, runs: Mapping[str, RunConfig]) -> dict[str, RunConfig] | None:
    """Those of ``runs`` by name that are in the checkpoint in ``folder`` from which ``load_pack`` will go on.

    Returns:
        None if there is no checkpoint.

    Raises:
        WorkError: The checkpoint is of a later version or of other runs.
    """
    newest = _newest(folder, runs)
    return None if newest is None else {name: runs[name] for name in newest.runs}


def load_pack(folder: Path, pack: Pack) -> dict[str, Any] | None:
    """Put ``pack`` into the state of the newest checkpoint in ``folder`` that is not damaged.

    Returns:
        The counters saved with it, or None if there is no checkpoint.

    Raises:
        WorkError: The checkpoint is of a later version or of other runs.
    """
    newest = _newest(folder, dict(zip(pack.names, pack.runs, strict=True)))
    if newest is None:
        return None
    pack.keep([pack.names.index(name) for name in newest.runs])
    state = newest.state.resized(pack.state.weights.shape[1])  # those that have left may have had the longest rows
    # copied, so that they lie in memory as PyTorch lays it out
    placed = {name: tensor.to(pack.device.device, copy=True) for name, tensor in state.tensors().items()}
    pack.restore(RunState.from_tensors(placed), newest.update, newest.joined)
    return newest.counters


def save_model(folder: Path, pack: Pack, *, row: int, test: dict[str, TaskValues]) -> None:
    """Write the best weights of one run, its configuration and its scores a task to ``folder``."""
    params = pack.kind(row).layout.of_row(pack.state.best_weights[row])
    files = {_MODEL: params, _VALIDATION: {"values": pack.state.best_values[row]}}
    if test:
        files[_TEST] = test
    data = {"run": pack.runs[row].to_dict(), "best_update": int(pack.state.best_update[row])}
    _write(folder, _RUN, data=data, tensors=files)


def save_weights(folder: Path, run: RunConfig, *, params: Mapping[str, Tensor], best_update: int) -> None:
    """Write a model without scores, which ``read_weights`` reads."""
    _write(folder, _RUN, data={"run": run.to_dict(), "best_update": best_update}, tensors={_MODEL: params})


def load_model(folder: Path, device: Device | None = None) -> Model:
    """The best weights that ``save_model`` wrote to ``folder``.

    Args:
        folder: Of the run.
        device: Where it computes, None for the CPU; with the folder of imported datasets, which an image model needs
            to be scored on tasks, not to predict.

    Raises:
        Damaged: A file of it is not as it was written.
        WorkError: There is no model, or it is of a later format version.
    """
    run, weights = read_model(folder)
    return Model(run, weights, device or Device())


def read_model(folder: Path) -> tuple[RunConfig, dict[str, Tensor]]:
    """The run and the best weights of a model, by name; raises what ``load_model`` does."""
    run, _, weights = read_weights(folder)
    return run, weights


def read_weights(folder: Path) -> tuple[RunConfig, int, dict[str, Tensor]]:
    """The same with the update of the weights."""
    if not (folder / _RUN).is_file():
        raise WorkError(f"{folder} holds no model ({_RUN} is missing)")
    sealed = read_sealed(folder / _RUN)
    return RunConfig.from_dict(sealed.data["run"]), int(sealed.data["best_update"]), sealed.tensors(_MODEL)


def load_validation_values(folder: Path) -> TaskValues:
    """The validation value of the best weights, by the benchmark's measure, on every task.

    Raises:
        Damaged: They are not as they were written, or their digest is not.
    """
    return read_sealed(folder / _RUN).tensors(_VALIDATION)["values"]


def load_test_scores(folder: Path) -> dict[str, TaskValues]:
    """The test scores of every task; those of other domains are ``cross/<dataset>/...``.

    Raises:
        Damaged: They are not as they were written, or their digest is not.
    """
    return read_sealed(folder / _RUN).tensors(_TEST)


def has_test_scores(folder: Path) -> bool:
    """Whether a run was tested: one that was pruned or failed was not."""
    return (folder / _TEST).is_file()
