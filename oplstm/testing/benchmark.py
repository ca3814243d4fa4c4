"""The contracts of a benchmark and of an imported dataset, as tests."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.benchmark import Benchmark, Tasks
from oplstm.episodes.datasets.class_lists import SPLITS
from oplstm.episodes.datasets.store import verify_dataset
from oplstm.episodes.episode import Episode
from oplstm.episodes.registry import BENCHMARKS
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream

PARTS = ("support_x", "support_y", "query_x", "query_y")
WITHOUT_TORCH = """
import importlib, json, sys
sys.path[:] = {path!r}
sys.modules["torch"] = None
from oplstm.configuration import Problems, build
module, _, name = {place!r}.partition(":")
benchmark = build(getattr(importlib.import_module(module), name), json.loads({options!r}), Problems())
print(benchmark.measure.name, benchmark.shape, benchmark.digest())
"""


class BenchmarkContract:
    """What holds for every benchmark; a subclass names its own.

    Attributes:
        benchmark: Its name and options, as a job has them; small ones.
        data: The folder of imported datasets, where it needs one.
    """

    benchmark: ClassVar[Mapping[str, Any]]
    data: ClassVar[Path | None] = None

    def defined(self, **changes: Any) -> Benchmark:
        """The benchmark, with other options where they are given."""
        options = {**self.benchmark, **changes}
        problems = Problems()
        built = build(BENCHMARKS[options.pop("name")], options, problems)
        assert built is not None, f"{self.benchmark['name']}: {'; '.join(problems.lines())}"
        return built

    def opened(self) -> Tasks:
        """Its tasks."""
        return self.defined().open(self.data)

    def drawn(self, count: int = 20, *, start: int = 0, seed: int = 0, split: Split = Split.TRAIN) -> Episode:
        """Some tasks of a stream, as they come from the generator."""
        return TaskStream(self.opened(), seed, split=split, dtype=torch.float64).tasks(start, count)

    def test_it_is_known_by_its_name_and_its_definition_is_data(self) -> None:
        """It is registered; its definition is a frozen dataclass with a digest that tells its options apart."""
        cls, one = BENCHMARKS[self.benchmark["name"]], self.defined()
        assert cls.name == self.benchmark["name"], f"it calls itself {cls.name}"
        assert cls.__dataclass_params__.frozen, "it must be a frozen dataclass"  # type: ignore[attr-defined]
        assert "paper" in cls.conventions, "conventions must have what is the default, paper"
        options = json.loads(json.dumps(dataclasses.asdict(one)))
        assert build(cls, options, Problems()) == one, "its options do not survive being written down"
        assert one.digest() == self.defined().digest(), "its digest is not always the same"
        number = next((k for k, v in options.items() if type(v) is int), None)
        if number is not None:
            other = dataclasses.replace(one, **{number: options[number] + 1})
            assert other.digest() != one.digest(), f"its digest does not depend on {number}"

    def test_it_is_defined_without_torch(self) -> None:
        """Names, measures and shapes are asked for by verbs that do not load torch."""
        cls = BENCHMARKS[self.benchmark["name"]]
        options = json.dumps({key: value for key, value in self.benchmark.items() if key != "name"})
        place = f"{cls.__module__}:{cls.__qualname__}"
        code = WITHOUT_TORCH.format(path=sys.path, place=place, options=options)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{place} cannot be defined without torch: {done.stderr[-2000:]}"
        wanted = f"{cls.measure.name} {self.defined().shape} {self.defined().digest()}"
        assert done.stdout.strip() == wanted, f"without torch it is {done.stdout.strip()}, with it {wanted}"

    def test_its_tasks_have_its_shape(self) -> None:
        """Inputs and targets as ``shape`` says, finite; of classes the targets are one-hot."""
        shape, tasks = self.defined().shape, self.opened()
        episode = tasks.gather(self.drawn())
        for part in PARTS:
            value = getattr(episode, part)
            wanted = shape.x if part.endswith("_x") else (shape.d_y,)
            assert tuple(value.shape[3:]) == wanted, (
                f"{part} is {tuple(value.shape[3:])} a point, and shape says {wanted}"
            )
            assert value.isfinite().all(), f"{part} is not finite"
        if shape.loss == "cross_entropy":
            for part in ("support_y", "query_y"):
                value = getattr(episode, part)
                assert ((value == 0) | (value == 1)).all() and (value.sum(-1) == 1).all(), f"{part} is not one-hot"

    def test_a_task_follows_from_seed_split_and_index_alone(self) -> None:
        """Drawn again, in other batches, in another order, beside others: it is the same; other seeds differ."""
        whole, later = self.drawn(300), self.drawn(3, start=280)
        for part in PARTS:
            assert torch.equal(getattr(whole, part)[:, 280:283], getattr(later, part)), f"{part} of task 280 differs"
        torch.manual_seed(9)
        for part in PARTS:
            assert torch.equal(getattr(self.drawn(300), part), getattr(whole, part)), f"{part} differs when drawn again"
        for other in (self.drawn(300, seed=1), self.drawn(300, split=Split.TEST)):
            assert not torch.equal(other.support_x, whole.support_x), "another seed or split draws the same tasks"


class DatasetContract(BenchmarkContract):
    """What holds for an imported dataset of images besides: its benchmark names it, and ``data`` is where it lies."""

    def test_the_pixels_are_those_that_were_imported(self) -> None:
        """Its digest is that of what is on the disk."""
        assert self.data is not None, "data must say where datasets are"
        verify_dataset(self.data / str(self.benchmark.get("dataset", self.benchmark["name"])))

    def test_no_class_is_in_two_splits(self) -> None:
        """Meta-training, validation and test share no class, and every class belongs to one of them."""
        assert self.data is not None, "data must say where datasets are"
        dataset = verify_dataset(self.data / str(self.benchmark.get("dataset", self.benchmark["name"])))
        of = [index for split in SPLITS for index in dataset.splits[split]]
        assert sorted(of) == list(range(len(dataset.class_names))), "a class is in two splits, or in none"

    def test_pixels_are_numbers_from_0_to_1(self) -> None:
        """Of every split."""
        tasks = self.opened()
        for split in (Split.TRAIN, Split.VALIDATION, Split.TEST):
            episode = tasks.gather(self.drawn(3, split=split))
            for x in (episode.support_x, episode.query_x):
                assert x.min() >= 0 and x.max() <= 1, f"pixels from {x.min():g} to {x.max():g}"
