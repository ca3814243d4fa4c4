"""What a sweep costs beside its training; the only part of the benchmark that needs Ray and MLflow.

Sweeps whose trials do next to nothing and plans of many trials are whole commands in processes of their own. Tracking,
shares of a real training and growth with the trials are seen at the public methods of a real coordinator.
"""

import logging
from typing import Any

import optuna

from tests.benchmark.measuring import Bench
from tests.benchmark.orchestration import commands, many_nodes, shares, tracking_cost, trial_growth


def sections(bench: Bench) -> list[tuple[str, list[dict[str, Any]]]]:
    """All tables."""
    logging.getLogger().setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return [
        *commands.sections(bench.progress),
        *shares.sections(bench),
        *tracking_cost.sections(bench.progress),
        *trial_growth.sections(bench.progress),
        *many_nodes.sections(bench.progress),
    ]
