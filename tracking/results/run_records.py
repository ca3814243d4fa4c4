"""Final runs as small files: what a tracking server holds of them, for whoever has not got the server."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from oplstm.durable import write_file
from oplstm.errors import RequestError
from tracking.results.final_runs import FinalRun, TrackedRun

_RUN: Final[TypeAdapter[FinalRun]] = TypeAdapter(FinalRun)
_KEPT: Final = re.compile(r"(oplstm|version|digest|resume)\..+|mlflow\.source\.git\.commit")
_LEFT_OUT: Final = re.compile(r"oplstm\.(host|gpu_ids|view|described|key|parent|of|of_run|sweep_id)")
"""What says nothing of the result, or names a machine."""


def write_records(folder: Path, runs: Sequence[FinalRun]) -> list[Path]:
    """Write a file for each final run that has a result, named for it.

    Args:
        folder: Made if need be; a record of the same name is replaced.
        runs: The newest first; of several of one name the newest is written.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: dict[Path, FinalRun] = {}
    for run in (run for run in runs if "final/seeds" in run.parent.metrics):
        name = re.sub(r"[^A-Za-z0-9._-]", "_", run.parent.name)
        written.setdefault(folder / f"{name}.json", run)
    for path, run in written.items():
        short = FinalRun(_short(run.parent), tuple(_short(seed) for seed in run.seeds))
        write_file(path, json.dumps(asdict(short), indent=1, sort_keys=True) + "\n")
    return list(written)


def read_records(folder: Path) -> list[FinalRun]:
    """The final runs that were written there, the newest first.

    Raises:
        RequestError: There are none, or a file is no such record.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise RequestError(
            f"{folder} holds no records of final runs (*.json); oplstm table N --save {folder} writes them"
        )
    runs = []
    for path in paths:
        try:
            runs.append(_RUN.validate_json(path.read_bytes()))
        except (OSError, ValidationError) as error:
            raise RequestError(f"{path} is no record of a final run, as oplstm table N --save writes them") from error
    return sorted(runs, key=lambda run: (-run.parent.start_ms, run.parent.run_id))


def _short(run: TrackedRun) -> TrackedRun:
    kept = {name: text for name, text in run.tags.items() if _KEPT.fullmatch(name) and not _LEFT_OUT.fullmatch(name)}
    return replace(run, tags=kept)
