"""The decision: scores become masks against the local maximum, with a floor and a peak gate."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidconcept.live.setup import plan_live, settle_live
from vidconcept.pipelines.findings import make_decision
from vidconcept.tracks.masks import MaskSettings, decide, find_local_maximum

PLAIN = MaskSettings(threshold=0.2, ratio=0.5, floor=0.2, reach_frac=0.1, min_area_px=4)


def bump(peak: float, x: int, y: int, sigma: float = 6.0, size=(128, 192)) -> np.ndarray:
    rows, cols = np.mgrid[: size[0], : size[1]]
    return (peak * np.exp(-((rows - y) ** 2 + (cols - x) ** 2) / (2 * sigma**2))).astype(np.float32)


@pytest.mark.parametrize(("width", "min_area_px", "smallest"), [(640, 12, 4), (1280, 12, 3), (3840, 12, 0)])
def test_what_the_linker_takes_is_no_noise(width, min_area_px, smallest):
    """On large footage twelve pixels of the source are fewer than four cells of the working grid."""
    plan = plan_live(settle_live({"concepts": ["dent"], "min_area_px": min_area_px}, None), width, width * 9 // 16)
    masks = make_decision(plan).masks
    assert masks.min_area_px == smallest
    spot = np.zeros((64, 64), np.float32)
    spot[30, 30:32] = 0.9
    assert decide(spot, settings=masks).any() == (smallest <= 2)


def test_weak_and_strong_defects_get_masks_of_one_width():
    scores = bump(0.9, 40, 64) + bump(0.25, 150, 64)
    mask = decide(scores, settings=PLAIN)
    strong, weak = mask[:, :96].sum(), mask[:, 96:].sum()
    assert weak == pytest.approx(strong, rel=0.15)


def test_the_floor_keeps_noise_down_and_the_gate_drops_what_has_no_peak():
    assert not decide(bump(0.15, 96, 64), settings=PLAIN).any()
    assert not decide(bump(0.19, 96, 64), settings=PLAIN).any()
    assert decide(bump(0.25, 96, 64), settings=PLAIN).any()


def test_hysteresis_keeps_the_weak_end_of_a_piece_with_a_peak():
    scores = np.zeros((64, 96), np.float32)
    scores[30:34, 10:80] = np.linspace(0.5, 0.12, 70)
    mask = decide(scores, settings=PLAIN)
    assert mask[32, 10:70].all()
    assert scores[32, 69] < PLAIN.threshold


def test_small_specks_are_dropped():
    scores = np.zeros((64, 96), np.float32)
    scores[10, 10:13] = 0.9
    scores[40:42, 40:42] = 0.9
    mask = decide(scores, settings=PLAIN)
    assert not mask[10].any()
    assert mask[40:42, 40:42].all()


def test_concepts_are_decided_one_by_one():
    stack = np.stack([bump(0.9, 40, 64), bump(0.3, 150, 64), np.zeros((128, 192), np.float32)])
    masks = decide(stack, settings=PLAIN)
    for one, scores in zip(masks, stack, strict=True):
        np.testing.assert_array_equal(one, decide(scores, settings=PLAIN))
    assert decide(np.zeros((0, 8, 8), np.float32), settings=PLAIN).shape == (0, 8, 8)


@given(seed=st.integers(0, 500), h=st.integers(1, 40), w=st.integers(1, 40), threshold=st.floats(0.05, 0.95))
@settings(max_examples=60, deadline=None)
def test_every_piece_holds_its_promises(seed, h, w, threshold):
    rng = np.random.default_rng(seed)
    scores = cv2.GaussianBlur(rng.random((h, w)).astype(np.float32), (0, 0), 1.5)
    chosen = MaskSettings(threshold=threshold, ratio=0.6, floor=0.3, reach_frac=0.2, min_area_px=3)
    mask = decide(scores, settings=chosen)
    assert mask.dtype == bool
    assert mask.shape == scores.shape
    assert (scores[mask] > 0.6 * 0.3).all()
    count, labels = cv2.connectedComponents(mask.astype(np.uint8))
    for label in range(1, count):
        assert scores[labels == label].max() >= threshold
        assert (labels == label).sum() >= 3


@given(seed=st.integers(0, 50))
@settings(max_examples=20, deadline=None)
def test_the_local_maximum_is_never_below_the_score(seed):
    scores = np.random.default_rng(seed).random((37, 53)).astype(np.float32)
    assert (find_local_maximum(scores, 9) >= scores).all()


def test_impossible_settings_are_refused():
    with pytest.raises(ValueError, match="ratio"):
        MaskSettings(threshold=0.2, ratio=1.5, floor=0.15)
