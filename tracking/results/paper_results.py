"""What the paper reports: the cells that our own results are put beside."""

from dataclasses import dataclass
from typing import Final, Literal

_SOURCE: Final = (
    "digits from the outputs saved in the authors' notebooks (github.com/mikehuisman/lstm-fewshotlearning-oplstm)"
)


@dataclass(frozen=True, slots=True)
class PaperCell:
    """One cell of a results table.

    Attributes:
        method: As the paper names it.
        learner: The same, as this project names it.
        mode: How the learner reads the support set; "" where there is no choice.
        shots: Examples in the support set.
        value: Mean test MSE over 3 runs of 2,000 tasks, or mean test accuracy over 3 runs of 600.
        ci95: Half-width of the 95% interval over all tasks pooled.
        params: Number of trained parameters.
        config: The configuration behind it.
        source: Where the digits are from.
        budget: How long each run trained, in ``budget_unit``: what the authors ran, which for MAML, Warp-MAML and SAP
            on Conv-4 is less than the 80,000 updates of the paper's text.
        budget_unit: ``tasks`` or ``updates``.
        test_tasks: Test tasks of each run.
        train_shots: Examples a class in meta-training, where it differs.
        seeds: How many runs.
        benchmark: What was trained on.
        across: The dataset that it was tested on instead, across domains.
    """

    method: str
    learner: str
    mode: str
    shots: int
    value: float
    ci95: float
    params: int
    config: str
    source: str
    budget: int
    budget_unit: Literal["tasks", "updates"]
    test_tasks: int
    train_shots: int | None = None
    seeds: int = 3
    benchmark: str = "sine"
    across: str | None = None

    @property
    def task(self) -> str:
        """Such as "5-shot", "cub 1-shot" or "cub -> miniimagenet 1-shot"."""
        where = [] if self.benchmark in ("sine", "omniglot") else [self.benchmark]
        where += [] if self.across is None else ["->", self.across]
        return " ".join([*where, f"{self.shots}-shot"])


def _updates(table: int, learner: str, shots: int) -> int:
    """Meta-updates on images."""
    conv4 = {"maml": 60_000, "warp_maml": 60_000, "sap": {1: 15_000, 5: 10_000}.get(shots, 0)}
    return 80_000 if table == 2 else conv4.get(learner, 80_000)


_Cells = dict[tuple[str, str | None, int], tuple[float, float]]
"""Mean and half-width by what was trained on, what was tested on instead, and shots."""


def _row(table: int, method: str, learner: str, *, params: int, config: str, cells: _Cells) -> tuple[PaperCell, ...]:
    """One method's cells of a table."""
    return tuple(
        PaperCell(
            method=method,
            learner=learner,
            mode="batched" if learner == "lstm" else "",
            shots=shots,
            value=value,
            ci95=ci95,
            params=params,
            config=config,
            source=f"Table {table}; {_SOURCE}",
            budget=70_000 if table == 1 else _updates(table, learner, shots),
            budget_unit="tasks" if table == 1 else "updates",
            test_tasks=2000 if table == 1 else 600,
            train_shots=5 if learner == "warp_maml" else None,
            benchmark=benchmark,
            across=across,
        )
        for (benchmark, across, shots), (value, ci95) in cells.items()
    )


def _cells(benchmark: str, shots: dict[int, tuple[float, float]], across: str | None = None) -> _Cells:
    return {(benchmark, across, count): cell for count, cell in shots.items()}


def _percent(cells: _Cells) -> _Cells:
    return {where: (value / 100, ci95 / 100) for where, (value, ci95) in cells.items()}


def _omniglot(shots: dict[int, tuple[float, float]]) -> _Cells:
    return _percent(_cells("omniglot", shots))


SINE_TABLE_1: Final[tuple[PaperCell, ...]] = (
    *_row(
        1, "LSTM", "lstm", params=20_201, config="2 layers of 40, T = 4, meta-batch 4, learning rate .004674",
        cells=_cells("sine", {5: (0.0406, 0.0023), 10: (0.0141, 0.0007), 20: (0.0065, 0.0002)}),
    ),
    *_row(
        1, "MAML", "maml", params=17_018,
        config="91-91-91, second order, T = 14, meta-batch 2, learning rate .003294, inner learning rate .003769",
        cells=_cells("sine", {5: (0.1765, 0.0094), 10: (0.0329, 0.0030), 20: (0.0049, 0.0005)}),
    ),
    *_row(
        1, "OP-LSTM", "op_lstm", params=18_107,
        config="91-91-91, cells 5-5-1, T = 9, meta-batch 1, learning rate .001045, gamma starts at .025",
        cells=_cells("sine", {5: (0.1054, 0.0090), 10: (0.0076, 0.0007), 20: (0.0027, 0.0002)}),
    ),
)  # fmt: skip

