"""The published results as made again here: tables of the paper from the records of tracked runs."""

import functools
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from statistics import NormalDist

from docs.site.markdown import code, table, written
from jobs.jobfile.shipped import shipped_jobs
from jobs.promotion.one_seed import one_seed
from tracking.results.final_runs import FinalRun, TrackedRun
from tracking.results.paper_results import PaperCell
from tracking.results.run_records import read_records
from tracking.results.tables import Cell, Result, Table, table_of

RECORDS = Path(__file__).resolve().parent.parent / "results" / "runs"
"""What ``oplstm table N --save docs/results/runs`` has written, with ``--also`` for trainings chosen by hand."""
PROMOTIONS = RECORDS.parent / "promotions"
"""What ``oplstm promote NAME --replicates ... --json`` has printed, a file each."""
SWEEPS = RECORDS.parent / "sweeps"
"""The trials that ``oplstm status NAME --json`` has printed, with the job, a file each."""
SEARCHES = RECORDS.parent / "validation-tasks"
"""What ``docs/studies/validation_tasks.py`` has written, a job each."""


@functools.cache
def _records() -> tuple[FinalRun, ...]:
    return tuple(read_records(RECORDS))


@functools.cache
def _table(number: int) -> Table:
    return table_of(number, _records())


def cells(number: str) -> str:
    """The cells of a table of the paper, with what we have for each."""
    rows = [
        [cell.paper.method, cell.paper.task, _interval(cell.paper.value, cell.paper.ci95), _short(cell.retrained),
         _short(cell.ours), "" if cell.difference is None else f"{cell.difference:+.4f}", cell.intervals_meet or ""]
        for cell in _table(int(number)).cells
    ]  # fmt: skip
    return table(["method", "task", "paper", "their configuration, here", "ours", "ours - paper", "meets"], rows)


def headline() -> str:
    """The cells that were made again, of all tables."""
    rows = []
    for number in (1, 2, 3, 4):
        for cell in _table(number).cells:
            if cell.ours is not None or cell.retrained is not None:
                paper = cell.paper
                name = f"Table {number}: {paper.method}, {paper.task}"
                rows.append([name, _interval(paper.value, paper.ci95), _seeded(cell.retrained), _seeded(cell.ours)])
    return table(["", "paper, ± over tasks", "their configuration, here, ± over seeds", "ours, ± over seeds"], rows)


def not_run(number: str) -> str:
    """What a table still lacks, and the commands that would make it."""
    lacking = []
    for cell in _table(int(number)).cells:
        commands = [*_retrain(cell), *_search(cell)]
        if commands:
            lacking.append([cell.paper.method, cell.paper.task, ", ".join(map(code, commands))])
    return table(["method", "task", "what would make it"], lacking) if lacking else "Every cell was run."


def seeds(number: str) -> str:
    """Every seed behind the cells of a table."""
    shown = {result.run_id for cell in _table(int(number)).cells for result in (cell.ours, cell.retrained) if result}
    return _table_of_seeds(run for run in _records() if run.parent.run_id in shown)


def training(name: str) -> str:
    """The seeds of a training that stands in no cell."""
    return _table_of_seeds(run for run in _records() if run.parent.name == name)


def _table_of_seeds(runs: Iterable[FinalRun]) -> str:
    rows = [row for run in runs for row in _seed_rows(run)]
    return table(["seed", "test", "best validation", "hours", "device", "code"], rows)


def _seed_rows(run: FinalRun) -> Iterator[list[str]]:
    for seed in run.seeds:
        hours, dirty = seed.metrics.get("train/hours"), seed.tags.get("oplstm.git_dirty") == "true"
        commit = seed.tags.get("mlflow.source.git.commit", "unknown")[:12] + ("+changes" if dirty else "")
        yield [code(seed.name), _number(_test(seed)), _number(seed.metrics.get("val/best")),
               "" if hours is None else f"{hours:.2f}", seed.tags.get("oplstm.device", ""), commit]  # fmt: skip


def below(number: str) -> str:
    """The runs that stand in no cell, with what differs."""
    others = _table(int(number)).others
    return "\n".join(f"* {other.line}" for other in others) or "None."


