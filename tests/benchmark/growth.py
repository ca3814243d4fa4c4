"""How time and memory grow with the size of a pack and of a run: one factor at a time, from the published point on."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from tests.benchmark.measuring import Bench, Steps
from tests.benchmark.settings import Setting
from tests.benchmark.sine import LSTM, MAML, OP_LSTM

SHARE = 0.25
"""Of the seconds of a contender elsewhere: there are many points."""
RUNS = (1, 4, 16, 64)
POINTS: tuple[tuple[Setting, Mapping[str, Sequence[Any]]], ...] = (
    (LSTM, {"B": (1, 4, 16, 64), "T": (2, 4, 8, 16), "widths": ([20, 20], [40, 40], [80, 80], [160, 160])}),
    (OP_LSTM, {"B": (1, 4, 16, 64), "T": (1, 3, 9, 18), "widths": ([45] * 3, [91] * 3, [182] * 3, [364] * 3)}),
    (MAML, {"B": (1, 2, 8, 32), "T": (1, 7, 14, 28), "widths": ([45] * 3, [91] * 3, [182] * 3, [364] * 3)}),
)
"""Values of each factor, the published one among them."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One point.

    Attributes:
        learner: Its name.
        factor: What differs from the published configuration of one run: ``R``, runs in the pack; ``B``, meta-batch
            size; ``T``, passes; ``widths``, of the LSTM's cells or of the base-learner.
        value: Of the factor.
        tasks_per_second: Training tasks of all runs.
        over_published: Times those of one run at the published configuration.
        ms_per_update: Milliseconds a meta-update.
        peak_mib: Memory that training adds, in MiB.
    """

    learner: str
    factor: str
    value: str
    tasks_per_second: float
    over_published: float
    ms_per_update: float
    peak_mib: float | None


def at(setting: Setting, factor: str, value: Any) -> tuple[Setting, int]:
    """The setting with another value of a factor, and the size of the pack."""
    if factor == "R":
        return setting, value
    if factor == "B":
        return replace(setting, meta_batch_size=value), 1
    key = "passes" if factor == "T" else "widths" if "widths" in setting.hyperparameters else "base_widths"
    return replace(setting, hyperparameters={**setting.hyperparameters, key: value}), 1


def grow(setting: Setting, *, factor: str, values: Sequence[Any], bench: Bench) -> list[Row]:
    """A row a value of one factor."""
    setting.pack(1, bench.place).step()  # what PyTorch loads late is no point's memory
    points = {str(value): at(setting, factor, value) for value in values}
    published = next(name for name, point in points.items() if point == (setting, 1))
    contenders: dict[str, Steps] = {}
    peaks = {}
    for name, (varied, size) in points.items():
        bench.progress(f"{setting.learner}: {factor} = {name}")
        contenders[name], peaks[name] = bench.warmed_up(partial(varied.pack, size, bench.place))
    taken = replace(bench, seconds=SHARE * bench.seconds).take_turns(contenders)

    def rate(name: str, burst: float) -> float:
        varied, size = points[name]
        return size * varied.meta_batch_size / burst

    return [
        Row(
            learner=setting.learner,
            factor=factor,
            value="-".join(map(str, value)) if isinstance(value, list) else name,
            tasks_per_second=rate(name, statistics.median(taken[name])),
            over_published=statistics.median(
                rate(name, own) / rate(published, base)
                for own, base in zip(taken[name], taken[published], strict=False)
            ),
            ms_per_update=1e3 * statistics.median(taken[name]),
            peak_mib=peaks[name],
        )
        for name, value in zip(points, values, strict=True)
    ]


def sections(bench: Bench, packs: Sequence[int] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """A table a learner."""
    return [
        (
            f"Growth of {setting.learner} on 5-shot sine, one factor at a time",
            [
                asdict(row)
                for factor, values in {"R": RUNS, **factors}.items()
                for row in grow(setting, factor=factor, values=values, bench=bench)
            ],
        )
        for setting, factors in POINTS
    ]