OMNIGLOT_TABLE_2: Final[tuple[PaperCell, ...]] = (
    *_row(
        2, "MAML", "maml", params=247_621,
        config="second order, meta-batch 32, T = 1, inner learning rate .4, rate 3.125e-5",
        cells=_omniglot({1: (84.1, 0.92), 5: (93.5, 0.32)}),
    ),
    *_row(
        2, "ProtoNet", "protonet", params=247_296, config="meta-batch 4, learning rate 2.5e-4",
        cells=_omniglot({1: (83.6, 0.88), 5: (93.4, 0.29)}),
    ),
    *_row(
        2, "LSTM", "lstm", params=13_530_097,
        config="1024-600-400-200-92, T = 3, meta-batch 12, learning rate 8.33e-5",
        cells=_omniglot({1: (72.6, 0.94), 5: (84.8, 0.46)}),
    ),
    *_row(
        2, "OP-LSTM", "op_lstm", params=248_525,
        config="cells 5-5-1, T = 1, meta-batch 4, learning rate 2.5e-4, no gamma",
        cells=_omniglot({1: (84.3, 0.87), 5: (91.8, 0.32)}),
    ),
)  # fmt: skip


def _within(*, mini: dict[int, tuple[float, float]], cub: dict[int, tuple[float, float]]) -> _Cells:
    return _percent(_cells("miniimagenet", mini) | _cells("cub", cub))


def _across(*, to_cub: dict[int, tuple[float, float]], to_mini: dict[int, tuple[float, float]]) -> _Cells:
    return _percent(_cells("miniimagenet", to_cub, "cub") | _cells("cub", to_mini, "miniimagenet"))


_CONV4_ROWS: Final = (
    ("MAML", "maml", 121_093, "T = 5, 10 at test, inner learning rate .01, clip 10",
     _within(mini={1: (48.6, 1.04), 5: (63.0, 0.54)}, cub={1: (57.5, 1.04), 5: (74.8, 0.51)}),
     _across(to_cub={1: (37.9, 0.40), 5: (53.6, 0.40)}, to_mini={1: (31.1, 0.36), 5: (45.8, 0.39)})),
    ("Warp-MAML", "warp_maml", 231_877, "T = 5, inner learning rate .1, meta-batch 1",
     _within(mini={1: (50.4, 1.04), 5: (65.6, 0.53)}, cub={1: (59.6, 1.00), 5: (74.2, 0.51)}),
     _across(to_cub={1: (42.0, 0.43), 5: (56.9, 0.42)}, to_mini={1: (31.1, 0.35), 5: (41.3, 0.36)})),
    ("SAP", "sap", 412_852, "T = 1, 10 at test, inner learning rate .036, meta-batch 4",
     _within(mini={1: (53.0, 1.08), 5: (67.6, 0.51)}, cub={1: (63.5, 0.99), 5: (73.9, 0.51)}),
     _across(to_cub={1: (41.5, 0.44), 5: (58.0, 0.41)}, to_mini={1: (33.3, 0.39), 5: (47.1, 0.39)})),
    ("ProtoNet", "protonet", 113_088, "meta-batch 4, learning rate 2.5e-4",
     _within(mini={1: (50.1, 1.04), 5: (65.4, 0.53)}, cub={1: (50.9, 1.01), 5: (63.7, 0.55)}),
     _across(to_cub={1: (39.7, 0.41), 5: (56.0, 0.41)}, to_mini={1: (31.8, 0.34), 5: (45.3, 0.38)})),
    ("LSTM", "lstm", 55_879_349, "2 x 1904 on Conv-4, T = 3, meta-batch 32, learning rate 6.9e-5",
     _within(mini={1: (20.3, 0.76), 5: (19.9, 0.33)}, cub={}),
     _across(to_cub={1: (20.1, 0.28), 5: (20.0, 0.25)}, to_mini={})),
    ("OP-LSTM", "op_lstm", 133_182, "cells 40-20-1, T = 3, meta-batch 4, learning rate 2.5e-4, gamma starts at .025",
     _within(mini={1: (51.9, 1.04), 5: (67.9, 0.53)}, cub={1: (60.2, 1.04), 5: (73.1, 0.52)}),
     _across(to_cub={1: (42.3, 0.42), 5: (58.5, 0.41)}, to_mini={1: (35.8, 0.40), 5: (49.0, 0.40)})),
)  # fmt: skip

WITHIN_TABLE_3: Final[tuple[PaperCell, ...]] = tuple(
    cell
    for method, learner, params, config, within, _ in _CONV4_ROWS
    for cell in _row(3, method, learner, params=params, config=config, cells=within)
)
ACROSS_TABLE_4: Final[tuple[PaperCell, ...]] = tuple(
    cell
    for method, learner, params, config, _, across in _CONV4_ROWS
    for cell in _row(4, method, learner, params=params, config=config, cells=across)
)
