"""The metric dictionary: every name that a tracked run may carry, its unit, its direction and its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Better = Literal["lower", "higher"] | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One entry of the dictionary.

    Attributes:
        name: As logged to MLflow.
        unit: What one is one of; "" for a plain number.
        better: Which values are better; None when neither are.
        meaning: What it is, with its formula.
        source: Where it is defined in the paper, or "oplstm" for one of ours.
    """

    name: str
    unit: str
    better: Better
    meaning: str
    source: str


_QUERY_LOSS: Final = "mean over tasks of the query loss: squared error for regression, cross-entropy for classification"
_RIGHT: Final = "mean over tasks of the share of queries that are right"
_SECTION_5: Final = "paper, Section 5"
_FIGURE_6: Final = "paper, Section 5.4 and Figure 6"
_OURS: Final = "oplstm"


def _loss(name: str, meaning: str, source: str) -> Metric:
    return Metric(name=name, unit="loss", better="lower", meaning=meaning, source=source)


def _accuracy(name: str, meaning: str, source: str) -> Metric:
    return Metric(name=name, unit="fraction", better="higher", meaning=meaning, source=source)


def _interval(name: str, meaning: str, source: str) -> Metric:
    return Metric(name=name, unit="as the value", better="lower", meaning=meaning, source=source)


def _score(name: str, meaning: str) -> Metric:
    return Metric(name=name, unit="as the value", better=None, meaning=meaning, source=_OURS)


def _number(name: str, *, unit: str, meaning: str, better: Better = None, source: str = _OURS) -> Metric:
    return Metric(name=name, unit=unit, better=better, meaning=meaning, source=source)


def _similarity(which: str, whose: str) -> tuple[Metric, Metric]:
    of = f"of OP-LSTM's last-layer update and {whose}, mean over the first 100 meta-validation tasks"
    name = f"similarity/{which}"
    return (
        _number(f"{name}_cosine", unit="", better="higher", meaning=f"cosine similarity {of}", source=_FIGURE_6),
        _number(f"{name}_euclidean", unit="", better="lower", meaning=f"euclidean distance {of}", source=_FIGURE_6),
    )


