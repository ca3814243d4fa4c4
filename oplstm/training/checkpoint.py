"""Checkpoints of packs and models of single runs: safetensors and JSON, never pickle.

A pack's checkpoint is a folder ``update-<n>`` that appears by one rename, so it is complete or absent.
A run's model is ``model.safetensors`` + ``run.json``; ``validation.safetensors`` and ``test.safetensors`` hold the
scores of every task, apart, so that code which selects can be shown the one and not the other.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from oplstm.durable import new_folder
from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.errors import WorkError
from oplstm.nets.arithmetic import arithmetic
from oplstm.shape import Shape
from oplstm.training.device import Device
from oplstm.training.evaluation import evaluate
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState

TaskValues = Annotated[Tensor, Shape("tasks")]
"""A number for every task of an evaluation, float64."""

VERSION = 1
KEPT = 2
"""Checkpoints of a pack that are kept; the older one is there should the newest be lost."""


def _write(folder: Path, tensors: dict[str, dict[str, Tensor]], data: dict[str, Any], json_name: str) -> None:
    """Write files to ``folder``, which appears whole."""
    try:
        with new_folder(folder) as draft:
            for name, named in tensors.items():
                save_file({key: value.detach().cpu().contiguous() for key, value in named.items()}, draft / name)
            (draft / json_name).write_text(json.dumps({"version": VERSION, **data}, indent=1))
    except Exception as error:  # safetensors reports a full disk as an exception of its own
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


def save_pack(folder: Path, pack: Pack, counters: dict[str, Any]) -> None:
    """Write everything that a bit-for-bit resume needs to ``folder/update-<n>``.

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
    _write(folder / f"update-{pack.update}", {"state.safetensors": pack.state.tensors()}, data, "pack.json")
    for old in _checkpoints(folder)[KEPT:]:
        shutil.rmtree(old)


