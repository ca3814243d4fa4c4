"""``oplstm figure 5``: what a plain LSTM that reads its support set in order or at once makes of more shots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.operations.figures import form_of
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.intervals import Interval
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from jobs.store.trial_files import readable
from oplstm.durable import write_file
from oplstm.errors import RequestError
from oplstm.training.checkpoint import load_test_scores


@dataclass(frozen=True)
class Point:
    """The runs of one reading of the support set with one number of shots.

    Attributes:
        support: ``batched`` or ``sequential``.
        shots: Examples (a class).
        test: Mean of the runs' means, with its interval over seeds.
        runs: Their names, with that of the sweep.
        published: The authors' mean over 3 runs, where there is one.
    """

    support: str
    shots: int
    test: Interval
    runs: tuple[str, ...]
    published: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        test = self.test.stated()
        known = {"support": self.support, "shots": self.shots, "mean": test.mean, "half_width": test.half_width}
        return known | {"runs": list(self.runs), "published": self.published}


@dataclass(frozen=True)
class _Run:
    """A run that was tested: where it stands in the figure, what else it is, and its mean over test tasks."""

    name: str
    support: str
    shots: int
    seed: int
    rest: Mapping[str, Any]
    mean: float


def draw_shots(folders: Sequence[SweepFolder], path: Path) -> list[Point]:
    """Write Figure 5 of the tested runs of sweeps that differ in ``support``, ``shots`` and seed, and say its points.

    Raises:
        RequestError: None was tested, one is no plain LSTM, they differ in more, or two do not differ at all.
        WorkError: The scores of one are damaged.
    """
    from tracking.results.shots_figure import PUBLISHED, OverShots, shots_figure

    form = form_of(path)
    runs = [run for folder in folders for run in _tested(folder)]
    if not runs:
        names = ", ".join(folder.name for folder in folders)
        raise RequestError(f"no run of {names} was tested yet: Figure 5 is of the test scores of completed runs")
    for run in runs[1:]:
        if found := [
            key for key in run.rest.keys() | runs[0].rest.keys() if run.rest.get(key) != runs[0].rest.get(key)
        ]:
            raise RequestError(
                f"{run.name} and {runs[0].name} differ in {', '.join(sorted(found))}: the runs of Figure 5 may differ "
                "in support, shots and seed alone"
            )
    benchmark = str(runs[0].rest["benchmark.name"])
    grouped: dict[tuple[str, int], list[_Run]] = {}
    for run in runs:
        group = grouped.setdefault((run.support, run.shots), [])
        if twin := next((one for one in group if one.seed == run.seed), None):
            raise RequestError(
                f"{run.name} and {twin.name} are the same run with the same seed, which says nothing about seeds: "
                "sweep one of them with another --set seed="
            )
        group.append(run)
    points = [
        Point(
            support,
            shots,
            Interval.of([run.mean for run in group], over="seeds"),
            tuple(run.name for run in group),
            PUBLISHED.get(benchmark, {}).get(support, {}).get(shots),
        )
        for (support, shots), group in sorted(grouped.items())
    ]
    lines = {}
    for support in dict.fromkeys(point.support for point in points):
        own = [point for point in points if point.support == support]
        shots, means, halves = np.array([(one.shots, one.test.mean, one.test.half_width) for one in own], np.float64).T
        lines[support] = OverShots(shots, means, halves, seeds=tuple(len(one.runs) for one in own))
    title = f"Plain LSTM on {benchmark}: {', '.join(dict.fromkeys(folder.name for folder in folders))}"
    measure = Header.read(folders[0]).measure
    write_file(path, shots_figure(lines, benchmark=benchmark, measure=measure, title=title, form=form))
    return points


def _tested(folder: SweepFolder) -> Iterator[_Run]:
    header = Header.read(folder)
    for trial in SweepState.of(folder, header).by_name.values():
        if trial.state is TrialState.COMPLETE:
            yield _read(folder, trial)


def _read(folder: SweepFolder, trial: Trial) -> _Run:
    name, measure = f"{folder.name}/{trial.name}", trial.measure.name
    learner = trial.run["learner"]
    if learner != "lstm":
        raise RequestError(
            f"{name} is of {learner}: Figure 5 compares the ways in which a plain LSTM reads its support"
        )
    with readable(folder, trial.name, again="begin its sweep anew under another name"):
        mean = float(load_test_scores(folder.trial(trial.name))[measure].mean())
    rest = {
        key: trial.run[key] for key in trial.run.keys() - {"seed", "evaluation_seed", "hyperparameters", "benchmark"}
    }
    for part, own in (("hyperparameters", "support"), ("benchmark", "shots")):
        rest |= {f"{part}.{key}": value for key, value in trial.run[part].items() if key != own}
    config = trial.config
    return _Run(name, str(config.hyperparameters.support), int(config.benchmark.shots), config.seed, rest, mean)
