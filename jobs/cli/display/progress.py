"""The progress bar of long work."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from jobs.cli.display.tables import cell
from jobs.store.states import ENDED, OUT
from jobs.sweep.messages import OnProgress, Progress
from oplstm.errors import RequestError

stderr = Console(stderr=True)


@contextmanager
def progress_bar(title: str) -> Iterator[OnProgress]:
    """A bar with best-so-far and time left; yields what shows progress in it."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Bar(*columns, console=stderr) as bar:
        task = bar.add_task(cell(title), total=None, note="starting")

        said = 0

        def show(progress: Progress) -> None:
            nonlocal said
            for line in progress.lines[said:]:
                bar.console.print(cell(line))
            said = len(progress.lines)
            total = progress.asked if progress.exhausted else progress.limit
            bar.update(
                task,
                total=None if total is None else total + progress.replicates,
                completed=progress.fraction + progress.replicated,
                note=note_of(progress, total),
            )

        try:
            yield show
        except RequestError:  # nothing was started, so nothing stays behind: no bar, and no line for one
            bar.live.transient = True
            bar.live.stop()
            bar.disable = True
            raise


def note_of(progress: Progress, total: int | None) -> str:
    """Runs that have ended, the best so far, and what goes wrong."""
    counts = progress.counts
    parts = [f"{sum(counts.get(state, 0) for state in ENDED)}/{total or '?'} runs"]
    if progress.replicates:
        parts.append(f"{int(progress.replicated)}/{progress.replicates} replicates")
    if progress.best is not None:
        parts.append(f"best {progress.best:.4f}")
    parts += [f"{counts[state]} {state}" for state in OUT if counts.get(state)]
    if progress.tracking_error:
        parts.append(f"MLflow waits ({progress.waiting_records} records)")
    return ", ".join(parts)
