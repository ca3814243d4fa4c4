"""What steps of adaptation are worth on Omniglot, as a table."""

from pathlib import Path

from docs.site.markdown import table
from docs.studies.adaptation import read
from jobs.store.intervals import Interval

RESULTS = Path(__file__).resolve().parent.parent / "results" / "adaptation.json"


def adaptation() -> str:
    """Test accuracies by T of the test, a row for each T of meta-training, with 95 % intervals over seeds."""
    trainings = read(RESULTS)
    counts = sorted({count for one in trainings for count in one.accuracies}, key=int)
    rows = []
    for one in trainings:
        over = {t: Interval.of([100 * each for each in values], over="seeds") for t, values in one.accuracies.items()}
        cells = [f"{over[t].mean:.1f} ± {over[t].half_width:.1f}" if t in over else "" for t in counts]
        rows.append([f"{one.passes}", f"{one.updates:,}", *cells])
    return table(["steps in meta-training", "updates", *(f"{count} in the test" for count in counts)], rows)
