"""Map maths and windowing: contracts and properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidconcept.attention.maps import arrange_tokens, concept_scores, pool_subwords, reduce_layers
from vidconcept.temporal.choose import measure_shift
from vidconcept.temporal.windows import cut_windows


class TestMaps:
    def test_subwords_are_averaged_before_the_softmax(self):
        logits = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
        pooled = pool_subwords(logits, [2, 1])
        np.testing.assert_allclose(pooled[:, 0], (logits[:, 0] + logits[:, 1]) / 2)
        np.testing.assert_allclose(pooled[:, 1], logits[:, 2])
        np.testing.assert_allclose(pool_subwords(logits, [2, 1], "first")[:, 0], logits[:, 0])

    def test_wrong_counts(self):
        with pytest.raises(ValueError, match="do not add up"):
            pool_subwords(np.zeros((1, 3, 4)), [2, 2])

    def test_the_two_orders_differ_and_both_sum_to_one(self):
        logits = np.random.default_rng(0).normal(size=(5, 3, 7)) * 4
        results = [reduce_layers(logits, "softmax-mean"), reduce_layers(logits, "mean-softmax")]
        for scores in results:
            np.testing.assert_allclose(scores.sum(0), 1)
        assert np.abs(results[0] - results[1]).max() > 1e-3

    def test_tokens_are_frame_row_col(self):
        logits = np.zeros((1, 2, 2 * 3 * 4), np.float32)
        logits[0, 0, 1 * 12 + 2 * 4 + 3] = 50
        scores = arrange_tokens(concept_scores([logits], "softmax-mean"), (2, 3, 4))
        assert scores.shape == (2, 2, 3, 4)
        assert scores[0, 1, 2, 3] == 1.0
        assert np.count_nonzero(scores[0] > 0.6) == 1


def frames(count: int) -> list[np.ndarray]:
    return [np.full((2, 2, 3), i % 256, np.uint8) for i in range(count)]


class TestWindows:
    def test_one_frame_each_carries_the_motion_from_the_one_before(self):
        texture = np.random.default_rng(0).integers(0, 256, (64, 200, 3), np.uint8)
        windows = list(cut_windows([texture[:, 3 * k : 3 * k + 96] for k in range(4)], length=1, overlap=1, step=1))
        assert [(w.index, w.start, w.real_frames) for w in windows] == [(k, k, 1) for k in range(4)]
        assert [position for w in windows for position, _ in w.motions] == [1, 2, 3]
        for window in windows[1:]:
            ((_, motion),) = window.motions
            assert measure_shift(motion) == pytest.approx((-3 / 96, 0), abs=0.01)

    @given(
        count=st.integers(0, 120), steps=st.integers(1, 6), shared=st.integers(0, 5), step=st.sampled_from([1, 4, 8])
    )
    def test_every_frame_once_or_more_on_the_latent_grid(self, count, steps, shared, step):
        length, overlap = 1 + steps * step, 1 + min(shared, steps - 1) * step
        windows = list(cut_windows(frames(count), length=length, overlap=overlap, step=step))
        assert [w.index for w in windows] == list(range(len(windows)))
        covered = set()
        for window in windows:
            assert window.start % step == 0
            assert len(window.frames) % step == 1 % step
            assert len(window.frames) <= length
            assert len(window.frames) - window.real_frames < step
            for offset in range(window.real_frames):
                assert window.frames[offset, 0, 0, 0] == window.start + offset
            covered |= set(range(window.start, window.start + window.real_frames))
            first, last = window.positions[0], window.positions[-1]
            assert tuple(first) == (window.start, window.start)
            assert last[1] == window.start + len(window.frames) - 1
        assert covered == set(range(count))

    def test_padding_repeats_the_last_frame(self):
        (window,) = cut_windows(frames(3), length=9, overlap=1, step=4)
        assert window.real_frames == 3
        assert window.frames[:, 0, 0, 0].tolist() == [0, 1, 2, 2, 2]
        assert window.positions.tolist() == [[0, 0], [1, 4]]

    @pytest.mark.parametrize(("length", "overlap"), [(8, 1), (9, 2), (9, 9), (9, 0), (1, 1)])
    def test_lengths_that_do_not_fit(self, length, overlap):
        with pytest.raises(ValueError, match="frames"):
            list(cut_windows(frames(20), length=length, overlap=overlap, step=4))
