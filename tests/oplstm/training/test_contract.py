"""Every learner and benchmark that ships keeps the contract that plug-ins are held to."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from oplstm.episodes.registry import BENCHMARKS
from oplstm.episodes.sine import SineTasks
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.maml import MAML
from oplstm.learners.registry import LEARNERS as LEARNERS_KNOWN
from oplstm.testing import BenchmarkContract, DatasetContract, LearnerContract
from tests.oplstm.episodes.datasets.made_up import imported
from tests.oplstm.training.runs import LEARNERS


class OnSine(LearnerContract):
    """One of the shipped learners on sine tasks; T differs within its packs, and gamma where there is one."""

    @pytest.mark.integration
    def test_stopped_and_resumed_it_ends_as_if_it_never_had_been(self, tmp_path):
        super().test_stopped_and_resumed_it_ends_as_if_it_never_had_been(tmp_path)

    @classmethod
    def of(cls, name):
        first = LEARNERS[name]
        real = [{"gamma": 0.02 * (i + 1)} if name.startswith("op_lstm") else {} for i in range(4)]
        some = tuple({**first, **real[i], "passes": 2 + i % 3} for i in range(4))
        return type(cls.__name__, (cls,), {"learner": name.partition("-")[0], "configurations": some})


TestLSTM, TestLSTMAuthors, TestLSTMSequential, TestOPLSTM, TestOPLSTMAuthors, TestMAML = map(OnSine.of, LEARNERS)


class TestSine(BenchmarkContract):
    benchmark = LearnerContract.benchmark


@pytest.fixture(scope="class")
def omniglot(request, tmp_path_factory):
    request.cls.data = tmp_path_factory.mktemp("data")
    imported("omniglot", request.cls.data)


IMAGES = {"name": "omniglot", "ways": 2, "shots": 1, "queries": 2}


@pytest.mark.usefixtures("omniglot")
class TestOmniglot(DatasetContract):
    benchmark = IMAGES


@pytest.mark.usefixtures("omniglot")
class TestProtoNet(LearnerContract):
    learner = "protonet"
    configurations = ({"base_widths": (6, 5), "batch_norm": False},)
    benchmark = IMAGES


# The contract finds what breaks it


class Careless(MAML):
    """Draws from the generator of the whole process."""

    def init(self, config, generator):
        return {name: torch.randn(value.shape) for name, value in super().init(config, generator).items()}


class Mixing(MAML):
    """Predicts from the mean over all tasks."""

    def predict(self, params, fast, query_x):
        found = super().predict(params, fast, query_x)
        return found + found.mean(1, keepdim=True)


class Peeking(MAML):
    """Predicts what is asked for."""

    def begin(self, params, support):
        self._targets = support.query_y
        return super().begin(params, support)

    def predict(self, params, fast, query_x):
        return super().predict(params, fast, query_x) + self._targets[: len(query_x), : query_x.shape[1]]


class Neighbourly(MAML):
    """Its runs depend on those beside them."""

    def predict(self, params, fast, query_x):
        found = super().predict(params, fast, query_x)
        return found + found.mean(0, keepdim=True)


class Fickle(MAML):
    """Knows how often it was called."""

    calls = 0

    def predict(self, params, fast, query_x):
        type(self).calls += 1
        return super().predict(params, fast, query_x) + 1e-3 * type(self).calls


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Careless, "initial_parameters_follow_from_their_generator_alone"),
        (Mixing, "tasks_do_not_mix"),
        (Peeking, "tasks_do_not_mix"),
        (Neighbourly, "a_pack_equals_its_single_runs"),
        (Fickle, "the_order_of_queries_means_nothing"),
        (Fickle, "stopped_and_resumed_it_ends_as_if_it_never_had_been"),
    ],
)
def test_a_learner_that_breaks_the_contract_is_found_out(broken, test, monkeypatch, tmp_path):
    cls = type("Broken", (broken,), {"name": "broken"})
    monkeypatch.setitem(LEARNERS_KNOWN._registered, "broken", cls)
    contract = type("Contract", (LearnerContract,), {"learner": "broken", "configurations": (LEARNERS["maml"],)})()
    method = getattr(contract, f"test_{test}")
    with pytest.raises(AssertionError):
        method(*([tmp_path] if test.startswith("stopped") else []))


@dataclass(frozen=True, kw_only=True)
class Drifting(SineTasks):
    """Its tasks come from a generator of its own."""

    name: ClassVar[str] = "drifting"

    def sample(self, rng, count, split):
        return super().sample(np.random.default_rng(), count, split)


@dataclass(frozen=True, kw_only=True)
class Flat(SineTasks):
    """Its inputs are not what it says."""

    name: ClassVar[str] = "flat"
    shape: ClassVar[TaskShape] = TaskShape((2,), 1, "mse")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "test"),
    [(Drifting, "a_task_follows_from_seed_split_and_index_alone"), (Flat, "its_tasks_have_its_shape"),
     (Flat, "it_is_defined_without_torch")],
)  # fmt: skip
def test_a_benchmark_that_breaks_the_contract_is_found_out(broken, test, monkeypatch):
    monkeypatch.setitem(BENCHMARKS._registered, broken.name, broken)
    contract = type("Contract", (BenchmarkContract,), {"benchmark": {"name": broken.name}})()
    with pytest.raises(AssertionError):
        getattr(contract, f"test_{test}")()
