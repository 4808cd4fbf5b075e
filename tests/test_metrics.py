"""Metrics against cases worked out by hand."""

import numpy as np
import pytest

from histalk_blender.training.metrics import closures, fdd, lve, vertex_error


def test_lve_is_the_mean_of_the_largest_squared_lip_error():
    truth = np.zeros((2, 3, 3))
    predicted = truth.copy()
    predicted[0, 1] = [3, 4, 0]
    predicted[1, 0] = [1, 0, 0]
    predicted[1, 2] = [100, 0, 0]
    assert lve(truth, predicted, np.array([0, 1])) == pytest.approx((25 + 1) / 2)
    assert vertex_error(truth, predicted) == pytest.approx((5 + 1 + 100) / 6)


def test_fdd_is_signed():
    truth = np.zeros((2, 1, 3))
    truth[1, 0, 0] = 2.0
    still = np.zeros_like(truth)
    assert fdd(truth, still, np.array([0])) == pytest.approx(2.0)
    assert fdd(still, truth, np.array([0])) == pytest.approx(-2.0)


def test_closures_are_counted_as_stated():
    opening = np.full(60, 0.01)
    opening[30] = 0.0  # 1.0 s
    opening[45] = 0.0  # 1.5 s, in a vowel
    phones = [["SIL", 0, 0.2], ["AA", 0.2, 1.02], ["P", 1.02, 1.1], ["AA", 1.1, 1.8], ["M", 1.8, 2.0]]
    assert closures(opening, phones) == (1, 2, 1, 2)
    opening[45] = 0.01
    opening[2:4] = 0.0  # in silence: no stretch
    assert closures(opening, phones) == (1, 2, 1, 1)
