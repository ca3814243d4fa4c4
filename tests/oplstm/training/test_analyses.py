"""What a budget asks for beside scores is measured at every meta-validation point."""

import pytest
import torch

from oplstm.analysis.permutation import permutation_variance
from oplstm.analysis.update_similarity import update_similarity
from oplstm.configuration import Problems
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.testing.recorder import Recorder
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.run import build_run
from tests.oplstm.training.runs import run
from tracking.results.metrics import METRICS


def asking(learner, *analyses):
    data = run(learner).to_dict()
    problems = Problems()
    return build_run(data | {"budget": data["budget"] | {"analyses": list(analyses)}}, problems), problems


@pytest.mark.integration
@pytest.mark.parametrize(
    ("learner", "analysis", "metrics"),
    [
        ("op_lstm", "update_similarity", {"similarity/gd_cosine", "similarity/gd_euclidean"}),
        ("lstm-sequential", "permutation_variance", {"permutation/variance"}),
    ],
)
def test_an_analysis_is_a_metric_of_every_point(tmp_path, learner, analysis, metrics):
    config, _ = asking(learner, analysis)
    pack = Pack([config, config], ["a", "b"])
    listener = Recorder()
    Trainer(pack, listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    assert len(listener.points) == 8
    assert all(set(point.metrics) >= metrics for point in listener.points)
    assert metrics <= set(METRICS)


@pytest.mark.slow
def test_the_values_are_those_of_the_validation_tasks():
    config, _ = asking("op_lstm", "update_similarity", "permutation_variance")
    pack = Pack([config], ["a"])
    tasks = TaskStream(config.benchmark, 7, split=Split.VALIDATION).tasks(0, 9)
    params = pack.params(pack.state.weights)
    found = pack.analyses()
    for name, wanted in update_similarity(pack.learner, params, tasks).items():
        torch.testing.assert_close(found[name], wanted.double(), rtol=1e-4, atol=1e-5)
    variance = permutation_variance(pack.learner, params, tasks, generator=torch.Generator().manual_seed(0))
    assert found["permutation/variance"].shape == variance.shape
    assert found["permutation/variance"].max() < 1e-9, "OP-LSTM does not see the order"


def test_update_similarity_is_of_op_lstm():
    config, problems = asking("lstm", "update_similarity")
    assert config is None
    assert problems.lines() == ["budget.analyses: update_similarity is an analysis of op_lstm, got lstm"]
