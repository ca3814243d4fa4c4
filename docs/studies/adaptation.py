"""What steps of adaptation are worth: trained models, tested with other numbers of steps than they were trained with.

    python -m docs.studies.adaptation docs/results/adaptation.json NAME ... --passes 1 3 5 10

tests every seed of finished trainings in ``$OPLSTM_HOME`` as ``oplstm evaluate --passes`` does; ``docs/site`` shows it.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jobs.operations.evaluate import Tasks, evaluate
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.state import SweepState


@dataclass(frozen=True)
class Adapted:
    """A training, and what its models score.

    Attributes:
        name: Of the training.
        passes: T in meta-training.
        accuracies: By T in the test, of each seed, on the same tasks.
        tasks: How many.
        updates: Of its budget.
        commit: Of the code that trained.
    """

    name: str
    passes: int
    accuracies: dict[str, list[float]]
    tasks: int
    updates: int | None
    commit: str


def adapted(home: Home, name: str, passes: Sequence[int], tasks: int) -> Adapted:
    """Test every seed of a training with each of these T.

    Raises:
        RequestError: There is no such training, it is not done, or its learner has no T.
    """
    folder = home.sweep(name)
    header = Header.read(folder)
    runs = {trial: one.config for trial, one in sorted(SweepState.of(folder, header).by_name.items())}
    found = {
        str(count): [
            evaluate(home, f"{name}/{one}", Tasks(count=tasks), passes=count, uri=None).score.mean for one in runs
        ]
        for count in passes
    }
    first = next(iter(runs.values()))
    commit = header.provenance.get("mlflow.source.git.commit", "unknown")
    return Adapted(name, first.passes(training=True), found, tasks, first.budget.updates, commit)


def read(path: Path) -> list[Adapted]:
    """What was written."""
    return [Adapted(**one) for one in json.loads(path.read_text())]


def main() -> None:
    """Test, and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--passes", nargs="+", type=int, default=[1, 3, 5, 10])
    parser.add_argument("--tasks", type=int, default=2000)
    given = parser.parse_args()
    home = Home()
    found = [asdict(adapted(home, name, given.passes, given.tasks)) for name in given.names]
    given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
