"""The metric dictionary: every name that a tracked run may carry, its unit, its direction and its source."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal


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
    better: Literal["lower", "higher"] | None
    meaning: str
    source: str


_LOSS: Final = "mean over tasks of the query loss: squared error for regression, cross-entropy for classification"
_SECTION_5: Final = "paper, Section 5"

_COMPARISONS: Final[tuple[tuple[str, str, Literal["lower", "higher"]], ...]] = (
    ("cosine", "", "higher"),
    ("euclidean", "", "lower"),
)

_ENTRIES: Final = (
    Metric(
        "train/loss",
        "loss",
        "lower",
        "query loss of the training tasks, mean since the point before",
        "paper, Algorithm 1",
    ),
    Metric(
        "train/tasks_per_second",
        "tasks/s",
        "higher",
        "training tasks by seconds of training, validation left out",
        "oplstm",
    ),
    Metric("tasks_seen", "tasks", None, "training tasks so far: meta-updates times the meta-batch size", "oplstm"),
    Metric("val/loss", "loss", "lower", f"meta-validation: {_LOSS}", _SECTION_5),
    Metric(
        "val/accuracy",
        "fraction",
        "higher",
        "meta-validation: mean over tasks of the share of queries that are right",
        _SECTION_5,
    ),
    Metric(
        "val/ci95",
        "as the value",
        "lower",
        "half-width of the 95% interval over meta-validation tasks: 1.96 s / sqrt(n)",
        _SECTION_5,
    ),
    Metric(
        "val/best",
        "as the value",
        None,
        "best meta-validation value so far; its weights are kept (nan is never best)",
        "oplstm",
    ),
    Metric("test/loss", "loss", "lower", f"meta-test with the kept weights: {_LOSS}", _SECTION_5),
    Metric(
        "test/accuracy",
        "fraction",
        "higher",
        "meta-test with the kept weights: mean over tasks of the share of queries that are right",
        _SECTION_5,
    ),
    Metric(
        "test/ci95",
        "as the value",
        "lower",
        "half-width of the 95% interval over meta-test tasks: 1.96 s / sqrt(n)",
        _SECTION_5,
    ),
    *(
        Metric(
            f"similarity/{which}_{how}",
            unit,
            better,
            f"{how} {'similarity' if how == 'cosine' else 'distance'} of OP-LSTM's last-layer update and {whose}, mean "
            "over the first 100 meta-validation tasks",
            "paper, Section 5.4 and Figure 6",
        )
        for which, whose in (("gd", "that of T gradient steps with rate 0.01"), ("proto", "that to the prototypes"))
        for how, unit, better in _COMPARISONS
    ),
    Metric(
        "permutation/variance",
        "squared output",
        "lower",
        "variance of predictions over 8 orders of the support set, mean over the first 100 meta-validation tasks",
        "paper, Eq. 9",
    ),
    Metric(
        "diverged",
        "0 or 1",
        "lower",
        "1 when the loss or a weight became nan or infinite and the run was frozen",
        "oplstm",
    ),
    Metric(
        "promote/score_a",
        "as the value",
        None,
        "promotion: best weights on the fresh validation tasks (block A) that the winner is picked on",
        "oplstm",
    ),
    Metric(
        "promote/score_b",
        "as the value",
        None,
        "promotion: the winner on validation tasks (block B) that nothing was picked on",
        "oplstm",
    ),
    Metric(
        "promote/ci95_a",
        "as the value",
        "lower",
        "half-width of the 95% interval of promote/score_a over tasks",
        "oplstm",
    ),
    Metric(
        "promote/ci95_b",
        "as the value",
        "lower",
        "half-width of the 95% interval of promote/score_b over tasks",
        "oplstm",
    ),
    Metric(
        "final/test_loss",
        "loss",
        "lower",
        "final run: test loss, mean over the test tasks of all seeds pooled",
        "paper, Table 1",
    ),
    Metric(
        "final/test_accuracy",
        "fraction",
        "higher",
        "final run: test accuracy, mean over the test tasks of all seeds pooled",
        "paper, Tables 2-4",
    ),
    Metric(
        "final/ci95_tasks",
        "as the value",
        "lower",
        "half-width of the 95% interval over all test tasks pooled: 1.96 s / sqrt(n); the paper's",
        "paper, Tables 1-4",
    ),
    Metric(
        "final/ci95_seeds",
        "as the value",
        "lower",
        "half-width of the 95% interval over seeds: t(n-1) s / sqrt(n) on the seed means",
        "paper, Figure 5",
    ),
    Metric(
        "cross/<dataset>/loss",
        "loss",
        "lower",
        f"as test/loss, on the test classes of another dataset: {_LOSS}",
        "paper, Section 5.3",
    ),
    Metric(
        "cross/<dataset>/accuracy",
        "fraction",
        "higher",
        "as test/accuracy, on the test classes of another dataset, with as many queries as in meta-training",
        "paper, Table 4",
    ),
    Metric("cross/<dataset>/ci95", "as the value", "lower", "as test/ci95, for the other dataset", "paper, Table 4"),
    Metric(
        "final/cross/<dataset>/accuracy",
        "fraction",
        "higher",
        "final run: cross/<dataset>/accuracy, mean over the tasks of all seeds pooled",
        "paper, Table 4",
    ),
    Metric(
        "final/cross/<dataset>/ci95_tasks",
        "as the value",
        "lower",
        "as final/ci95_tasks, for the other dataset",
        "paper, Table 4",
    ),
    Metric(
        "final/cross/<dataset>/ci95_seeds",
        "as the value",
        "lower",
        "as final/ci95_seeds, for the other dataset",
        "oplstm",
    ),
    Metric("final/seeds", "runs", None, "number of seeds that ended well", "oplstm"),
    Metric("final/tasks", "tasks", None, "number of test tasks pooled", "oplstm"),
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
            "| name | unit | better | meaning | source |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )
