"""Checkpoints of packs and models of single runs: safetensors and JSON, never pickle.

A pack's checkpoint is a folder ``update-<n>`` that appears by one rename, so it is complete or absent.
A run's model is ``model.safetensors`` + ``run.json``; ``validation.safetensors`` and ``test.safetensors`` hold the
query loss of every task, apart, so that code which selects can be shown the one and not the other.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oplstm.episodes.episode import Episode
from oplstm.episodes.streams import Split, TaskStream
from oplstm.errors import WorkError
from oplstm.training.evaluation import evaluate
from oplstm.training.pack import Pack, RunState
from oplstm.training.run import RunConfig

VERSION = 1
KEPT = 2
"""Checkpoints of a pack that are kept; the older one is there should the newest be lost."""


def _write(folder: Path, tensors: dict[str, dict[str, Tensor]], data: dict[str, Any], json_name: str) -> None:
    """Write files into a fresh folder beside ``folder`` and rename it into place."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, named in tensors.items():
            save_file({key: value.detach().cpu().contiguous() for key, value in named.items()}, temporary / name)
        (temporary / json_name).write_text(json.dumps({"version": VERSION, **data}, indent=1))
        for path in temporary.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        # safetensors reports a full disk as an exception of its own.
        raise WorkError(
            f"cannot write {folder}: {error}; free some space or mend the permissions, then resume"
        ) from error


def _read(folder: Path, json_name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / json_name).read_text())
    if data.get("version") != VERSION:
        raise WorkError(f"{folder / json_name} has format version {data.get('version')}, this oplstm reads {VERSION}")
    return data


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first."""
    found = folder.glob("update-*") if folder.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.removeprefix("update-")), reverse=True)


def save_pack(folder: Path, pack: Pack, counters: dict[str, float]) -> None:
    """Write everything that a bit-for-bit resume needs to ``folder/update-<n>``.

    Raises:
        WorkError: The disk is full or not writable.
    """
    data = {
        "update": pack.update,
        "adam_steps": pack.state.moments.steps,
        "names": pack.names,
        "runs": [run.to_dict() for run in pack.runs],
        "counters": counters,
    }
    _write(folder / f"update-{pack.update}", {"state.safetensors": pack.state.tensors()}, data, "pack.json")
    for old in _checkpoints(folder)[KEPT:]:
        shutil.rmtree(old)


def load_pack(folder: Path, pack: Pack) -> dict[str, float] | None:
    """Put ``pack`` into the state of the newest checkpoint in ``folder``.

    Returns:
        The counters saved with it, or None if there is no checkpoint.

    Raises:
        WorkError: The checkpoint is of another version or of other runs.
    """
    found = _checkpoints(folder)
    if not found:
        return None
    data = _read(found[0], "pack.json")
    given = {name: run.digest() for name, run in zip(pack.names, pack.runs, strict=True)}
    for name, run in zip(data["names"], data["runs"], strict=True):
        if given.get(name) != RunConfig.from_dict(run).digest():
            raise WorkError(f"{found[0]} holds another configuration of {name}; remove it or use another name")
    pack.keep([pack.names.index(name) for name in data["names"]])
    tensors = load_file(found[0] / "state.safetensors")
    placed = {name: tensor.to(pack.device.device) for name, tensor in tensors.items()}
    pack.state = RunState.from_tensors(placed, data["adam_steps"])
    pack.update = data["update"]
    return dict(data["counters"])


def save_model(folder: Path, pack: Pack, row: int, test: Tensor | None) -> None:
    """Write the best weights of one run, its configuration and its scores a task to ``folder``."""
    params = {name: value[0] for name, value in pack.layout.views(pack.state.best_weights[row : row + 1]).items()}
    files = {"model.safetensors": params, "validation.safetensors": {"losses": pack.state.best_losses[row]}}
    if test is not None:
        files["test.safetensors"] = {"losses": test}
    data = {"run": pack.runs[row].to_dict(), "best_update": int(pack.state.best_update[row])}
    _write(folder, files, data, "run.json")


class Model:
    """A trained run, ready to learn new tasks.

    Attributes:
        run: Its configuration.
        pack: A pack of this run alone.
    """

    def __init__(self, run: RunConfig, weights: dict[str, Tensor]) -> None:
        self.run = run
        self.pack = Pack([run], ["model"])
        self.pack.state.best_weights = self.pack.layout.flatten([weights])

    def losses(self, split: Split, *, seed: int, count: int) -> Tensor:
        """Query loss on the first ``count`` tasks of a split drawn from ``seed``, float64 ``(count,)``."""
        tasks = TaskStream(self.run.benchmark, seed, split).tasks(0, count)
        return evaluate(self.pack.learner, self.pack.params(self.pack.state.best_weights), tasks)[0]

    @torch.no_grad()
    def predict(self, support_x: Tensor, support_y: Tensor, query_x: Tensor) -> Tensor:
        """Learn one task and predict its queries.

        Args:
            support_x: ``(M, d_x)``.
            support_y: ``(M, d_y)``.
            query_x: ``(Q, d_x)``.

        Returns:
            ``(Q, d_y)``.

        Raises:
            ValueError: A shape does not fit; the message names it.
        """
        learner = self.pack.learner
        for name, value, width in (
            ("support_x", support_x, learner.d_x),
            ("support_y", support_y, learner.d_y),
            ("query_x", query_x, learner.d_x),
        ):
            if value.ndim != 2 or value.shape[1] != width or not len(value):
                raise ValueError(f"{name} must have the shape (n, {width}) with n >= 1, got {tuple(value.shape)}")
        if len(support_x) != len(support_y):
            raise ValueError(f"support_x and support_y must be equally long, got {len(support_x)} and {len(support_y)}")
        one_task = (value.float()[None, None] for value in (support_x, support_y, query_x))
        x, y, query = one_task
        params = self.pack.params(self.pack.state.best_weights)
        fast = learner.adapt(params, Episode(x, y, query, query))
        return learner.predict(params, fast, query)[0, 0]


def load_model(folder: Path) -> Model:
    """The best weights that ``save_model`` wrote to ``folder``.

    Raises:
        WorkError: There is no model, or it is of another format version.
    """
    if not (folder / "run.json").is_file():
        raise WorkError(f"{folder} holds no model (run.json is missing)")
    run = RunConfig.from_dict(_read(folder, "run.json")["run"])
    return Model(run, load_file(folder / "model.safetensors"))


def load_validation_losses(folder: Path) -> Tensor:
    """The validation loss of the best weights on every task, ``(tasks,)``."""
    return load_file(folder / "validation.safetensors")["losses"]


def load_test_losses(folder: Path) -> Tensor:
    """The test loss on every task, ``(tasks,)``."""
    return load_file(folder / "test.safetensors")["losses"]
