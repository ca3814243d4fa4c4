"""Progress of long work: a bar on a terminal, and off one a plain line now and then."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from jobs.cli.display.tables import cell
from jobs.cli.output import printable
from jobs.store.states import ENDED, OUT
from jobs.sweep.messages import OnProgress, Progress
from oplstm.errors import RequestError

stderr = Console(stderr=True)

LINE_SECONDS: Final = 30.0
LINE_STEPS: Final = 10
"""Off a terminal a line comes after so many seconds, and at every such part of the whole."""

Clock = Callable[[], float]
"""Seconds, from any beginning."""


def progress_bar(title: str) -> AbstractContextManager[OnProgress]:
    """What shows progress while it is entered: runs that have ended, the best so far, time left."""
    return _bar(title) if stderr.is_terminal else plain_lines(title, time.monotonic)


class _TimeLeft(TimeRemainingColumn):
    """The time left and the word, or nothing where it is not known."""

    def render(self, task: Task) -> Text:
        """See rich."""
        left = super().render(task)
        return left.append(" left") if task.time_remaining is not None and left.plain else Text("")


@contextmanager
def _bar(title: str) -> Iterator[OnProgress]:
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        _TimeLeft(compact=True),
    )
    with Bar(*columns, console=stderr) as bar:
        task = bar.add_task(cell(title), total=None, note="starting")

        said = 0

        def show(progress: Progress) -> None:
            nonlocal said
            for line in progress.lines[said:]:
                bar.console.print(cell(line))
            said = len(progress.lines)
            bar.update(
                task,
                total=whole_of(progress),
                completed=progress.fraction + progress.replicated,
                note=note_of(progress),
            )

        try:
            yield show
        except RequestError:  # nothing was started, so nothing stays behind: no bar, and no line for one
            bar.live.transient = True
            bar.live.stop()
            bar.disable = True
            raise


@contextmanager
def plain_lines(title: str, clock: Clock) -> Iterator[OnProgress]:
    """Lines on stderr, as a log wants them: at first, then every 30 s and at every tenth of the whole.

    Args:
        title: What works.
        clock: Tells the time.
    """
    pace, left = Pace(clock), TimeLeft(clock)
    said = 0

    def show(progress: Progress) -> None:
        nonlocal said
        for line in progress.lines[said:]:
            _print(f"{title}: {line}")
        said = len(progress.lines)
        whole, done = whole_of(progress), progress.fraction + progress.replicated
        part = done / whole if whole else 0.0
        parts = ([f"{part:.0%}"] if whole else []) + [note_of(progress)]
        if (seconds := left.after(part)) is not None and part < 1:
            parts.append(f"{duration(seconds)} left")
        if pace.is_due(math.floor(part * LINE_STEPS + 1e-9)):
            _print(f"{title}: {', '.join(parts)}")

    yield show


def _print(line: str) -> None:
    """One line, as it is."""
    stderr.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class Pace:
    """Says when the next line is due: at first, after 30 s, or where the step is another.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told = -math.inf
        self._step: object = None

    def is_due(self, step: object = None) -> bool:
        """Whether a line is due; then the next one is so 30 s later, or at another step."""
        now = self._clock()
        if step == self._step and now - self._told < LINE_SECONDS:
            return False
        self._told, self._step = now, step
        return True


class TimeLeft:
    """Of work, as if it went on at the pace that it had since it was looked at first.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: tuple[float, float] | None = None

    def after(self, part: float) -> float | None:
        """Seconds left where this part of the whole is done; None while nothing is known."""
        now = self._clock()
        if self._first is None:
            self._first = now, part
        began, before = self._first
        return (now - began) * (1 - part) / (part - before) if part > before and now > began else None


def duration(seconds: float) -> str:
    """Such as ``40 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def whole_of(progress: Progress) -> int | None:
    """All the work, in trials; None while that is not known."""
    total = _trials_of(progress)
    return None if total is None else total + progress.replicates


def _trials_of(progress: Progress) -> int | None:
    return progress.asked if progress.exhausted else progress.limit


def note_of(progress: Progress) -> str:
    """Runs that have ended, the best so far, and what goes wrong."""
    counts = progress.counts
    parts = [f"{sum(counts.get(state, 0) for state in ENDED)}/{_trials_of(progress) or '?'} runs"]
    if progress.replicates:
        parts.append(f"{int(progress.replicated)}/{progress.replicates} replicates")
    if progress.best is not None:
        parts.append(f"best {progress.best:.4f}")
    parts += [f"{counts[state]} {state}" for state in OUT if counts.get(state)]
    if progress.tracking_error:
        parts.append(f"MLflow waits ({progress.waiting_records} records)")
    return ", ".join(parts)
