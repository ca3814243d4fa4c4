"""``oplstm promote``: from a sweep to the final run of its best configuration."""

from jobs.operations.running import Outcome, require_idle
from jobs.operations.start import NewSweep, start_here
from jobs.promotion.final_job import final_job
from jobs.promotion.selection import Choice, candidates, choose, rescore_with
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import SweepKind
from jobs.sweep.messages import OnProgress
from oplstm.errors import RequestError


def select(folder: SweepFolder) -> Choice:
    """Pick the best configuration of a sweep by meta-validation.

    Raises:
        RequestError: It is running, is a final run, or no trial of it has completed.
    """
    require_idle(folder)
    folder.check_links()
    header = Header.read(folder)
    if header.kind is not SweepKind.SWEEP:
        raise RequestError(f"{folder.name} is a {header.kind} run; promote takes a sweep")
    job, measure = header.job, header.measure
    rescore = rescore_with(folder, measure, seed=job.seed, tasks=job.promotion.tasks)
    found = candidates(folder, SweepState.of(folder, header), measure)
    return choose(found, rescore, measure, leaders=job.promotion.leaders)


def start_final(
    home: Home,
    folder: SweepFolder,
    choice: Choice,
    *,
    name: str,
    seeds: int | None,
    uri: str | None,
    progress: OnProgress,
) -> Outcome:
    """Train the picked configuration over several seeds.

    Args:
        home: Where.
        folder: Of the sweep.
        choice: What was picked.
        name: Of the final run.
        seeds: How many; None for as many as the job says.
        uri: Of the MLflow server; None for the embedded one.
        progress: Shows it.
    """
    header = Header.read(folder)
    job = final_job(header.job, SweepState.of(folder, header).by_name[choice.picked], seeds=seeds)
    new = NewSweep(job, name, SweepKind.FINAL, experiment=header.experiment, tracking_uri=uri, of=header.id)
    return start_here(home, new, progress=progress)