_ENTRIES: Final = (
    _loss("train/loss", "query loss of the training tasks, mean since the point before", "paper, Algorithm 1"),
    _number(
        "train/tasks_per_second",
        unit="tasks/s",
        better="higher",
        meaning="training tasks by seconds of training, validation left out",
    ),
    _number(
        "train/hours",
        unit="hours",
        better="lower",
        meaning="hours of training up to the last point, validation left out, by the clock of the pack that it shared",
    ),
    _number(
        "train/peak_memory",
        unit="bytes",
        better="lower",
        meaning="the most memory that the process of the run's pack took up to the run's end: resident bytes or, on a "
        "GPU, bytes that it allocated there; shared by the runs of the pack",
    ),
    _number("train/sharing", unit="runs", meaning="the most runs that shared train/peak_memory at once"),
    _number("tasks_seen", unit="tasks", meaning="training tasks so far: meta-updates times the meta-batch size"),
    _loss("val/loss", f"meta-validation: {_QUERY_LOSS}", _SECTION_5),
    _accuracy("val/accuracy", f"meta-validation: {_RIGHT}", _SECTION_5),
    _interval("val/ci95", "half-width of the 95% interval over meta-validation tasks: 1.96 s / sqrt(n)", _SECTION_5),
    _score("val/best", "best meta-validation value so far; its weights are kept (nan is never best)"),
    _loss("test/loss", f"meta-test with the kept weights: {_QUERY_LOSS}", _SECTION_5),
    _accuracy("test/accuracy", f"meta-test with the kept weights: {_RIGHT}", _SECTION_5),
    _interval("test/ci95", "half-width of the 95% interval over meta-test tasks: 1.96 s / sqrt(n)", _SECTION_5),
    *_similarity("gd", "that of T gradient steps with rate 0.01"),
    *_similarity("proto", "that to the prototypes"),
    _number(
        "permutation/variance",
        unit="squared output",
        better="lower",
        meaning="variance of predictions over 8 orders of the support set, mean over the first 100 meta-validation "
        "tasks",
        source="paper, Eq. 9",
    ),
    _number(
        "diverged",
        unit="0 or 1",
        better="lower",
        meaning="1 when the run was frozen: the training loss or a weight became nan or infinite, or the validation "
        "loss 10^4 times the untrained one",
    ),
    _score(
        "promote/score_a",
        "promotion: best weights on the fresh validation tasks (block A) that the winner is picked on",
    ),
    _score("promote/score_b", "promotion: the winner on validation tasks (block B) that nothing was picked on"),
    _interval("promote/ci95_a", "half-width of the 95% interval of promote/score_a over tasks", _OURS),
    _interval("promote/ci95_b", "half-width of the 95% interval of promote/score_b over tasks", _OURS),
    _score("promote/forecast", "promotion: what the final run of the winner is expected to show, from its replicates"),
    _interval("promote/ci95_forecast", "half-width of the 95% interval of promote/forecast", _OURS),
    _loss(
        "final/test_loss",
        "final run or training: test loss, mean over the test tasks of all seeds pooled",
        "paper, Table 1",
    ),
    _accuracy(
        "final/test_accuracy",
        "final run or training: test accuracy, mean over the test tasks of all seeds pooled",
        "paper, Tables 2-4",
    ),
    _interval(
        "final/ci95_tasks",
        "half-width of the 95% interval over test tasks: 1.96 s / sqrt(n); the paper's. The seeds of a training share "
        "their tasks: there a task counts once, with its mean over seeds",
        "paper, Tables 1-4",
    ),
    _interval(
        "final/ci95_seeds",
        "half-width of the 95% interval over seeds: t(n-1) s / sqrt(n) on the seed means; of a training, whose seeds "
        "share their tasks, with what these have in common added (random effects of seeds and tasks, crossed)",
        "paper, Figure 5",
    ),
    _loss(
        "cross/<dataset>/loss",
        f"as test/loss, on the test classes of another dataset: {_QUERY_LOSS}",
        "paper, Section 5.3",
    ),
    _accuracy(
        "cross/<dataset>/accuracy",
        "as test/accuracy, on the test classes of another dataset, with as many queries as in meta-training",
        "paper, Table 4",
    ),
    _interval("cross/<dataset>/ci95", "as test/ci95, for the other dataset", "paper, Table 4"),
    _accuracy(
        "final/cross/<dataset>/accuracy",
        "final run or training: cross/<dataset>/accuracy, mean over the tasks of all seeds pooled",
        "paper, Table 4",
    ),
    _interval("final/cross/<dataset>/ci95_tasks", "as final/ci95_tasks, for the other dataset", "paper, Table 4"),
    _interval("final/cross/<dataset>/ci95_seeds", "as final/ci95_seeds, for the other dataset", _OURS),
    _number("final/seeds", unit="runs", meaning="number of seeds that ended well"),
    _number("final/tasks", unit="tasks", meaning="number of different test tasks"),
)

METRICS: Final[Mapping[str, Metric]] = {entry.name: entry for entry in _ENTRIES}


def markdown() -> str:
    """The dictionary as the page docs/metrics.md."""
    rows = [
        f"| `{entry.name}` | {entry.unit} | {entry.better or ''} | {entry.meaning} | {entry.source} |"
        for entry in _ENTRIES
    ]
    return "\n".join(
        [
            "# Metrics",
            "",
            "Every metric that a run in MLflow may carry. The step of a point is the number of meta-updates.",
            "A value that is not finite is stored as nan. This page is made from `tracking/results/metrics.py`.",
            "",
            "`test/...` is logged at the end of each trial and read by nothing that prunes, picks or forecasts: those",
            "read `val/...`, and promotion fresh validation tasks (`promote/...`). `final/...` is what is left to look",
            "at then.",
            "",
            "| name | unit | better | meaning | source |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
