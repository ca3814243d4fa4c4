"""What is measured: a configuration of a learner on a benchmark, as packs of ours and as the usual program."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from oplstm.nets.precision import Precision
from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.benchmark.baseline import BASELINES, BaselineTraining
from tests.benchmark.baseline_nets import Kind


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A configuration, in the words of a job file.

    Attributes:
        learner: Its name.
        hyperparameters: Of the learner, with their ``convention``.
        benchmark: Where the tasks come from.
        meta_batch_size: Tasks a meta-update.
        lr: Adam's learning rate.
        grad_clip: Bound on every number of the meta-gradient.
        budget: Of a run.
        precision: Of the products in the networks.
        kinds: The baselines to compare with.
        expected: Tasks a second that packs of the given sizes should reach.
    """

    learner: str
    hyperparameters: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    meta_batch_size: int
    lr: float
    grad_clip: float | None = None
    budget: Mapping[str, Any]
    precision: Precision = "float32"
    kinds: tuple[Kind, ...] | None = None
    expected: Mapping[int, float] = field(default_factory=dict)

    @property
    def convention(self) -> str:
        """``authors``, as the published numbers were made, or ``paper``."""
        return str(self.hyperparameters.get("convention", "paper"))

    @property
    def baselines(self) -> tuple[Kind, ...]:
        """The usual way to write the learner first."""
        return self.kinds or BASELINES[self.learner].kinds

    @property
    def validation_tasks(self) -> int:
        """Tasks of a meta-validation."""
        return int(self.budget["validation_tasks"])

    @property
    def updates_between(self) -> float:
        """Meta-updates between two meta-validations."""
        interval = float(self.budget["validate_every"])
        return interval if "updates" in self.budget else interval / self.meta_batch_size

    def run(self, seed: int = 0, validation_tasks: int | None = None) -> RunConfig:
        """A run of it, validated on fewer tasks where so many are given."""
        fewer = {} if validation_tasks is None else {"validation_tasks": validation_tasks}
        plain = {
            "learner": self.learner, "hyperparameters": self.hyperparameters, "benchmark": self.benchmark,
            "meta_batch_size": self.meta_batch_size, "lr": self.lr, "grad_clip": self.grad_clip,
            "budget": {**self.budget, **fewer}, "seed": seed, "evaluation_seed": 0, "precision": self.precision,
        }  # fmt: skip
        return RunConfig.from_dict(plain)

    def pack(self, size: int, place: Device, validation_tasks: int | None = None) -> Pack:
        """``size`` runs of it, which differ in their seeds."""
        runs = [self.run(seed, validation_tasks) for seed in range(size)]
        return Pack(runs, [f"run-{seed}" for seed in range(size)], place)

    def baseline(self, kind: Kind, place: Device) -> BaselineTraining:
        """One run of it, one task at a time."""
        return BaselineTraining(self.run(), kind, place)

    def shrunk(self) -> "Setting":
        """The same learner with a network and tasks that take milliseconds, to try the benchmark itself."""
        sizes = {"base_widths": [4], "widths": [4], "cells": [2, 1], "passes": 2}
        if self.hyperparameters.get("backbone") == "conv4":
            sizes["base_widths"] = []
        few = {} if self.benchmark["name"] == "sine" else {"ways": 2, "shots": 1, "queries": 1}
        return replace(
            self,
            hyperparameters={key: sizes.get(key, value) for key, value in self.hyperparameters.items()},
            benchmark={**self.benchmark, **few},
            budget={**self.budget, "validation_tasks": 4, "test_tasks": 4},
        )
