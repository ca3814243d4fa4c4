"""Final runs as MLflow holds them, and trainings of published configurations, each with the runs of its seeds."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tracking.server.client import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What MLflow holds of one run: its id and name, start in Unix milliseconds, tags, params and last metrics."""

    run_id: str
    name: str
    start_ms: int
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]

    @property
    def date(self) -> str:
        """When it started, UTC."""
        return datetime.fromtimestamp(self.start_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True, slots=True)
class FinalRun:
    """A final run, or the training of a published or another configuration, and its seeds' runs by their names."""

    parent: TrackedRun
    seeds: tuple[TrackedRun, ...]

    @property
    def seed_count(self) -> int:
        """Seeds that its result is the mean over."""
        return int(self.parent.metrics.get("final/seeds", 1))

    @property
    def published(self) -> bool:
        """Whether the configuration is the paper's, which nobody has searched for here."""
        return self._trained and self.parent.tags.get("oplstm.published", "") != ""

    @property
    def chosen_by_hand(self) -> bool:
        """Whether it is a training of a configuration that neither a sweep here nor the paper has picked."""
        return self._trained and not self.published

    @property
    def _trained(self) -> bool:
        """Whether it is no sweep's final run: what one has picked is its own, also where the paper has the same."""
        return self.parent.tags.get("oplstm.kind") == "train"

    @property
    def label(self) -> str:
        """Such as "lstm 5-shot on sine" or "sequential lstm 5-shot on sine"."""
        learner, mode, shots, benchmark = (
            self.parent.tags.get(f"oplstm.{name}", "") for name in ("learner", "mode", "shots", "benchmark")
        )
        return f"{'' if mode in ('', 'batched') else f'{mode} '}{learner} {shots}-shot on {benchmark}"


def final_runs(
    client: "MlflowClient",
    benchmarks: Sequence[str],
    experiment_ids: Sequence[str] | None = None,
    *,
    also: Collection[str] = (),
) -> list[FinalRun]:
    """Final runs that have been made, and trainings of configurations that the paper publishes, the newest first.

    Args:
        client: Of the tracking server.
        benchmarks: What they were trained on; known names.
        experiment_ids: Where to look; everywhere by default.
        also: Names of other trainings that are wanted.
    """
    if experiment_ids is None:
        experiment_ids = [experiment.experiment_id for experiment in client.search_experiments(max_results=_PAGE)]
    seeds, parents = defaultdict(list), []
    for benchmark in benchmarks:
        of = f"tags.`oplstm.benchmark` = '{benchmark}' AND tags.`oplstm.kind` = "
        for kind in ("final", "train"):
            made = [FinalRun(_tracked(run), ()) for run in all_runs(client, experiment_ids, f"{of}'{kind}'")]
            parents += [run.parent for run in made if not run.chosen_by_hand or run.parent.name in also]
            for run in all_runs(client, experiment_ids, f"{of}'{kind}-trial'"):
                seeds[run.data.tags.get("mlflow.parentRunId")].append(_tracked(run))
    parents.sort(key=lambda run: (-run.start_ms, run.run_id))
    ordered = {run_id: sorted(runs, key=lambda run: (run.name, run.run_id)) for run_id, runs in seeds.items()}
    return [FinalRun(parent, tuple(ordered.get(parent.run_id, ()))) for parent in parents]


def _tracked(run: "Run") -> TrackedRun:
    info, data = run.info, run.data
    return TrackedRun(info.run_id, info.run_name or info.run_id, info.start_time, data.tags, data.params, data.metrics)
