"""Models, scores and checkpoints of a sweep against the digests in their manifests, and against its journal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial
from oplstm.errors import WorkError, message, one_line

WITH_MODEL: Final = (TrialState.COMPLETE, TrialState.PRUNED)


def with_models(state: SweepState) -> list[Trial]:
    """The trials that were trained to their end or to where they were pruned."""
    return [trial for trial in state.trials.values() if trial.pack is not None and trial.state in WITH_MODEL]


def model_problems(folder: Path, trial: Trial) -> Iterator[str]:
    """What is wrong with the files of a trial in a folder, one line each."""
    from oplstm.training.run import RunConfig  # imports torch

    tested = trial.state is TrialState.COMPLETE and trial.run["budget"].get("test_tasks") != 0
    names = ("model", "validation", *(("test",) if tested else ()))
    manifest = folder / "run.json"
    problems = list(_problems(manifest, [f"{name}.safetensors" for name in names]))
    yield from problems
    if not problems:
        from oplstm.training.sealed import read_sealed

        data = read_sealed(manifest).data
        try:
            is_its = RunConfig.from_dict(data["run"]).digest() == trial.config.digest()
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # of version 1
            yield f"{manifest} is damaged: {one_line(error)}"
            return
        if not is_its or data.get("best_update") != trial.best_update:
            yield f"{manifest} is of another run than {trial.name} in the journal"


def checkpoints(folder: SweepFolder, state: SweepState) -> list[Path]:
    """Those of packs that a resume goes on with; one that has none begins again, which is as it should be."""
    return [path for name in state.unfinished_packs() for path in sorted(folder.pack(name).glob("update-*"))]


def checkpoint_problems(path: Path, state: SweepState) -> Iterator[str]:
    """What is wrong with the files of a checkpoint, one line each; also where it knows more than the journal."""
    from oplstm.training.sealed import read_sealed

    manifest = path / "pack.json"
    problems = list(_problems(manifest, ["state.safetensors"]))
    yield from problems
    if not problems:
        counters = read_sealed(manifest).data.get("counters")
        points = counters.get("last_point", {}) if isinstance(counters, dict) else {}
        for name, update in points.items():
            if name not in state.by_name or update > max(state.by_name[name].updates, default=0):
                yield f"{manifest} knows a point of {name} at {update} and the journal, whose end is missing, does not"


def _problems(manifest: Path, names: list[str]) -> Iterator[str]:
    from oplstm.training.sealed import read_sealed

    try:
        sealed = read_sealed(manifest)
    except (WorkError, OSError) as error:
        yield message(error)
        yield from (f"{path} is missing" for name in names if not (path := manifest.with_name(name)).is_file())
        return
    for name in names:
        try:
            sealed.tensors(name)
        except (WorkError, OSError) as error:
            yield message(error)
