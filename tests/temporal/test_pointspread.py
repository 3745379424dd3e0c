"""The point spread of a model is found from maps whose truth is known."""

import cv2
import numpy as np
import pytest

from vidconcept.temporal.pointspread import estimate_spread


@pytest.mark.parametrize("sigma", [0.0, 0.6, 1.0, 1.5])
def test_the_spread_is_found_through_gain_offset_and_noise(sigma):
    rng = np.random.default_rng(0)
    area = np.zeros((20, 16, 24))
    for k in range(20):
        row, col = rng.integers(2, 14), rng.integers(2, 22)
        area[k, row - 1 : row + 1, col - 2 : col + 2] = rng.random((2, 4))
    seen = np.stack([cv2.GaussianBlur(a, (0, 0), sigma) for a in area]) if sigma else area
    scores = 0.1 + 0.6 * seen + rng.normal(0, 0.01, area.shape)
    assert estimate_spread(scores, area) == pytest.approx(sigma, abs=0.15)


def test_an_empty_truth_says_nothing():
    with pytest.raises(ValueError, match="not empty"):
        estimate_spread(np.ones((1, 4, 4)), np.zeros((1, 4, 4)))
