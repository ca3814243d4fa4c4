"""How large a sweep its pages bear: MLflow's view of it, a trial's curve, the report, ``status`` and ``ui``.

A sweep of many trials with many points each is played by its coordinator, with real journal, study, outbox, model files
and server; the pages are opened by a headless Chromium with a fresh profile. Nothing of it is trained.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from jobs.jobfile.reading import load_job
from jobs.store.home import SweepFolder
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import NamedRun
from oplstm.training.checkpoint import save_model
from oplstm.training.pack import Pack
from oplstm.training.reports import Point, RunEnd
from tests.benchmark.measuring import MIB, Bench
from tests.browser import PROGRAM, Browser, Page, browsing
from tests.jobs.formula_training import new_sweep
from tracking.server.embedded import running_server

TRIALS, POINTS = 1_000, 30
NAME: Final = "many"
PACK: Final = 10
SHIP_SECONDS: Final = 3_600.0
_ROWS: Final = (
    f"[...document.querySelectorAll('.ag-row a')].filter(one => one.textContent.startsWith('{NAME}/')).length"
)
_CURVE: Final = "!!document.querySelector('.js-plotly-plot .scatterlayer .trace')"
_CHARTS: Final = "[...document.querySelectorAll('[id^=chart-]')]"
_DRAWN: Final = f"document.readyState === 'complete' && {_CHARTS}.every(one => one.querySelector('.main-svg'))"
_WATCHED: Final = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run([sys.executable, "-m", "jobs.cli", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))
"""
"""A small process that starts a command: the peak memory of a child counts what its parent had."""

Row = dict[str, Any]


def sections(bench: Bench) -> list[tuple[str, list[Row]]]:
    """One table, a row a page or command."""
    if PROGRAM is None:
        bench.progress("there is no chromium here: pages are left out")
        return []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bench.progress(f"a sweep of {TRIALS:,} trials of {POINTS} points")
        play(home, trials=TRIALS, points=POINTS)
        return [(f"Pages of a sweep of {TRIALS:,} trials of {POINTS} points each", pages(home, bench.progress))]


def play(home: Path, *, trials: int, points: int) -> SweepFolder:
    """Make a sweep whose trials complete without having been trained, and ship it to the server of ``home``."""
    job = load_job("sine-lstm", [f"pack={PACK}", "pruner={}"], trials=trials)
    folder = new_sweep(home / "sweeps" / NAME, job)
    with running_server(home) as server:
        coordinator = Coordinator(folder, server.uri)
        dice = torch.Generator().manual_seed(0)
        while (assignment := coordinator.next_pack()) is not None:
            started = coordinator.started(assignment.pack, {"oplstm.device": "cpu: played"})
            for one in () if started is None else started.runs:
                _play(coordinator, folder, one, points=points, dice=dice)
        waiting = coordinator.close(flush_seconds=SHIP_SECONDS)
    assert not waiting, f"{waiting} records were not shipped"
    return folder


def _play(coordinator: Coordinator, folder: SweepFolder, one: NamedRun, *, points: int, dice: torch.Generator) -> None:
    """Points of one run, its files and its end."""
    pack, every = Pack([one.run], [one.name]), one.run.budget.validate_every
    noise = torch.rand(points, generator=dice).tolist()
    values = [(2 + noise[0]) / (1 + place) + 0.1 * more for place, more in enumerate(noise)]
    for place, value in enumerate(values):
        tasks, best = place * every, min(values[: place + 1])
        metrics = {"val/loss": value, "val/ci95": value / 9, "val/best": best, "tasks_seen": float(tasks)}
        metrics |= {"train/loss": value / 1.1, "train/tasks_per_second": 500 + 100 * noise[place]}
        update = tasks // one.run.meta_batch_size
        coordinator.on_points([Point(one.name, update, tasks, metrics)])
    count = one.run.budget.validation_tasks
    pack.state.best_values = best + 0.3 * torch.rand(1, count, generator=dice, dtype=torch.float64)
    pack.state.best_value[:] = best
    test = {"loss": best + torch.rand(one.run.budget.test_tasks, generator=dice, dtype=torch.float64)}
    save_model(folder.trial(one.name), pack, row=0, test=test)
    coordinator.on_ends([RunEnd(one.name, "complete", update, update, {"val/best": best, "test/loss": best})])


def pages(home: Path, progress: Callable[[str], object]) -> list[Row]:
    """A row each: seconds by the clock, processor seconds and memory of a command, and size."""
    report, rows = home / "report.html", []
    for what, words in (("status", ["status", NAME]), ("report", ["report", NAME, "--output", str(report)])):
        progress(f"oplstm {what} {NAME}")
        rows.append({"what": f"oplstm {what} NAME", **watched(home, words)})
    rows[-1]["size_mib"] = report.stat().st_size / MIB
    progress(f"oplstm ui {NAME}, and its pages")
    began = time.perf_counter()
    with _served(home) as url:
        rows.append({"what": "oplstm ui NAME, until it gives the address", "seconds": time.perf_counter() - began})
        with tempfile.TemporaryDirectory() as profile, browsing(Path(profile)) as browser:
            rows += seen(browser, url, report)
    columns = ("what", "seconds", "cpu_seconds", "peak_mib", "size_mib")
    return [{column: row.get(column) for column in columns} for row in rows]


def seen(browser: Browser, url: str, report: Path, pictures: Path | None = None) -> Iterator[Row]:
    """Seconds until each page shows what it is for."""

    def row(page: Page, what: str, shown: str) -> Row:
        began = time.perf_counter()
        page.wait(shown)
        found = {"what": what, "seconds": time.perf_counter() - began}
        if pictures is not None:
            page.picture(pictures / f"{what.partition(',')[0].replace(' ', '-')}.png")
        return found

    page = browser.page()
    page.open(url)
    yield row(page, "MLflow's view of the sweep, until it shows trials", f"{_ROWS} > 9")
    page.click_on(f"[...document.querySelectorAll('.ag-row a')].find(one => one.textContent.startsWith('{NAME}/'))")
    yield row(page, "the page of a trial, by a click on it", "document.body.innerText.includes('Model metrics')")
    page.click("Model metrics")
    yield row(page, "its curve, by a click", _CURVE)
    page.open(report.as_uri())
    yield row(page, "the page of the report, until all is drawn", f"{_CHARTS}.length > 5 && {_DRAWN}")


def watched(home: Path, words: Sequence[str]) -> Row:
    """An ``oplstm`` command that has to succeed: its seconds, processor time, and the most memory that it had."""
    command = [sys.executable, "-c", _WATCHED, *words]
    done = subprocess.run(command, env=_environment(home), check=True, stdout=subprocess.PIPE, text=True)
    seconds, used, peak = json.loads(done.stdout)
    return {"seconds": seconds, "cpu_seconds": used, "peak_mib": peak / MIB}


@contextmanager
def _served(home: Path) -> Iterator[str]:
    """The address that ``oplstm ui`` gives, which serves meanwhile."""
    command = [sys.executable, "-m", "jobs.cli", "ui", NAME, "--no-browser", "--json"]
    with subprocess.Popen(command, env=_environment(home), stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            yield json.loads(serving.stdout.readline())["url"]
        finally:
            serving.terminate()


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "OPLSTM_HOME": str(home)}
