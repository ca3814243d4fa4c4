"""How much of the distance to other papers' accuracies on Omniglot lies in splits, and in turned and inverted images.

    python -m docs.studies.five_points docs/results/five-points.json NAME ...

notes down what finished trainings in ``$OPLSTM_HOME`` were tested at, beside what was noted before; ``docs/site`` draws
it.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.scores import final_result
from jobs.store.state import SweepState
from oplstm.errors import RequestError

PAIRED: Final = re.compile(r"alphabets-(\d+)-(seen|unseen)")


@dataclass(frozen=True)
class Trained:
    """A training.

    Attributes:
        name: Of it.
        accuracies: Of each of its seeds, on the test tasks.
        learner: The method.
        benchmark: Of its job.
        updates: Of its budget.
        commit: Of the code.
    """

    name: str
    accuracies: list[float]
    learner: str
    benchmark: dict[str, object]
    updates: int | None
    commit: str


def tested(home: Home, name: str) -> Trained:
    """What a finished training was tested at.

    Raises:
        RequestError: There is none, or it has no result yet.
    """
    folder = home.sweep(name)
    header = Header.read(folder)
    state = SweepState.of(folder, header)
    result = final_result(folder, state)
    if result is None:
        raise RequestError(f"{name} has no result yet")
    run = next(iter(state.trials.values())).config.to_dict()
    return Trained(
        name, list(result.test.seed_means), run["learner"], run["benchmark"], run["budget"]["updates"],
        header.provenance["mlflow.source.git.commit"],
    )  # fmt: skip


def read(path: Path) -> list[Trained]:
    """What was noted down."""
    return [Trained(**one) for one in json.loads(path.read_text())]


def note(path: Path, trainings: Sequence[Trained]) -> None:
    """Write them down in place of those of the same names; all are in the order of their names."""
    noted = {one.name: one for one in (*(read(path) if path.exists() else ()), *trainings)}
    path.write_text(json.dumps([asdict(noted[name]) for name in sorted(noted)], indent=1) + "\n")


def pairs(trainings: Sequence[Trained]) -> list[tuple[Trained, Trained]]:
    """Those of the same test characters: without their alphabets in meta-training, and with them."""
    found: dict[str, dict[str, Trained]] = {}
    for one in trainings:
        if match := PAIRED.fullmatch(one.name):
            found.setdefault(match[1], {})[match[2]] = one
    return [(both["unseen"], both["seen"]) for _, both in sorted(found.items()) if len(both) == 2]


def main() -> None:
    """Note down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    given = parser.parse_args()
    home = Home()
    note(given.out, [tested(home, name) for name in given.names])


if __name__ == "__main__":
    main()
