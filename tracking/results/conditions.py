"""What a cell of the paper's tables stands for, and in what a final run differs from it."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from oplstm.episodes.datasets.class_lists import class_list
from tracking.results.final_runs import FinalRun, TrackedRun
from tracking.results.paper_results import PaperCell

Wanted = tuple[str, ...]
"""What a condition may be: more than one where the paper's text and its code differ in what makes no score better."""

_PUBLISHED: Final = "the published one"


def differences(run: FinalRun, paper: PaperCell) -> list[str]:
    """In what a final run differs from a cell, each such as "test tasks 300, the cell's 2,000"; none where it is exact.

    What cannot be known, because an older version made the run and did not record it, differs too.
    """
    if not run.seeds:
        return ["the runs of its seeds are not on the server"]
    found, unknown = [], []
    for name, (wanted, read) in _conditions(paper).items():
        values = {read(seed) for seed in run.seeds}
        if None in values:
            unknown.append(name)
        elif len(values) > 1:
            found.append(f"seeds differ in {name}: {', '.join(sorted(map(str, values)))}")
        elif (value := values.pop()) not in wanted:
            found.append(f"{name} {value}, the cell's {' or '.join(dict.fromkeys(wanted))}")
    found += _whole_run(run, paper)
    if unknown:
        found.append(f"made by an older version: {', '.join(unknown)} not recorded")
    return found


def _whole_run(run: FinalRun, paper: PaperCell) -> list[str]:
    """Differences that no single seed shows."""
    found = ["its configuration was chosen by hand"] if run.chosen_by_hand else []
    if run.seed_count < paper.seeds:
        found.append(f"seeds {run.seed_count}, the cell's {paper.seeds}")
    if late := sum("oplstm.budget_exhausted" in seed.tags for seed in run.seeds):
        found.append(f"budget not used up: {late} of {len(run.seeds)} seeds ran out of hours after {budget_used(run)}")
    if len({program for seed in run.seeds for _, program in _codes(seed)}) > 1:
        codes = code_versions(run)
        found.append(f"code of {len(codes)} versions: {', '.join(codes)}")
    if partial := next((r.tags[_PARTIAL] for r in (run.parent, *run.seeds) if _PARTIAL in r.tags), None):
        found.append(f"data {partial}, the cell's whole")
    return found


_PARTIAL: Final = "oplstm.partial_dataset"

_Read = Callable[[TrackedRun], str | None]


def _conditions(paper: PaperCell) -> Mapping[str, tuple[Wanted, _Read]]:
    """What every seed must agree in: what the cell has, and how to read what the run of a seed has."""
    shots, budget = str(paper.shots), _budget_in(paper.budget_unit)
    found: dict[str, tuple[Wanted, _Read]] = {
        "shots": ((shots,), _of_benchmark("shots")),
        "test tasks": ((f"{paper.test_tasks:,}",), _test_tasks),
        "budget": ((_amount(paper.budget, paper.budget_unit),), budget),
        "code version": (("known",), lambda run: "known" if _codes(run) else None),
    }
    if paper.benchmark == "sine":  # sin(x - p) and sin(x + p) are mirror images: neither is harder
        return found | {"queries": (("50",), _of_benchmark("queries"))}
    domain = "" if paper.across is None else f".{paper.across}"
    found |= {
        "ways": (("5",), _of_benchmark("ways")),
        "train ways": (("5",), _of_training("ways")),
        "train shots": ((str(paper.train_shots or paper.shots),), _of_training("shots")),
        "queries": (("15",), _of_benchmark("queries")),
        # the paper writes 15 a class; within a domain its code tested with as many as shots
        "test queries": (("15",) if domain else ("15", shots), _of_benchmark("queries") if domain else _test_queries),
        "split": ((_PUBLISHED,), _split(paper.benchmark, "")),
    }
    if domain:
        found[f"split of {paper.across}"] = ((_PUBLISHED,), _split(str(paper.across), domain))
    if paper.benchmark == "omniglot":
        for name in ("rotations", "inversion"):
            found[name] = (("False",), _of_benchmark(name))
    return found


