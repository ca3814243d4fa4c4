"""Sine tasks: A ~ U[0.1, 5], p ~ U[0, pi], x ~ U[-5, 5], y = A sin(x - p)."""

import numpy as np
import pytest
from scipy import stats

from oplstm.configuration import Problems, build
from oplstm.episodes.sine import SineTasks
from oplstm.episodes.split import Split

COUNT = 4000


def sample(count=COUNT, seed=3, **options):
    return SineTasks(**options).sample(np.random.default_rng(seed), count, Split.TRAIN)


def amplitudes_and_shifts(x, y):
    """A and s of y = A sin(x + s), by least squares for each task."""
    found = []
    for x_i, y_i in zip(x[..., 0], y[..., 0], strict=True):
        (a, b), *_ = np.linalg.lstsq(np.stack([np.sin(x_i), np.cos(x_i)], 1), y_i, rcond=None)
        found.append((np.hypot(a, b), np.arctan2(b, a)))
    return np.array(found).T


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "sign"), [("minus", -1), ("plus", 1)])
def test_amplitude_phase_and_inputs_are_uniform(phase, sign):
    support_x, support_y, query_x, query_y = sample(shots=10, queries=10, phase=phase)
    amplitude, shift = amplitudes_and_shifts(query_x, query_y)
    p = sign * shift
    for values, low, high in [(amplitude, 0.1, 5), (p, 0, np.pi), (support_x, -5, 5), (query_x, -5, 5)]:
        values = values.ravel()[:COUNT]
        assert low - 1e-9 <= values.min() < values.max() <= high + 1e-9
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01
    assert abs(np.corrcoef(amplitude, p)[0, 1]) < 4 / np.sqrt(COUNT)
    expected = amplitude[:, None] * np.sin(support_x[..., 0] + sign * p[:, None])
    np.testing.assert_allclose(support_y[..., 0], expected, atol=1e-9)


def test_phase_is_minus_unless_asked():
    assert SineTasks().phase == "minus"
    assert build(SineTasks, {"convention": "authors"}, Problems()).phase == "plus"
    minus, plus = sample(5), sample(5, phase="plus")
    np.testing.assert_array_equal(minus[0], plus[0])
    assert not np.isclose(minus[1], plus[1]).any()


def test_support_and_query_inputs_are_drawn_apart():
    support_x, _, query_x, _ = sample(100, shots=50)
    assert len(np.intersect1d(support_x, query_x)) == 0


def test_shots_change_the_support_set_alone():
    five, twenty = sample(100, shots=5), sample(100, shots=20)
    for part in (2, 3):
        np.testing.assert_array_equal(five[part], twenty[part])
    assert (five[0].shape, twenty[0].shape) == ((100, 5, 1), (100, 20, 1))
    amplitude, shift = amplitudes_and_shifts(five[2], five[3])
    for x, y, *_ in (five, twenty):  # the support sets are of the same sines
        np.testing.assert_allclose(amplitude[:, None] * np.sin(x[..., 0] + shift[:, None]), y[..., 0], atol=1e-9)


def test_digest_is_of_the_definition():
    digests = {SineTasks(**o).digest() for o in ({}, {"shots": 5}, {"shots": 10}, {"queries": 9}, {"phase": "plus"})}
    assert len(digests) == 4


@pytest.mark.parametrize("values", [{"shots": 0}, {"queries": 0}, {"phase": "sideways"}])
def test_impossible_values_are_refused(values):
    problems = Problems()
    assert build(SineTasks, values, problems) is None
    assert [path for path, _ in problems.found] == [tuple(values)]
