"""Defects painted on frames of real parts."""

import numpy as np
import pytest

from vidconcept.painting.good_frames import find_parts, paint_defects
from vidconcept.painting.kinds import CLASS_ID, CONCEPTS, DEFECT_IDS

HEIGHT, WIDTH = 128, 192


@pytest.fixture(scope="module")
def shares() -> np.ndarray:
    """Two parts with a gap between them."""
    shares = np.zeros((HEIGHT // 8, WIDTH // 8, len(CONCEPTS)), np.float32)
    shares[..., CLASS_ID["part"]] = 1
    shares[:, 11:13] = 0
    shares[:, 11:13, CLASS_ID["gap"]] = 1
    return shares


def test_parts_are_told_from_the_bed_and_their_edges_point_outward(shares):
    layout = find_parts(shares, HEIGHT, WIDTH)
    assert layout.count == 2
    assert layout.part[:, 96].max() == 0
    x, _, right, _ = layout.edges.T
    assert len(x)
    assert (np.abs(x - 96) < 20).all()
    assert (right[x < 96] > 0.9).all()
    assert (right[x > 96] < -0.9).all()


def test_a_picture_changes_where_its_truth_says_and_hardly_elsewhere(shares):
    layout, rng = find_parts(shares, HEIGHT, WIDTH), np.random.default_rng(3)
    frame = np.full((HEIGHT, WIDTH, 3), 140, np.uint8)
    shown = set()
    for _ in range(20):
        painted, classes = paint_defects(rng, frame, layout)
        is_defect = classes >= DEFECT_IDS[0]
        shown |= set(classes[is_defect].tolist())
        change = np.abs(painted.astype(int) - 140).max(-1)
        assert np.ptp(painted, axis=2).max() <= 1
        if is_defect.any():
            assert change[is_defect].mean() > 4 * change[~is_defect].mean()
    assert {CLASS_ID[name] for name in ("chip", "scratch")} <= shown


def test_without_parts_nothing_is_painted(shares):
    bed = np.zeros_like(shares)
    bed[..., CLASS_ID["conveyor"]] = 1
    frame = np.full((HEIGHT, WIDTH, 3), 140, np.uint8)
    painted, classes = paint_defects(np.random.default_rng(0), frame, find_parts(bed, HEIGHT, WIDTH))
    assert np.array_equal(painted, frame)
    assert (classes < DEFECT_IDS[0]).all()
