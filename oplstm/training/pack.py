"""A pack: R runs of one signature trained side by side in one program."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Annotated

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from oplstm.analysis.registry import ANALYSES, TASKS
from oplstm.episodes.benchmark import Tasks
from oplstm.episodes.episode import Episode, stack_runs
from oplstm.episodes.measure import Measure
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.learner import AnyLearner
from oplstm.learners.registry import LEARNERS
from oplstm.nets.arithmetic import arithmetic
from oplstm.shape import Shape
from oplstm.training.budget import Budget
from oplstm.training.device import Device
from oplstm.training.evaluation import evaluate
from oplstm.training.parameters import Kind, Layout
from oplstm.training.run import RunConfig
from oplstm.training.run_state import RunState
from oplstm.training.update.meta_update import MetaUpdate

Scores = dict[str, Annotated[Tensor, Shape("rows tasks")]]
"""By name, float64: of the runs that were asked for, on every task."""


def by_passes(runs: Sequence[RunConfig]) -> list[int]:
    """The places of runs in the order that ``Learner.passes`` wants: most passes first."""
    return sorted(range(len(runs)), key=lambda row: -runs[row].passes(training=True))


Initial = Callable[[str, RunConfig], Mapping[str, Tensor]]
"""The parameters with which a run of this name begins, without the R axis."""


def fresh_weights(name: str, run: RunConfig) -> Mapping[str, Tensor]:
    """Those that follow from its seed: see ``Initial``."""
    learner: AnyLearner = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape)
    return learner.init(run.hyperparameters, torch.Generator().manual_seed(run.seed))


class Pack:
    """Runs of one signature, their state, and one meta-update of all of them.

    Some families hold runs of several kinds, whose rows of weights are as long as the longest: see ``Kind``.

    Args:
        runs: Their configurations. They stand in the order of their T, most passes first.
        names: A unique name a run, such as ``trial-0003``.
        device: Where to compute, and in which precision.
        weights: With what they begin, and those that are added.

    Attributes:
        update: Meta-updates that the pack has made.
        joined: Its ``update`` when each run came in.

    Raises:
        ValueError: The runs' signatures differ.
    """

    def __init__(
        self,
        runs: Sequence[RunConfig],
        names: Sequence[str],
        device: Device | None = None,
        *,
        weights: Initial = fresh_weights,
    ) -> None:
        self.device, self._first_weights = device or Device(), weights
        if len({run.signature for run in runs}) != 1:
            raise ValueError(f"runs of one pack must share a signature: {', '.join(names)} do not")
        order = by_passes(runs)
        self.runs, self.names = [runs[row] for row in order], [names[row] for row in order]
        first = self.runs[0]
        self.measure: Measure = first.benchmark.measure
        initial = [weights(name, run) for name, run in zip(self.names, self.runs, strict=True)]
        by_kind = {run.kind: (run, params) for run, params in zip(self.runs, initial, strict=True)}
        self._kinds = {kind: Kind.of(*example) for kind, example in by_kind.items()}
        self.update = 0
        self.joined = [0] * len(self.runs)
        layouts = [self._kinds[run.kind].layout for run in self.runs]
        rows = [layout.flatten([params])[0] for layout, params in zip(layouts, initial, strict=True)]
        placed = self.device.place(pad_sequence(rows, batch_first=True))
        self.state = RunState.initial(placed, self.measure, self.budget.validation_tasks)
        self._bind()

    def _bind(self) -> None:
        """What follows from the runs and is not state."""
        self.__dict__.pop("meta_update", None)
        if not self.runs:
            return
        self._kinds = {run.kind: self._kinds[run.kind] for run in self.runs}
        self._constants = [self.learner.constants(run.hyperparameters) for run in self.runs]
        self._evaluation_tasks: dict[Split, Episode] = {}

    def kind(self, row: int = 0) -> Kind:
        """The learner and the layout of the weights of a run."""
        return self._kinds[self.runs[row].kind]

    @property
    def learner(self) -> AnyLearner:
        """That of the first run: all have it where all are of one kind."""
        return self.kind().learner

    @property
    def layout(self) -> Layout:
        """That of the first run: all have it where all are of one kind."""
        return self.kind().layout

    @cached_property
    def tasks(self) -> Tasks:
        """The benchmark's, opened when they are first needed: a model predicts without the data."""
        tasks: Tasks = self._first.benchmark.open(self.device.data)
        return tasks

    @cached_property
    def meta_update(self) -> MetaUpdate:
        """Of the runs at hand, until others come or these go."""
        return MetaUpdate(
            self.runs,
            updates=self.updates,
            state=self.state,
            kinds=[self.kind(row) for row in range(len(self.runs))],
            constants=self._constants_of,
            tasks=self.tasks,
            device=self.device,
        )

    @property
    def updates(self) -> list[int]:
        """Meta-updates that each run has made since it joined."""
        return [self.update - joined for joined in self.joined]

    @property
    def budget(self) -> Budget:
        """The budget, which the runs of a pack share."""
        return self._first.budget

    @property
    def _first(self) -> RunConfig:
        return self.runs[0]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all runs but ``rows`` (compaction): ended runs cost no more time. The others stand as ``rows`` do."""
        if list(rows) == list(range(len(self.runs))):
            return
        self.runs = [self.runs[row] for row in rows]
        self.names = [self.names[row] for row in rows]
        self.joined = [self.joined[row] for row in rows]
        index = torch.tensor(rows, dtype=torch.int64, device=self.device.device)
        width = max((self.kind(row).layout.size for row in range(len(self.runs))), default=0)
        self.state = self.state.of_rows(index).resized(width)
        self._bind()

    def restore(self, state: RunState, update: int, joined: Sequence[int]) -> None:
        """Put the runs where they once were."""
        self.state, self.update, self.joined = state, update, list(joined)
        self._bind()

    def add(self, runs: Sequence[RunConfig], names: Sequence[str]) -> None:
        """Take in runs of the same signature; their own updates count from here.

        Raises:
            ValueError: The signatures differ.
        """
        if {run.signature for run in runs} != {self._first.signature}:
            raise ValueError(f"runs of one pack must share a signature: {', '.join(names)} have another")
        new = Pack(runs, names, self.device, weights=self._first_weights)
        width = max(self.state.weights.shape[1], new.state.weights.shape[1])
        own, others = self.state.resized(width).tensors(), new.state.resized(width).tensors()
        self.state = RunState.from_tensors({name: torch.cat((own[name], others[name])) for name in own})
        self._kinds |= new._kinds
        self.runs, self.names = [*self.runs, *new.runs], [*self.names, *new.names]
        self.joined += [self.update] * len(runs)
        self._bind()
        self.keep(by_passes(self.runs))

    def params(
        self, weights: Annotated[Tensor, Shape("rows P")], rows: Sequence[int] | None = None
    ) -> dict[str, Annotated[Tensor, Shape("rows ...")]]:
        """Named parameters and constants for the learner of runs of one kind: of all, or of ``rows``.

        Args:
            weights: Of these runs; of a run with fewer parameters than others of the pack the rest counts for nothing.
            rows: Theirs.
        """
        rows = range(len(self.runs)) if rows is None else rows
        layout = self.kind(rows[0]).layout
        return {**layout.views(weights[:, : layout.size]), **self._constants_of(rows)}

    def _constants_of(self, rows: Sequence[int]) -> dict[str, Annotated[Tensor, Shape("rows ...")]]:
        names = self._constants[rows[0]]
        return {name: self.device.place(torch.stack([self._constants[row][name] for row in rows])) for name in names}

    def passes(self, rows: Sequence[int] | None = None) -> list[int]:
        """T of all runs, or of ``rows``, in validation and test."""
        rows = range(len(self.runs)) if rows is None else rows
        return [self.runs[row].passes(training=False) for row in rows]

    def step(self) -> None:
        """One meta-update of every run."""
        self.meta_update.step(self.update, self.updates)
        self.update += 1

    def evaluation_tasks(self, split: Split, count: int) -> Annotated[Episode, Shape("#R tasks")]:
        """The tasks of a split: one block for all runs if they share its seed, else one a run."""
        if split not in self._evaluation_tasks:
            self._evaluation_tasks[split] = self._draw(self.tasks, split, count)
        return self._evaluation_tasks[split]

    def _draw(self, tasks: Tasks, split: Split, count: int) -> Annotated[Episode, Shape("#R tasks")]:
        seeds = [run.evaluation_seed for run in self.runs]
        seeds = seeds[:1] if len(set(seeds)) == 1 else seeds
        blocks = [TaskStream(tasks, seed, split=split, dtype=self.device.dtype).tasks(0, count) for seed in seeds]
        return stack_runs(blocks).to(self.device.device, self.device.dtype)

    def validation_scores(self, rows: Sequence[int] | None = None) -> Scores:
        """Scores of ``rows``, or of all runs, on every meta-validation task; see ``evaluate``."""
        return self._scores(self.state.weights, self._validation_tasks(), rows=rows)

    def _validation_tasks(self) -> Annotated[Episode, Shape("#R tasks")]:
        split = Split.FINAL_VALIDATION if self._first.final else Split.VALIDATION
        return self.evaluation_tasks(split, self.budget.validation_tasks)

    def _scores(
        self,
        weights: Annotated[Tensor, Shape("R P")],
        episode: Annotated[Episode, Shape("#R tasks")],
        *,
        rows: Sequence[int] | None,
        tasks: Tasks | None = None,
    ) -> Scores:
        """Scores of ``rows`` of all ``weights`` on the tasks of all runs, drawn from ``tasks`` of another domain."""
        rows = range(len(self.runs)) if rows is None else rows
        by_kind: dict[Hashable, list[int]] = {}
        for row in rows:
            by_kind.setdefault(self.runs[row].kind, []).append(row)
        found: dict[str, dict[int, Tensor]] = {}
        for some in by_kind.values():
            for name, values in self._scores_of_kind(
                weights, episode, rows=sorted(some), tasks=tasks or self.tasks
            ).items():
                found.setdefault(name, {}).update(zip(sorted(some), values, strict=True))
        return {name: torch.stack([values[row] for row in rows]) for name, values in found.items()}

    def _scores_of_kind(
        self,
        weights: Annotated[Tensor, Shape("R P")],
        episode: Annotated[Episode, Shape("#R tasks")],
        *,
        rows: Sequence[int],
        tasks: Tasks,
    ) -> Scores:
        """Scores of ``rows`` that are of one kind."""
        if len(rows) < len(self.runs):
            index = torch.tensor(rows, device=self.device.device)
            weights, episode = weights[index], episode.of_runs(index)
        params = self.params(weights, rows)
        with arithmetic(self._first.precision, self.device.device):
            return evaluate(self.kind(rows[0]).learner, params, episode, tasks=tasks, counts=self.passes(rows))

    def analyses(self, rows: Sequence[int] | None = None) -> Scores:
        """What the budget asks for beside scores, on the first validation tasks."""
        if not self.budget.analyses:
            return {}
        found = [self._analyses_of(row) for row in (range(len(self.runs)) if rows is None else rows)]
        return {metric: torch.cat([each[metric] for each in found]) for metric in found[0]}

    def _analyses_of(self, row: int) -> dict[str, Annotated[Tensor, Shape("1 tasks")]]:
        run = self.runs[row]
        learner = LEARNERS[run.learner](run.hyperparameters, run.benchmark.shape)  # T is this run's
        params = self.params(self.state.weights[row : row + 1], [row])
        episode = self._validation_tasks().of_runs(torch.tensor([row], device=self.device.device))
        found: dict[str, list[Tensor]] = {}
        for task in range(min(TASKS, episode.task_count)):
            part = self.tasks.gather(episode.tasks(task, task + 1))
            for name in self.budget.analyses:
                for metric, values in ANALYSES[name](learner, params, part).items():
                    found.setdefault(metric, []).append(values.double())
        return {metric: torch.cat(parts, dim=1) for metric, parts in found.items()}

    def test_scores(self, rows: Sequence[int] | None = None) -> Scores:
        """Scores of the best weights of ``rows`` on all test tasks, and as ``cross/<dataset>/...`` of other domains."""
        split = Split.FINAL_TEST if self._first.final else Split.TEST
        weights, count = self.state.best_weights, self.budget.test_tasks
        scores = self._scores(weights, self.evaluation_tasks(split, count), rows=rows)
        for name, benchmark in self._first.benchmark.cross().items():
            tasks = benchmark.open(self.device.data)
            found = self._scores(weights, self._draw(tasks, split, count), rows=rows, tasks=tasks)
            scores |= {f"cross/{name}/{score}": values for score, values in found.items()}
        return scores
