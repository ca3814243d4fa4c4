"""What promote picked, and what its ranking hides."""

import math
import time
from typing import TYPE_CHECKING

from rich.table import Table

from jobs.cli.display.progress import Pace, stderr
from jobs.cli.display.results import interval
from jobs.cli.display.tables import cell, stdout
from jobs.cli.output import say
from oplstm.episodes.measure import Measure

if TYPE_CHECKING:  # they import torch
    from jobs.promotion.selection import Choice

MOST_NAMES = 12


class Working:
    """A line on stderr that says what is being done, for as long as it is entered; off a terminal one every 30 s."""

    def __init__(self) -> None:
        self._line = stderr.status("")
        self._pace = None if stderr.is_terminal else Pace(time.monotonic)

    def tell(self, text: str) -> None:
        """What is being done now."""
        self._line.update(cell(text))
        if self._pace is not None and self._pace.is_due():
            say(text, err=True)

    def __enter__(self) -> None:
        self._line.start()

    def __exit__(self, *error: object) -> None:
        self._line.stop()


def show_choice(choice: "Choice", measure: Measure) -> None:
    """The leaders of a sweep, the one that was picked, and how sure that is."""
    table = Table(title="The leaders, by meta-validation")
    over_seeds = () if choice.spread is None else ("over seeds",)
    for heading in ("trial", "runs", "meta-validation", "behind the picked", "block A (picks)", *over_seeds, ""):
        table.add_column(heading)
    for leader in choice.leaders:
        standing = leader.standing
        tied = standing.weights_tied if standing.tied is None else standing.tied
        mark = "picked" if leader.name == choice.picked else "tied" if tied else ""
        values = [standing.score, standing.behind, leader.score_a]
        values += [] if leader.over_seeds is None else [leader.over_seeds]
        table.add_row(cell(leader.name), str(standing.seeds), *map(interval, values), mark)
    table.caption = f"{cell(choice.picked)} on block B, which picked nothing: {interval(choice.score_b)}"
    stdout.print(table)
    say(*choice_lines(choice, measure))


def choice_lines(choice: "Choice", measure: Measure) -> list[str]:
    """How sure the choice is."""
    count = len(choice.standings)
    lines = [] if choice.instead_of is None else [f"{choice.picked} {_by_hand(choice)}"]
    lines += [f"{len(choice.weights_tied)} of {count} trained weights are tied with the best (95%, over tasks)"]
    if choice.spread is None or choice.tied is None:
        lines.append(
            "how much seeds matter is unknown, so that of configurations nothing can be said; --replicates 5x2 tells"
        )
        return lines
    from jobs.promotion import one_seed  # imports NumPy

    sd, names = math.sqrt(float(choice.spread.variance)), choice.tied
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    source = "replicates of this sweep" if choice.spread.source == "replicates" else choice.spread.source
    lines += [
        f"standard deviation over seeds: {sd:.4f} ({source}, {float(choice.spread.degrees):.0f} degrees of freedom)",
        f"{len(names)} of {count} configurations may be as good as the picked one (95%, over tasks and seeds): {shown}",
    ]
    alone = one_seed.among(choice.leaders, measure)
    if alone is not None:
        best = f"the {alone.configurations} leaders differ by no more than chance"
        if alone.best_wins is not None:
            best = f"the best of {alone.configurations} leaders wins {100 * alone.best_wins:.0f} % of sweeps"
        lines.append(
            f"with one seed each, {best}; a winner is worse by {alone.worse:.4f} than the best, and by "
            f"{alone.flattered:.4f} than it seems"
        )
    if choice.forecast is not None:
        classes = ", on meta-validation classes" if measure.higher_is_better else ""
        said = f"forecast of a final run's {measure.name}, with the sweep's budget{classes}"
        lines.append(f"{said}: {interval(choice.forecast)}")
    return lines


def _by_hand(choice: "Choice") -> str:
    best = "it is the best" if choice.instead_of == choice.picked else f"{choice.instead_of} is the best"
    return f"was chosen by hand, and not by its score; on block A {best}"
