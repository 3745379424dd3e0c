import numpy as np
import pytest

from vidconcept.attention.maps import join_scales, support_tokens


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


class TestScales:
    """Scores of a fine reading, 8x12 tokens, and of a coarse one, 4x6."""

    def test_where_both_say_the_same_it_stays(self):
        even = np.full((2, 1, 8, 12), 0.4, np.float32)
        joined = join_scales(even, even[..., ::2, ::2])
        assert joined.dtype == np.float32
        assert joined == pytest.approx(even, abs=1e-6)

    def test_what_is_broad_gets_the_mean_of_both(self):
        fine = np.full((1, 1, 8, 12), 0.8, np.float32)
        assert join_scales(fine, np.full((1, 1, 4, 6), 0.2, np.float32)) == pytest.approx(0.5, abs=1e-6)

    def test_a_single_token_that_the_coarse_reading_cannot_see_keeps_nearly_all(self):
        fine = np.zeros((1, 1, 8, 12), np.float32)
        fine[0, 0, 4, 6] = 0.9
        joined = join_scales(fine, np.zeros((1, 1, 4, 6), np.float32))
        # Half of a 25th is what the tokens around it allow.
        assert joined[0, 0, 4, 6] == pytest.approx(0.9 * (1 - 0.5 / 25))

    def test_what_only_the_coarse_reading_sees_is_worth_half(self):
        fine = np.full((1, 2, 8, 12), 0.01, np.float32)
        joined = join_scales(fine, np.full((1, 2, 4, 6), 0.9, np.float32))
        assert joined == pytest.approx((0.01 + 0.9) / 2, abs=1e-6)
