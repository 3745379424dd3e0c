"""Stitching: windows of maps become one stream without seams, however the stream was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidconcept.temporal.stitch import stitch
from vidconcept.temporal.windows import cut_windows
from vidconcept.types import ConceptMaps


def windows_of(latents: np.ndarray, frames: int, length: int, overlap: int, step: int) -> list[ConceptMaps]:
    """Cut a stream whose latent step k has the maps `latents[k]` `(concept, row, col)` into windows."""
    dummy = (np.zeros((1, 1, 3), np.uint8) for _ in range(frames))
    out = []
    for window in cut_windows(dummy, length=length, overlap=overlap, step=step):
        scores = np.stack([latents[-(-last // step)] for _, last in window.positions], axis=1).astype(np.float32)
        out.append(ConceptMaps(window.index, window.positions, step, window.real_frames, scores))
    return out


@given(
    frames=st.integers(1, 60),
    step=st.sampled_from([4, 8]),
    steps=st.integers(1, 6),
    overlap_steps=st.integers(0, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_the_result_does_not_depend_on_the_cut(frames, step, steps, overlap_steps, seed):
    latents = np.random.default_rng(seed).random((frames // step + 10, 2, 2, 3)).astype(np.float32)
    overlap = 1 + step * min(overlap_steps, steps - 1)
    stitched = list(stitch(windows_of(latents, frames, 1 + step * steps, overlap, step)))
    assert [m.origin.latent_index for m in stitched] == list(range(1 + -(-(frames - 1) // step)))
    assert [m.first for m in stitched] == [0, *range(1, frames, step)]
    assert stitched[-1].last == frames - 1
    for maps in stitched:
        np.testing.assert_allclose(maps.scores, latents[maps.origin.latent_index], atol=1e-6)


def test_windows_that_disagree_fade_into_each_other():
    latents = np.ones((30, 1, 1, 1), np.float32)
    windows = windows_of(latents, 81, 49, 17, 4)
    windows = [
        ConceptMaps(w.window_index, w.positions, w.step, w.real_frames, w.scores * np.float32(0.5 + 0.25 * k))
        for k, w in enumerate(windows)
    ]
    values = np.array([float(m.scores[0, 0, 0]) for m in stitch(windows)])
    assert (np.diff(values) >= -1e-6).all()
    assert np.diff(values).max() < 0.12  # an unblended seam would jump by 0.25


def test_the_single_frame_step_of_a_later_window_counts_little():
    latents = np.zeros((30, 1, 1, 1), np.float32)
    first, second = windows_of(latents, 33, 21, 9, 4)[:2]
    loud = second.scores.copy()
    loud[:, 0] = 1.0
    second = ConceptMaps(second.window_index, second.positions, 4, second.real_frames, loud)
    at = int(second.positions[0, 1]) // 4
    assert float(list(stitch([first, second]))[at].scores[0, 0, 0]) < 0.05


def test_one_window_is_held():
    pulled = []

    def watched():
        for window in windows_of(np.zeros((40, 1, 1, 1), np.float32), 120, 17, 5, 4):
            pulled.append(window.window_index)
            yield window

    stream = stitch(watched())
    assert next(stream).origin.latent_index == 0
    assert len(pulled) == 2


def test_windows_out_of_order_and_of_other_grids_are_refused():
    windows = windows_of(np.zeros((40, 1, 2, 2), np.float32), 60, 17, 5, 4)
    with pytest.raises(ValueError, match="rising multiples"):
        list(stitch(windows[::-1]))
    other = ConceptMaps(1, windows[1].positions, 4, 17, np.zeros((1, 5, 3, 3), np.float32))
    with pytest.raises(ValueError, match="one map grid"):
        list(stitch([windows[0], other]))