def _of_benchmark(key: str) -> _Read:
    return lambda run: run.params.get(f"benchmark.{key}")


def _of_training(key: str) -> _Read:
    """Of meta-training, which is as meta-test is where nothing else is said."""

    def read(run: TrackedRun) -> str | None:
        own = run.params.get(f"benchmark.train_{key}")
        return run.params.get(f"benchmark.{key}") if own == "None" else own

    return read


def _test_tasks(run: TrackedRun) -> str | None:
    count = _whole(run.params.get("budget.test_tasks"))
    return None if count is None else f"{count:,}"


def _test_queries(run: TrackedRun) -> str | None:
    which = run.params.get("benchmark.test_queries")
    return None if which is None else run.params.get(f"benchmark.{which}")


def _split(benchmark: str, domain: str) -> _Read:
    def read(run: TrackedRun) -> str | None:
        digest = run.tags.get(f"digest.split{domain}")
        if digest is None:
            return None
        return _PUBLISHED if digest == class_list(benchmark).split_digest else f"{digest[:12]}..."

    return read


def _budget_in(unit: str) -> _Read:
    """The budget of a run in the unit of the cell."""

    def read(run: TrackedRun) -> str | None:
        batch = _whole(run.params.get("meta_batch_size"))
        for name in ("tasks", "updates"):
            if batch and (amount := _whole(run.params.get(f"budget.{name}"))) is not None:
                in_unit = {"tasks": amount * batch, "updates": -(-amount // batch)} | {name: amount}
                return _amount(in_unit[unit], unit)
        return None

    return read


def budget_used(run: FinalRun) -> str | None:
    """How long its seeds have trained, on average, in the unit of their budget; None where that is not recorded."""
    used = []
    for seed in run.seeds:
        unit = "updates" if seed.params.get("budget.tasks") == "None" else "tasks"
        batch, seen = _whole(seed.params.get("meta_batch_size")), seed.metrics.get("tasks_seen")
        if seen is None or not batch:
            return None
        used.append(seen if unit == "tasks" else seen / batch)
    return _amount(round(sum(used) / len(used)), unit) if used else None


_VERSION: Final = "version.oplstm"


def code_versions(run: FinalRun) -> list[str]:
    """Of oplstm: what made it and what it was resumed with, commits where they are known."""
    return sorted({code for seed in run.seeds for code, _ in _codes(seed)})


def _codes(run: TrackedRun) -> list[tuple[str, str]]:
    """What it is known by, and a digest of what trains, the same in versions that differ elsewhere."""
    found = []
    # of the process that made it, and below resume.<n>. of those that went on
    for prefix in sorted(name.removesuffix(_VERSION) for name in run.tags if name.endswith(_VERSION)):
        commit = run.tags.get(f"{prefix}mlflow.source.git.commit", "unknown")
        changed = "+changes" if run.tags.get(f"{prefix}oplstm.git_dirty") == "true" else ""
        code = f"oplstm {run.tags[prefix + _VERSION]}" if commit == "unknown" else commit[:12] + changed
        found.append((code, run.tags.get(f"{prefix}digest.code", code)))  # runs of older versions have no digest
    return found


def same_learner(run: FinalRun, paper: PaperCell) -> bool:
    """Whether a final run is of the cell's method, as it reads the support set, and of its training tasks."""
    tags = run.parent.tags
    learner = tags.get("oplstm.learner", "").replace("-", "_")
    mode = (tags.get("oplstm.mode") or "batched") if learner == "lstm" else ""
    return (tags.get("oplstm.benchmark"), learner, mode) == (paper.benchmark, paper.learner, paper.mode)


def parameters(run: FinalRun) -> int | None:
    """Trained parameters of each seed; None where that is not recorded."""
    counts = {_whole(seed.params.get("parameters")) for seed in run.seeds}
    return counts.pop() if len(counts) == 1 else None


def _whole(text: str | None) -> int | None:
    """A number that a server holds as text; None for whatever is none."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,18}", text) else None


def _amount(amount: int, unit: str) -> str:
    return f"{amount:,} {unit}"
