"""How many parameters a run has, counted without making one."""

import pytest
import torch

from oplstm.configuration import Problems, build
from oplstm.episodes.registry import BENCHMARKS
from oplstm.learners.registry import LEARNERS
from oplstm.limits import MOST_PARAMETERS
from oplstm.training.run_size import check_size, counted_parameters

SINE, IMAGES = BENCHMARKS["sine"](), BENCHMARKS["miniimagenet"]()


def configuration(learner, **values):
    problems = Problems()
    built = build(LEARNERS[learner].config_class, values, problems)
    assert built is not None, problems.lines()
    return built


@pytest.mark.parametrize(
    ("learner", "values", "benchmark"),
    [
        ("lstm", {"widths": [3, 5]}, SINE),
        ("lstm", {"widths": [7], "backbone": "conv4"}, IMAGES),
        ("op_lstm", {"base_widths": [4, 6], "cells": [3, 1], "gamma_learned": True}, SINE),
        ("op_lstm", {"base_widths": [], "backbone": "conv4", "output_bias": "shared"}, IMAGES),
        ("maml", {"base_widths": [4, 6], "batch_norm": True}, SINE),
        ("protonet", {"base_widths": [9], "backbone": "conv4"}, IMAGES),
    ],
)
def test_the_count_is_that_of_a_run_that_is_made(learner, values, benchmark):
    config = configuration(learner, **values)
    params = LEARNERS[learner](config, benchmark.shape).init(config, torch.Generator())
    assert counted_parameters(learner, config, benchmark) == sum(param.numel() for param in params.values())


@pytest.mark.parametrize("learner", ["warp_maml", "sap"])
def test_a_learner_without_widths_has_one_size(learner):
    assert counted_parameters(learner, configuration(learner), IMAGES) is None


def test_the_papers_largest_lstm_is_far_from_the_limit():
    config = configuration("lstm", widths=[1904, 1904], backbone="conv4")
    assert counted_parameters("lstm", config, IMAGES) == 55_879_349 < MOST_PARAMETERS / 3


@pytest.mark.parametrize(
    ("learner", "values", "place"),
    [
        ("lstm", {"widths": [100_000, 3]}, "widths"),
        ("op_lstm", {"base_widths": [100_000, 100_000]}, "base_widths"),
        ("op_lstm", {"base_widths": [3], "cells": [100_000, 1]}, "cells"),
        ("maml", {"base_widths": [100_000] * 100}, "base_widths"),
        ("protonet", {"base_widths": [100_000] * 100}, "base_widths"),
    ],
)
def test_too_many_are_said_of_the_widths_that_make_them(learner, values, place):
    problems = Problems()
    check_size(
        learner,
        configuration(learner, **values),
        benchmark=IMAGES if learner == "protonet" else SINE,
        problems=problems,
    )
    [line] = problems.lines()
    assert line.startswith(f"{place}: the run would have ") and line.endswith("and may have 200,000,000")
