"""Does a fixed block of validation tasks, common to all trials, pick better or worse than tasks redrawn at each point?

    python -m docs.studies.validation_tasks sine-lstm --set tasks=10000 --set validate_every=1000 --out sine-lstm.json

Training depends on validation in nothing but pruning. So configurations of the job's space are trained without it, each
with several seeds, and at each point every one is scored on a large pool of tasks. Searches are then played thousands
of times over: each takes one seed a configuration, and tasks for its points from one half of the pool. What its winner
is really worth is the mean over the other half.
"""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import torch

from jobs.jobfile.reading import load_job
from jobs.store.home import Home
from jobs.sweep.proposals import Proposal, Proposals
from oplstm.training.device import Device
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig

PROTOCOLS: Final = ("fixed", "redrawn for all", "redrawn for each")
"""One block for all points of all trials; one a point, common to all trials; one a point and trial."""
GAMES: Final = 4000
BLOCKS: Final = (100, 300, 1000)
"""Tasks of a point."""


def trained(runs: Sequence[RunConfig], data: Path) -> np.ndarray:
    """Train runs of one pack; the losses at all validation points, ``(runs, points, tasks)``."""
    torch.set_num_threads(1)
    pack = Pack(runs, [str(place) for place in range(len(runs))], Device(data=data))
    due, points = runs[0].budget.milestones(runs[0].meta_batch_size), []
    with np.errstate(all="ignore"):
        while pack.update < max(due):
            pack.step()
            if pack.update in due:
                scores = pack.validation_scores()
                points.append(1 - scores["accuracy"] if "accuracy" in scores else scores["loss"])
    return np.nan_to_num(torch.stack(points, dim=1).numpy(), nan=np.inf, posinf=np.inf)


@dataclasses.dataclass(frozen=True)
class Found:
    """What searches of one protocol found, on average over those that were played.

    Attributes:
        best_trial: How often the winner was the trial whose best point is the best of all.
        worse: The winner's true value less that of the best point of all trials.
        flattered: What all tasks that may be drawn say of the winner's point less what those drawn said.
    """

    best_trial: float
    worse: float
    flattered: float


def played(values: np.ndarray, protocol: str, *, block: int, games: int, dice: np.random.Generator) -> Found:
    """Searches of one seed a configuration.

    Args:
        values: Of configurations, seeds, points and tasks; the second half of the tasks is the truth.
        protocol: One of ``PROTOCOLS``.
        block: Tasks of a point.
        games: Searches.
        dice: What is drawn is drawn from it.
    """
    configurations, seeds, points, tasks = values.shape
    half = tasks // 2
    truth, expected = values[..., half:].mean(-1), values[..., :half].mean(-1)
    found = []
    for _ in range(games):
        own = dice.integers(seeds, size=configurations)
        true = truth[np.arange(configurations), own]
        drawn = dice.integers(half, size=(*_drawn_apart(protocol, configurations, points), block))
        seen = values[np.arange(configurations)[:, None, None], own[:, None, None], np.arange(points)[:, None], drawn]
        seen = seen.mean(-1)
        best = seen.argmin(1)  # of each trial
        picked = np.arange(configurations), best
        said, worth = seen[picked], true[picked]
        winner = int(said.argmin())
        best_trial = winner == int(true.min(1).argmin())
        found.append(
            (best_trial, worth[winner] - true.min(), expected[winner, own[winner], best[winner]] - said[winner])
        )
    return Found(*map(float, np.mean(found, axis=0)))


def _drawn_apart(protocol: str, configurations: int, points: int) -> tuple[int, int]:
    """How many blocks there are for trials, and for points."""
    return {"fixed": (1, 1), "redrawn for all": (1, points), "redrawn for each": (configurations, points)}[protocol]


def _runs(proposal: Proposal, seeds: int, pool: int) -> list[RunConfig]:
    budget = dataclasses.replace(proposal.run.budget, validation_tasks=pool)
    return [dataclasses.replace(proposal.run, seed=proposal.run.seed + seed, budget=budget) for seed in range(seeds)]


def _asked(proposals: Proposals, count: int) -> list[Proposal]:
    asked = (proposals.ask() for _ in range(count))
    return [proposal for proposal in asked if isinstance(proposal, Proposal)]


def main() -> None:
    """Train, play and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--configurations", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pool", type=int, default=20_000, help="tasks that every point is scored on")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    job, data = load_job(given.job, given.overrides), Home().data
    packs = [_runs(each, given.seeds, given.pool) for each in _asked(Proposals(job), given.configurations)]
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        values = np.stack(list(pool.map(trained, packs, [data] * len(packs))))
    result: dict[str, Any] = {
        "job": given.job, "set": given.overrides, "configurations": len(packs), "seeds": given.seeds,
        "points": values.shape[2], "pool": given.pool, "games": GAMES, "measure": job.measure.name,
        "blocks": {
            str(block): {
                protocol: dataclasses.asdict(
                    played(values, protocol, block=block, games=GAMES, dice=np.random.default_rng(0))
                )
                for protocol in PROTOCOLS
            }
            for block in BLOCKS
        },
    }  # fmt: skip
    given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
