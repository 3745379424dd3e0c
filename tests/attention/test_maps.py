import numpy as np
import pytest

from vidconcept.attention.maps import support_tokens


class TestSupport:
    def test_what_lies_beside_a_sure_token_scores_more_and_no_peak_changes(self):
        scores = np.zeros((2, 1, 7, 9), np.float32)
        scores[0, 0, 3, 4] = 0.9
        supported = support_tokens(scores, 0.5)
        assert supported.dtype == np.float32
        assert (supported >= scores).all()
        assert supported.max() == scores.max()
        # A Gaussian of half a token: exp(-2) beside its middle, of 1 + 2 exp(-2) + 2 exp(-8) in all.
        total = 1 + 2 * np.exp(-2) + 2 * np.exp(-8)
        assert supported[0, 0, 3, 5] == pytest.approx(0.9 * np.exp(-2) / total**2, rel=1e-3)
        assert not supported[1].any()

    def test_an_even_map_stays_even_to_its_border(self):
        even = np.full((1, 5, 6), 0.4, np.float32)
        assert support_tokens(even, 1.5) == pytest.approx(even, abs=1e-6)

    def test_off_is_off(self):
        scores = np.random.default_rng(0).random((1, 5, 6), np.float32)
        assert support_tokens(scores, 0.0) is scores
