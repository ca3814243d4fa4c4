"""The ``published-*`` jobs against what the authors ran for the tables: every option, budget and parameter count.

The figures come from the commands in the authors' README, the outputs of their notebooks, and their classes.
"""

from dataclasses import asdict, dataclass
from typing import Any

import pytest

from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import build_trial_run
from jobs.jobfile.shipped import shipped_jobs
from oplstm.training.parameters import parameter_count


@dataclass(frozen=True)
class Published:
    """What one row of a table was made with.

    Attributes:
        parameters: Of the network; those that the authors count but nothing uses are left out.
        lr: Adam's.
        meta_batch_size: Tasks an update; their gradients are summed.
        learner: Every hyperparameter.
        budget: Length and distance of validations, in the unit of the first key.
        grad_clip: Clamp of the meta-gradient.
        shots: Of meta-test.
        train_shots: Where it differs.
    """

    parameters: int
    lr: float
    meta_batch_size: int
    learner: dict[str, Any]
    budget: dict[str, int]
    grad_clip: float | None = None
    shots: int = 1
    train_shots: int | None = None


ON_SINE = {"tasks": 70_000, "validate_every": 2500}
UPDATES_80K = {"updates": 80_000, "validate_every": 2500}
UPDATES_60K = {"updates": 60_000, "validate_every": 2500}
FC = (256, 128, 64, 64)


def plain_lstm(**own: Any) -> dict[str, Any]:
    """Batched; h is averaged, c is not, and queries start from c = 0; labels in every pass."""
    return {
        "backbone": "none",
        "support": "batched",
        "encoding": "current_target",
        "chain": "closed",
        "error": "squared",
        "loss_on": "last",
        "pool_cell": False,
        "query_cell": "zero",
        "first_pass_labels": True,
        **own,
    }


def maml(**own: Any) -> dict[str, Any]:
    return {
        "backbone": "none",
        "batch_norm": False,
        "activation": "relu",
        "eval_passes": None,
        "second_order": True,
        "loss_on": "last",
        **own,
    }


def op_lstm(**own: Any) -> dict[str, Any]:
    """States of its own for every example and node, messages of this pass, raw logits, gamma learned from .025."""
    return {
        "backbone": "none",
        "batch_norm": False,
        "gamma": 0.025,
        "gamma_learned": True,
        "pool_states": False,
        "normalisation": "all",
        "message": "current",
        "output_activation": "raw",
        "normed_value": "linear",
        "rescaled_messages": True,
        "output_bias": "vector",
        "hidden_bias_init": "linear",
        "shared_bias_init": "cells",
        "update_bias": False,
        "bias_normalised": False,
        "second_order": True,
        "loss_on": "last",
        **own,
    }


SINE_LSTM = plain_lstm(widths=(40, 40), passes=4, first_pass_labels=False)
SINE_MAML = maml(base_widths=(91, 91, 91), passes=14, inner_lr=0.003769030557807799, clip=10.0)
SINE_OP = op_lstm(base_widths=(91, 91, 91), cells=(5, 5, 1), passes=9, hidden_bias_init="zero")
OMNIGLOT_LSTM = plain_lstm(widths=(1024, 600, 400, 200, 92), passes=3)
OMNIGLOT_MAML = maml(base_widths=FC, batch_norm=True, passes=1, eval_passes=3, inner_lr=0.4, clip=None)
OMNIGLOT_OP = op_lstm(
    base_widths=FC, batch_norm=True, cells=(5, 5, 1), passes=1, normalisation="none", gamma=1.0, gamma_learned=False
)
CONV_LSTM = plain_lstm(backbone="conv4", widths=(1904, 1904), passes=3)
CONV_MAML = maml(backbone="conv4", base_widths=(), passes=5, eval_passes=10, inner_lr=0.01, clip=10.0)
CONV_OP = op_lstm(
    backbone="conv4", base_widths=(), cells=(40, 20, 1), passes=3, output_bias="shared", second_order=False
)
WARP = {
    "passes": 5,
    "eval_passes": 5,
    "inner_lr": 0.1,
    "adapt_first_block": False,
    "warp_init": "zero",
    "objective": "every_step",
    "step_losses": "sum",
    "second_order": True,
}
SAP = {"passes": 1, "eval_passes": 10, "inner_lr": 0.0360774985854036, "second_order": True, "clip": 10.0}

