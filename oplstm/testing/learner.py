"""The contract of a learner, as tests."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from oplstm.configuration import Problems
from oplstm.episodes.episode import Episode
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.registry import LEARNERS
from oplstm.testing.packs import assert_rows_equal_singles, assert_same_when_stopped, stepped
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig, build_run

STOPS = (0, 1, 10, 13, 29)
"""Before the first update, after it, at a validation point, between two, at the end."""


class LearnerContract:
    """What holds for every learner; a subclass names its own.

    Attributes:
        learner: Its name.
        configurations: Hyperparameters of small runs that may share a pack: what a learner lets differ within one
            should differ in them.
        benchmark: On which it is tried; small, because every test trains.
        data: The folder of imported datasets, where the benchmark needs one.
        lr: Of the meta-updates.
        tolerance: By which a run of a pack may differ from the same run alone after an update, in float64, relative.
    """

    learner: ClassVar[str]
    configurations: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    benchmark: ClassVar[Mapping[str, Any]] = {"name": "sine", "shots": 3, "queries": 4}
    data: ClassVar[Path | None] = None
    lr: ClassVar[float] = 0.01
    tolerance: ClassVar[float] = 1e-12

    def reference(
        self, run: RunConfig, params: Mapping[str, Tensor], *, support: tuple[Tensor, Tensor], query_x: Tensor
    ) -> Tensor | None:
        """The predictions for one task, written from the equations without anything of the learner; None: no reference.

        Args:
            run: Its configuration.
            params: Parameters and constants of the run, float64, without the R axis.
            support: Inputs ``(M, *x)`` and targets ``(M, d_y)`` of the task.
            query_x: ``(Q, *x)``.
        """
        return None

    # What a subclass may build its own tests of

    def run(self, configuration: Mapping[str, Any] | None = None, *, seed: int = 0, tasks: int = 2) -> RunConfig:
        """A short run: 30 updates of ``tasks`` tasks, validated every 10."""
        problems = Problems()
        built = build_run(
            {
                "learner": self.learner,
                "hyperparameters": dict(self.configurations[0] if configuration is None else configuration),
                "benchmark": dict(self.benchmark),
                "budget": {"updates": 30, "validate_every": 10, "validation_tasks": 9, "test_tasks": 11},
                "meta_batch_size": tasks,
                "lr": self.lr,
                "seed": seed,
                "evaluation_seed": 7,
            },
            problems,
        )
        assert built is not None, f"{self.learner}: {'; '.join(problems.lines())}"
        return built

    def runs(self) -> list[RunConfig]:
        """Four runs for a pack, with every configuration, that differ in their seeds and meta-batch sizes too."""
        given = self.configurations
        count = max(4, len(given))
        return [self.run(given[i % len(given)], seed=i, tasks=1 + i % 3) for i in range(count)]

    def pack(self, runs: Sequence[RunConfig] | None = None, updates: int = 0) -> Pack:
        """A pack of runs in float64."""
        return stepped([self.run(), self.run(seed=1)] if runs is None else runs, updates, data=self.data)

    def episode(self, pack: Pack, tasks: int = 3) -> Episode:
        """Validation tasks, the same for all runs of a pack."""
        stream = TaskStream(pack.tasks, 5, split=Split.VALIDATION, dtype=torch.float64)
        drawn = pack.tasks.gather(stream.tasks(0, tasks))
        parts = (drawn.support_x, drawn.support_y, drawn.query_x, drawn.query_y)
        return Episode(*(part.expand(len(pack.runs), *part.shape[1:]) for part in parts))

    def predictions(self, pack: Pack, episode: Episode) -> Tensor:
        """``(R, B, Q, d_y)``, adapted as at test time."""
        with torch.no_grad():
            params = pack.params(pack.state.weights)
            return pack.learner.predict(params, pack.learner.adapt(params, episode), episode.query_x)

    # The contract

    def test_it_is_known_by_its_name_and_its_settings_are_data(self) -> None:
        """It is registered, its settings are a frozen dataclass, and a run of it survives being written down."""
        cls = LEARNERS[self.learner]
        assert cls.name == self.learner, f"it is registered as {self.learner} and calls itself {cls.name}"
        assert dataclasses.is_dataclass(cls.config_class), "config_class must be a dataclass"
        assert cls.config_class.__dataclass_params__.frozen, "config_class must be frozen"  # type: ignore[attr-defined]
        assert "paper" in cls.config_class.conventions, "conventions must have what is the default, paper"
        for configuration in self.configurations:
            run = self.run(configuration)
            assert RunConfig.from_dict(json.loads(json.dumps(run.to_dict()))) == run, "to_dict and from_dict differ"

    def test_initial_parameters_follow_from_their_generator_alone(self) -> None:
        """``init`` draws from the generator that is handed in: float32, on the CPU, without the R axis."""
        run = self.run()
        learner = LEARNERS[self.learner](run.hyperparameters, run.benchmark.shape)
        torch.manual_seed(1)
        one = learner.init(run.hyperparameters, torch.Generator().manual_seed(3))
        torch.manual_seed(2)
        two = learner.init(run.hyperparameters, torch.Generator().manual_seed(3))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert torch.equal(tensor, two[name]), f"{name} depends on more than the generator"
            assert tensor.dtype == torch.float32 and tensor.device.type == "cpu", f"{name} is {tensor.dtype}"
        assert not one.keys() & learner.constants(run.hyperparameters).keys(), "a constant has a parameter's name"

    def test_predictions_have_the_shape_of_the_targets(self) -> None:
        """``predict`` gives ``(R, B, Q, d_y)``, finite, of the inputs' type."""
        pack = self.pack(self.runs())
        episode = self.episode(pack)
        pack = Pack(pack.runs[:1], pack.names[:1], pack.device)  # runs that differ in passes are adapted by counts
        episode = episode.runs(0, 1)
        found = self.predictions(pack, episode)
        assert found.shape == episode.query_y.shape, f"got {tuple(found.shape)}, wanted {tuple(episode.query_y.shape)}"
        assert found.dtype == torch.float64, f"float64 in, {found.dtype} out"
        assert found.isfinite().all(), "predictions are not finite"

    def test_tasks_do_not_mix(self) -> None:
        """What is predicted for a task does not depend on the others beside it, nor on its own query targets."""
        pack = self.pack()
        episode = self.episode(pack)
        together = self.predictions(pack, episode)
        alone = self.predictions(pack, episode.tasks(1, 2))
        torch.testing.assert_close(together[:, 1:2], alone, rtol=1e-10, atol=1e-12)
        blind = dataclasses.replace(episode, query_y=torch.zeros_like(episode.query_y))
        assert torch.equal(self.predictions(pack, blind), together), "it looks at the targets of the queries"

    def test_the_order_of_queries_means_nothing(self) -> None:
        """A query's prediction moves along when the queries change places."""
        pack = self.pack()
        episode = self.episode(pack)
        places = torch.arange(episode.query_x.shape[2]).flip(0)
        turned = dataclasses.replace(episode, query_x=episode.query_x[:, :, places])
        found, wanted = self.predictions(pack, turned), self.predictions(pack, episode)[:, :, places]
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)

    def test_a_pack_equals_its_single_runs(self) -> None:
        """Whoever shares a pack, in whatever order: no effect but rounding, meta-batch sizes and settings mixed."""
        runs = self.runs()
        assert_rows_equal_singles(runs, 1, self.tolerance, data=self.data)
        assert_rows_equal_singles(runs[::-1][:2], 3, 100 * self.tolerance, data=self.data)

    def test_runs_of_a_pack_draw_the_tasks_that_they_would_draw_alone(self) -> None:
        """A run's stream of tasks follows from its seed: in a pack it validates and tests on the same ones."""
        runs = self.runs()
        pack = self.pack(runs, updates=1)
        scores, measure = pack.validation_scores(), pack.measure.name
        for row, run in enumerate(pack.runs):
            alone = self.pack([run], updates=1).validation_scores()
            torch.testing.assert_close(scores[measure][row], alone[measure][0], rtol=1e-9, atol=1e-11)

    def test_stopped_and_resumed_it_ends_as_if_it_never_had_been(self, tmp_path: Path) -> None:
        """Points, ends, files and state are the same to the bit, alone and in a pack that a run leaves."""
        assert_same_when_stopped(tmp_path / "alone", [self.run()], STOPS, data=self.data)
        pack = self.runs()[:3]
        assert_same_when_stopped(tmp_path / "pack", pack, (4, 17), prune={10: {"run-1"}}, data=self.data)

    def test_it_learns_something(self) -> None:
        """Meta-updates move every parameter's tensor or leave it, and stay finite; at least one moves."""
        pack = self.pack()
        before = pack.state.weights.clone()
        for _ in range(3):
            pack.step()
        assert (pack.state.diverged_at < 0).all(), "it diverged within three updates"
        assert (pack.state.weights != before).any(dim=1).all(), "no parameter moved"

    def test_it_agrees_with_its_reference(self) -> None:
        """Where there is one: float64, task by task."""
        pack = self.pack([self.run(each, seed=i) for i, each in enumerate(self.configurations)][:1], updates=1)
        episode = self.episode(pack)
        params = {name: value[0] for name, value in pack.params(pack.state.weights).items()}
        found = self.predictions(pack, episode)[0]
        for task, prediction in enumerate(found):
            support = episode.support_x[0, task], episode.support_y[0, task]
            wanted = self.reference(pack.runs[0], params, support=support, query_x=episode.query_x[0, task])
            if wanted is None:
                return
            torch.testing.assert_close(prediction, wanted, rtol=1e-9, atol=1e-11)
