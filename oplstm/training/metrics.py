"""The numbers that a pack reports of its runs, named as in docs/metrics.md."""

from collections.abc import Mapping, Sequence

from oplstm.episodes.measure import Measure
from oplstm.training.evaluation import ci95
from oplstm.training.model import TaskValues
from oplstm.training.pack import Pack, Scores


def validation_metrics(pack: Pack, rows: Sequence[int], scores: Scores) -> list[dict[str, float]]:
    """What the weights of each of ``rows``, with these validation scores, are worth; analyses among it."""
    interval, analyses = ci95(scores[pack.measure.name]), pack.analyses(rows)
    found = []
    for place, row in enumerate(rows):
        metrics = {f"val/{score}": values[place].mean().item() for score, values in scores.items()}
        metrics |= {metric: values[place].mean().item() for metric, values in analyses.items()}
        metrics |= {
            "val/ci95": interval[place].item(),
            "val/best": pack.state.best_value[row].item(),
            "tasks_seen": float(pack.updates[row] * pack.runs[row].meta_batch_size),
        }
        found.append(metrics)
    return found


def metrics_of_test(measure: Measure, tested: Mapping[str, TaskValues]) -> dict[str, float]:
    """``test/loss``, ``test/ci95`` of the measure, and the same below ``cross/<dataset>/``, of a run."""
    metrics = {}
    for score, values in tested.items():
        domain, _, name = score.rpartition("/")
        metrics[f"{domain or 'test'}/{name}"] = values.mean().item()
        if name == measure.name:
            metrics[f"{domain or 'test'}/ci95"] = ci95(values).item()
    return metrics
