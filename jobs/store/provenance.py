"""Where results come from: git commit, versions, digests."""

import functools
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import oplstm
from jobs.jobfile.source_digest import source_digest
from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.training.run import RunConfig

PACKAGES = ("oplstm", "torch", "numpy", "optuna", "ray", "mlflow")


@functools.cache
def provenance() -> dict[str, str]:
    """Tags that every run of this process shares: versions, and the commit where this is a checkout of oplstm.

    ``digest.code`` is of the package that trains, whose numbers no commit to the other packages or to the docs changes.
    """
    commit, dirty = _checkout(Path(__file__).resolve())
    tags = {"mlflow.source.git.commit": commit, "oplstm.git_dirty": dirty, "version.python": platform.python_version()}
    for package in PACKAGES:
        try:
            tags[f"version.{package}"] = version(package)
        except PackageNotFoundError:
            tags[f"version.{package}"] = "not installed"
    trains = Path(oplstm.__file__).parent
    files = sorted(path.relative_to(trains) for path in trains.rglob("*.py"))
    return tags | {"digest.code": f"sha256:{source_digest(trains, files)}"}


def _checkout(module: Path) -> tuple[str, str]:
    """The commit of the repository that tracks ``module``, and whether it was changed since; else twice unknown.

    An installed package may lie inside somebody else's repository, whose commit says nothing about it.
    """
    if _git(module.parent, "ls-files", "--error-unmatch", module.name) is None:
        return "unknown", "unknown"
    commit, changes = _git(module.parent, "rev-parse", "HEAD"), _git(module.parent, "status", "--porcelain")
    return commit or "unknown", "unknown" if changes is None else str(bool(changes)).lower()


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def digests(run: RunConfig, data: Path | None) -> dict[str, str]:
    """SHA-256 of the configuration, the benchmark's definition, its data and the very tasks it is judged on."""
    splits = (Split.FINAL_VALIDATION, Split.FINAL_TEST) if run.final else (Split.VALIDATION, Split.TEST)
    counts = (run.budget.validation_tasks, run.budget.test_tasks)
    tasks = {
        f"digest.{name}_tasks": _tasks_digest(run.benchmark, data, seed=run.evaluation_seed, split=split, count=count)
        for name, split, count in zip(("validation", "test"), splits, counts, strict=True)
    }
    sources = {f"digest.{name}": value for name, value in run.benchmark.open(data).digests().items()}
    for domain, other in run.benchmark.cross().items():
        sources |= {f"digest.{name}.{domain}": value for name, value in other.open(data).digests().items()}
    return {"digest.configuration": run.digest(), "digest.benchmark": run.benchmark.digest(), **sources, **tasks}


@functools.lru_cache(maxsize=64)
def _tasks_digest(benchmark: Benchmark, data: Path | None, *, seed: int, split: Split, count: int) -> str:
    return TaskStream(benchmark.open(data), seed, split=split).digest(count) if count else "none"