def _newest(folder: Path, runs: Mapping[str, RunConfig]) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint in ``folder`` and its data, if there is one, of runs that are among ``runs``."""
    found = _checkpoints(folder)
    if not found:
        return None
    data = _read(found[0], "pack.json")
    for name, run in zip(data["names"], data["runs"], strict=True):
        if name not in runs or runs[name].digest() != RunConfig.from_dict(run).digest():
            raise WorkError(f"{found[0]} holds another configuration of {name}; remove it or use another name")
    return found[0], data


def runs_of_checkpoint(folder: Path, runs: Mapping[str, RunConfig]) -> dict[str, RunConfig] | None:
    """Those of ``runs`` by name that are in the newest checkpoint in ``folder``: all that it takes to go on.

    Returns:
        None if there is no checkpoint.

    Raises:
        WorkError: The checkpoint is of another version or of other runs.
    """
    newest = _newest(folder, runs)
    return None if newest is None else {name: runs[name] for name in newest[1]["names"]}


def load_pack(folder: Path, pack: Pack) -> dict[str, Any] | None:
    """Put ``pack`` into the state of the newest checkpoint in ``folder``.

    Returns:
        The counters saved with it, or None if there is no checkpoint.

    Raises:
        WorkError: The checkpoint is of another version or of other runs.
    """
    newest = _newest(folder, dict(zip(pack.names, pack.runs, strict=True)))
    if newest is None:
        return None
    path, data = newest
    pack.keep([pack.names.index(name) for name in data["names"]])
    tensors = load_file(path / "state.safetensors")
    placed = {name: tensor.to(pack.device.device) for name, tensor in tensors.items()}
    pack.restore(RunState.from_tensors(placed), data["update"], data.get("joined", [0] * len(pack.runs)))
    counters = dict(data["counters"])
    if "since_point" in counters:  # from when all runs of a pack had their points at the same updates
        counters["last_point"] = dict.fromkeys(pack.names, pack.update - int(counters.pop("since_point")))
    return counters


def save_model(folder: Path, pack: Pack, *, row: int, test: dict[str, TaskValues]) -> None:
    """Write the best weights of one run, its configuration and its scores a task to ``folder``."""
    params = pack.kind(row).layout.of_row(pack.state.best_weights[row])
    files = {"model.safetensors": params, "validation.safetensors": {"values": pack.state.best_values[row]}}
    if test:
        files["test.safetensors"] = test
    data = {"run": pack.runs[row].to_dict(), "best_update": int(pack.state.best_update[row])}
    _write(folder, files, data, "run.json")


class Model:
    """A trained run, ready to learn new tasks.

    Attributes:
        run: Its configuration.
        pack: A pack of this run alone.
    """

    def __init__(self, run: RunConfig, weights: dict[str, Tensor], data: Path | None = None) -> None:
        self.run = run
        self.pack = Pack([run], ["model"], Device(data=data))
        self.pack.state.best_weights = self.pack.layout.flatten([weights])

    def scores(self, split: Split, *, seed: int, count: int) -> dict[str, TaskValues]:
        """Scores on the first ``count`` tasks of a split drawn from ``seed``."""
        pack = self.pack
        episode = TaskStream(pack.tasks, seed, split).tasks(0, count)
        with arithmetic(self.run.precision, pack.device.device):
            found = evaluate(pack.learner, pack.params(pack.state.best_weights), episode, tasks=pack.tasks)
        return {name: values[0] for name, values in found.items()}

    @torch.no_grad()
    def predict(
        self,
        support_x: Annotated[Tensor, Shape("M *x")],
        support_y: Annotated[Tensor, Shape("M d_y")],
        query_x: Annotated[Tensor, Shape("Q *x")],
    ) -> Annotated[Tensor, Shape("Q d_y")]:
        """Learn one task and predict its queries.

        Args:
            support_x: Inputs of the task's shape.
            support_y: Targets, one-hot for classes.
            query_x: Inputs.

        Raises:
            ValueError: A shape does not fit; the message names it.
        """
        learner = self.pack.learner
        x_shape, y_shape = learner.shape.x, (learner.shape.d_y,)
        for name, value, wanted in (
            ("support_x", support_x, x_shape),
            ("support_y", support_y, y_shape),
            ("query_x", query_x, x_shape),
        ):
            if value.ndim == 0 or tuple(value.shape[1:]) != wanted or not len(value):
                text = ", ".join(map(str, wanted))
                raise ValueError(f"{name} must have the shape (n, {text}) with n >= 1, got {tuple(value.shape)}")
        if len(support_x) != len(support_y):
            raise ValueError(f"support_x and support_y must be equally long, got {len(support_x)} and {len(support_y)}")
        x, y, query = (value.float()[None, None] for value in (support_x, support_y, query_x))
        unknown = y.new_zeros(1, 1, query.shape[2], y.shape[3])
        params = self.pack.params(self.pack.state.best_weights)
        with arithmetic(self.run.precision, self.pack.device.device):
            fast = learner.adapt(params, Episode(x, y, query, unknown))
            return learner.predict(params, fast, query)[0, 0]


def load_model(folder: Path, data: Path | None = None) -> Model:
    """The best weights that ``save_model`` wrote to ``folder``.

    Args:
        folder: Of the run.
        data: The folder of imported datasets; needed to score an image model on tasks, not to predict with it.

    Raises:
        WorkError: There is no model, or it is of another format version.
    """
    if not (folder / "run.json").is_file():
        raise WorkError(f"{folder} holds no model (run.json is missing)")
    run = RunConfig.from_dict(_read(folder, "run.json")["run"])
    return Model(run, load_file(folder / "model.safetensors"), data)


def load_validation_values(folder: Path) -> TaskValues:
    """The validation value of the best weights, by the benchmark's measure, on every task."""
    return load_file(folder / "validation.safetensors")["values"]


def load_test_scores(folder: Path) -> dict[str, TaskValues]:
    """The test scores of every task; those of other domains are ``cross/<dataset>/...``."""
    return load_file(folder / "test.safetensors")