def one_seed_each() -> str:
    """What sweeps of one seed each would have found, of those ``one-seed-*`` in which all were trained with more seeds.

    Spreads are of logarithms, of losses or of shares of wrong answers: some configurations diverge, and their losses
    are a thousand times the others'.
    """
    rows = []
    for path in sorted(PROMOTIONS.glob("one-seed-*.json")):
        told = json.loads(path.read_text())
        losses = [one["seeds"] for one in told["leaders"]]
        if told.get("measure") == "accuracy":
            losses = [[score and 1 - score for score in own] for own in losses]
        found, logs = one_seed(losses), one_seed([[loss and math.log(loss) for loss in own] for own in losses])
        if found is not None and logs is not None:
            rows.append([code(path.stem), f"{found.configurations} x {found.seeds}", _factor(logs.between),
                         _factor(logs.within), _share(found.best_wins), f"{found.worse:.4f}",
                         f"{found.flattered:.4f}"])  # fmt: skip
    return table(["sweep", "configurations x fresh seeds", "between configurations", "over seeds", "the best wins",
                  "a winner is worse than it by", "and than it seems by"], rows)  # fmt: skip


def luck(name: str, trials: str, winner: str) -> str:
    """What a search of one seed each would find if all its trials were of the configuration of a final run.

    The logarithms of a seed's loss are taken as normal.

    Args:
        name: Of the final run.
        trials: Of the search.
        winner: The loss that a search has found.
    """
    [run] = (run for run in _records() if run.parent.name == name)
    seed = NormalDist.from_samples([math.log(loss) for one in run.seeds if (loss := _test(one))])
    best = seed.inv_cdf(1 - 0.5 ** (1 / int(trials)))  # as the best of k is below c with probability 1 - (1 - F(c))^k
    rows = [
        ["one seed, typically", f"{math.exp(seed.mean):.3f}"],
        ["another one, by a standard deviation", f"{_factor(seed.variance)} away"],
        [f"the best of {trials} seeds, typically", f"{math.exp(best):.3f}"],
        [f"chance that one seed ends at {winner} or below", f"{100 * seed.cdf(math.log(float(winner))):.0f} %"],
    ]
    return table([f"{code(name)}, {len(run.seeds)} seeds", ""], rows)


def trials_of(sweep: str) -> str:
    """Every configuration that a sweep tried, best first, with one seed each."""
    trials = json.loads((SWEEPS / f"{sweep}.json").read_text())["trials"]
    keys = list(dict.fromkeys(key for trial in trials for key in trial["params"]))
    rows = [
        [f"{trial['best']:.3g}", *(written(trial["params"].get(key, "")) for key in keys), trial["state"]]
        for trial in trials
    ]
    return table(["best validation", *keys, ""], rows)


def validation_tasks() -> str:
    """What searches find whose validation tasks are a fixed block, or redrawn."""
    rows = []
    for path in sorted(SEARCHES.glob("*.json")):
        told = json.loads(path.read_text())
        for tasks, protocols in told["blocks"].items():
            rows += [
                [code(told["job"]), tasks, protocol, f"{100 * found['best_trial']:.0f} %", f"{found['worse']:.4f}"]
                for protocol, found in protocols.items()
            ]  # fmt: skip
    return table(["job", "tasks a point", "block", "the best trial wins", "a winner is worse than the best by"], rows)


def _share(of_sweeps: float | None) -> str:
    return "none is best" if of_sweeps is None else f"{100 * of_sweeps:.0f} %"


def _factor(variance: float) -> str:
    """One standard deviation of a logarithm."""
    return f"a factor of {math.exp(math.sqrt(variance)):.2f}"


def _test(seed: TrackedRun) -> float | None:
    return seed.metrics.get("test/accuracy", seed.metrics.get("test/loss"))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(value: float, half: float | None) -> str:
    return f"{value:.4f}" if half is None else f"{value:.4f} ± {half:.4f}"


def _short(result: Result | None) -> str:
    """Both intervals and the seeds."""
    if result is None:
        return "not run"
    return f"{_interval(result.value, result.ci95_tasks)} (over {result.seeds} seeds ± {_number(result.ci95_seeds)})"


def _seeded(result: Result | None) -> str:
    """With the interval that is about the configuration."""
    return "" if result is None else f"{_interval(result.value, result.ci95_seeds)} ({result.seeds} seeds)"


def _job(paper: PaperCell) -> str:
    return f"{paper.benchmark}-{paper.learner.replace('_', '-')}"


def _retrain(cell: Cell) -> list[str]:
    name, paper = f"published-{_job(cell.paper)}", cell.paper
    if cell.retrained is not None or paper.across is not None or name not in shipped_jobs():
        return []
    return [f"oplstm train {name} --set shots={paper.shots}"]


def _search(cell: Cell) -> list[str]:
    name, paper = _job(cell.paper), cell.paper
    if cell.ours is not None or paper.across is not None or name not in shipped_jobs():
        return []
    named = f"{name}-{paper.shots}"
    return [f"oplstm sweep {name} --name {named} --set shots={paper.shots}", f"oplstm promote {named}"]
