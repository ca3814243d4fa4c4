"""What the paper reports: the cells that our own results are put beside."""

from dataclasses import dataclass
from typing import Final

_SOURCE: Final = (
    "Table 1; digits from the outputs saved in the authors' notebooks "
    "(github.com/mikehuisman/lstm-fewshotlearning-oplstm)"
)


@dataclass(frozen=True, slots=True)
class PaperCell:
    """One cell of a results table.

    Attributes:
        method: As the paper names it.
        learner: The same, as this project names it.
        mode: How the learner reads the support set; "" where there is no choice.
        shots: Examples in the support set.
        value: Mean test MSE over 3 runs of 2,000 tasks.
        ci95: Half-width of the 95% interval over all tasks pooled.
        params: Number of trained parameters.
        config: The configuration behind it.
        source: Where the digits are from.
    """

    method: str
    learner: str
    mode: str
    shots: int
    value: float
    ci95: float
    params: int
    config: str
    source: str = _SOURCE


def _row(
    method: str, learner: str, mode: str, *, params: int, config: str, cells: dict[int, tuple[float, float]]
) -> tuple[PaperCell, ...]:
    return tuple(
        PaperCell(method, learner, mode, shots, value, ci95, params, config) for shots, (value, ci95) in cells.items()
    )


SINE_TABLE_1: Final[tuple[PaperCell, ...]] = (
    *_row(
        "LSTM",
        "lstm",
        "batched",
        params=20_201,
        config="2 layers of 40, T = 4, meta-batch 4, learning rate .004674",
        cells={5: (0.0406, 0.0023), 10: (0.0141, 0.0007), 20: (0.0065, 0.0002)},
    ),
    *_row(
        "MAML",
        "maml",
        "",
        params=17_018,
        config="91-91-91, second order, T = 14, meta-batch 2, learning rate .003294, inner learning rate .003769",
        cells={5: (0.1765, 0.0094), 10: (0.0329, 0.0030), 20: (0.0049, 0.0005)},
    ),
    *_row(
        "OP-LSTM",
        "op_lstm",
        "",
        params=18_107,
        config="91-91-91, cells 5-5-1, T = 9, meta-batch 1, learning rate .001045, gamma starts at .025",
        cells={5: (0.1054, 0.0090), 10: (0.0076, 0.0007), 20: (0.0027, 0.0002)},
    ),
)