TABLE = {
    "sine-lstm": Published(20_201, 0.004673978383086751, 4, SINE_LSTM, ON_SINE, shots=5),
    "sine-maml": Published(17_018, 0.0032937018686863585, 2, SINE_MAML, ON_SINE, grad_clip=10, shots=5),
    "sine-op-lstm": Published(17_923, 0.0010448688371510757, 1, SINE_OP, ON_SINE, shots=5),
    "omniglot-lstm": Published(13_530_097, 0.001 / 12, 12, OMNIGLOT_LSTM, UPDATES_80K),
    "omniglot-maml": Published(247_621, 0.001 / 32, 32, OMNIGLOT_MAML, UPDATES_80K),
    "omniglot-protonet": Published(
        247_296, 0.00025, 4, {"backbone": "none", "base_widths": FC, "batch_norm": True}, UPDATES_80K
    ),
    "omniglot-op-lstm": Published(248_525, 0.00025, 4, OMNIGLOT_OP, UPDATES_80K),
    "miniimagenet-lstm": Published(55_879_349, 0.000069, 32, CONV_LSTM, UPDATES_80K),
    "miniimagenet-maml": Published(121_093, 0.001, 4, CONV_MAML, UPDATES_60K, grad_clip=10),
    "miniimagenet-protonet": Published(
        113_088, 0.00025, 4, {"backbone": "conv4", "base_widths": (), "batch_norm": True}, UPDATES_80K
    ),
    "miniimagenet-op-lstm": Published(133_182, 0.00025, 4, CONV_OP, UPDATES_80K),
    "miniimagenet-warp-maml": Published(231_877, 0.001, 1, WARP, UPDATES_60K, train_shots=5),
    "miniimagenet-sap": Published(412_852, 0.001, 4, SAP, {"updates": 15_000, "validate_every": 625}, grad_clip=10),
}
"""Tables 1 to 3, at the fewest shots; by the job's name behind ``published-``."""


def run_of(name, *settings):
    job = load_job(f"published-{name}", settings)
    return build_trial_run(job, job.fixed)


def test_every_published_job_is_in_the_table():
    shipped = {name.removeprefix("published-") for name in shipped_jobs() if name.startswith("published-")}
    assert shipped == TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_a_published_job_is_what_the_authors_ran(name):
    run, published = run_of(name), TABLE[name]
    assert asdict(run.hyperparameters) == published.learner
    assert run.lr == pytest.approx(published.lr, rel=1e-12)
    assert (run.meta_batch_size, run.meta_gradient) == (published.meta_batch_size, "sum")
    assert (run.grad_clip, run.precision) == (published.grad_clip, "float32")
    unit = next(iter(published.budget))
    assert {unit: run.budget.total, "validate_every": run.budget.validate_every} == published.budget
    assert run.budget.unit == unit


@pytest.mark.parametrize("name", TABLE)
def test_a_published_job_has_the_authors_benchmark(name):
    run, published = run_of(name), TABLE[name]
    benchmark = asdict(run.benchmark)
    if run.benchmark.name == "sine":
        assert benchmark == {"shots": 5, "queries": 50, "phase": "plus"}
        assert (run.budget.validation_tasks, run.budget.test_tasks) == (1000, 2000)
        return
    assert benchmark.pop("train_shots") == published.train_shots
    assert (benchmark["ways"], benchmark["shots"], benchmark["queries"]) == (5, published.shots, 15)
    assert (benchmark["test_queries"], benchmark["train_ways"]) == ("shots", None)
    assert not (benchmark.get("rotations") or benchmark.get("inversion"))
    assert (run.budget.validation_tasks, run.budget.test_tasks) == (600, 600)


@pytest.mark.parametrize("name", TABLE)
def test_a_published_job_has_the_published_parameters(name):
    assert parameter_count(run_of(name)) == TABLE[name].parameters


@pytest.mark.parametrize("name", TABLE)
def test_three_seeds(name):
    job = load_job(f"published-{name}")
    assert (job.space, job.seeds) == (None, 3)


# What ``docs/jobs.md`` says of the other rows


@pytest.mark.parametrize("name", [name for name in TABLE if name.startswith("miniimagenet")])
def test_the_rows_of_cub_are_those_of_miniimagenet(name):
    run, there = run_of(name, "benchmark.name=cub"), run_of(name)
    assert run.benchmark.name == "cub"
    assert (run.hyperparameters, run.lr, run.budget) == (there.hyperparameters, there.lr, there.budget)


def test_the_rows_of_five_shots():
    maml = run_of("miniimagenet-maml", "shots=5", "meta_batch_size=2")
    assert maml.meta_batch_size * maml.budget.total == 120_000  # tasks
    sap = run_of("miniimagenet-sap", "shots=5", "budget.updates=10000")
    assert sap.meta_batch_size * sap.budget.total == 40_000
    assert (maml.benchmark.shots, sap.benchmark.shots) == (5, 5)


def test_figure_5_and_the_first_order_rows():
    sequential = run_of("sine-lstm", "support=sequential", "shots=30", "test_tasks=600")
    assert (sequential.hyperparameters.support, sequential.hyperparameters.query_cell) == ("sequential", "zero")
    assert run_of("omniglot-lstm", "support=sequential", "queries=10").benchmark.queries == 10
    for name in ("omniglot-maml", "omniglot-op-lstm"):
        assert run_of(name, "second_order=false").hyperparameters.second_order is False
