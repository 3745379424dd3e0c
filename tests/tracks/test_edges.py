"""Masks end where the picture says: at a step of contrast to the pixel, nowhere else, and never far from the piece."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidconcept.models.edges import load_edge_net
from vidconcept.pipelines.waiting import FrameRef
from vidconcept.tracks import rle
from vidconcept.tracks.components import Component, components
from vidconcept.tracks.edges import EdgeFinder, EdgeSettings, estimate_iou, remove_specks
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.types import Origin, Region

SIZE = (128, 192)
Y, X = np.mgrid[: SIZE[0], : SIZE[1]]
DISC = (X - 90) ** 2 + (Y - 60) ** 2 <= 9**2
BAR = (abs(Y - 60 - 0.3 * (X - 90)) <= 2) & (abs(X - 90) <= 30)
PORE = (abs(X - 90) <= 1) & (abs(Y - 60) <= 1)
CORNER = (SIZE[1] - 12 <= X) & (SIZE[0] - 10 <= Y)


def picture_of(defect: np.ndarray, contrast: float = 45, noise: float = 3, seed: int = 0) -> np.ndarray:
    """A noisy grey surface with a defect that is darker (or, with negative contrast, brighter)."""
    grey = 120 - contrast * defect + np.random.default_rng(seed).normal(0, noise, defect.shape)
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def scores_of(defect: np.ndarray) -> np.ndarray:
    """What a map with tokens of 8 px makes of a defect: touched cells, smooth."""
    h, w = defect.shape
    touched = defect.reshape(h // 8, 8, w // 8, 8).any((1, 3)).astype(np.float32)
    return cv2.GaussianBlur(np.repeat(np.repeat(touched, 8, 0), 8, 1), (0, 0), 4)


def piece_of(scores: np.ndarray) -> tuple[Component, np.ndarray]:
    mask = scores > 0.5 * scores.max()
    return components(mask, 0)[0], mask


def mask_of(piece: Component, shape: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[piece.points[:, 1], piece.points[:, 0]] = True
    return mask


def refined(picture: np.ndarray, defect: np.ndarray) -> np.ndarray | None:
    finder = EdgeFinder(load_edge_net())
    finder.begin_frame(picture, None)
    scores = scores_of(defect)
    found = finder.refine(1, *piece_and_scores(scores))
    return None if found is None else mask_of(found, defect.shape)


def piece_and_scores(scores: np.ndarray) -> tuple[Component, np.ndarray, np.ndarray]:
    piece, mask = piece_of(scores)
    return piece, scores, mask


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    return np.count_nonzero(one & two) / np.count_nonzero(one | two)


@pytest.mark.parametrize("contrast", [45, -45, 25])
@pytest.mark.parametrize("defect", [DISC, BAR, CORNER], ids=["disc", "bar", "corner"])
def test_a_step_of_contrast_is_found_to_a_pixel(defect: np.ndarray, contrast: float):
    found = refined(picture_of(defect, contrast), defect)
    assert found is not None
    three = np.ones((3, 3), np.uint8)
    grown, core = cv2.dilate(defect.astype(np.uint8), three) > 0, cv2.erode(defect.astype(np.uint8), three) > 0
    assert np.count_nonzero(found & ~grown) <= 0.02 * np.count_nonzero(defect)
    assert np.count_nonzero(core & ~found) <= 0.02 * np.count_nonzero(core)
    # The coarse mask, to compare.
    piece = piece_of(scores_of(defect))[0]
    assert overlap(found, defect) > overlap(mask_of(piece), defect) + 0.1


def test_a_pore_of_three_pixels_stays_a_pore():
    found = refined(picture_of(PORE, 60, 2), PORE)
    assert found is not None
    assert (found & PORE).any()
    assert found.sum() <= 3 * PORE.sum()


def test_nothing_to_see_leaves_the_piece_as_it_is():
    assert refined(np.full((*SIZE, 3), 120, np.uint8), DISC) is None
    assert refined(picture_of(DISC, contrast=0, noise=8), DISC) is None


def test_a_large_picture_is_refined_on_its_own_pixels():
    defect, picture = (np.repeat(np.repeat(a, 5, 0), 5, 1) for a in (DISC, picture_of(DISC)))
    finder = EdgeFinder(load_edge_net())
    finder.begin_frame(picture, None)
    scores = cv2.resize(scores_of(DISC), defect.shape[::-1], interpolation=cv2.INTER_LINEAR)
    found = finder.refine(1, *piece_and_scores(scores))
    assert found is not None
    assert overlap(mask_of(found, defect.shape), defect) > 0.8


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_refined_piece_lies_near_the_coarse_one_and_is_not_empty(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    h, w = data.draw(st.sampled_from([(16, 24), (40, 40), (96, 48), (400, 64)]))
    blobs = cv2.GaussianBlur(rng.random((h, w)).astype(np.float32), (0, 0), data.draw(st.floats(0.8, 4)))
    scores = (blobs - blobs.min()) / np.ptp(blobs)
    pieces = scores > data.draw(st.floats(0.5, 0.95))
    picture = rng.integers(0, 256, (h, w, 3)).astype(np.uint8)
    smooth_px = data.draw(st.floats(0.1, 5))
    finder = EdgeFinder(load_edge_net(), EdgeSettings(sure=0, contrast=0, margin=0))
    finder.begin_frame(cv2.GaussianBlur(picture, (0, 0), smooth_px), None)
    for number, piece in enumerate(components(pieces, 0)):
        found = finder.refine(number, piece, scores, pieces)
        if found is None:
            continue
        mask, coarse = mask_of(found, (h, w)), mask_of(piece, (h, w))
        assert found.area == mask.sum() > 0
        reach_px = round(EdgeSettings().reach_px * max(1.0, min(h, w) / 384, (h * w) ** 0.5 / 96)) + 1
        assert not (mask & (cv2.dilate(coarse.astype(np.uint8), np.ones((2 * reach_px + 1,) * 2, np.uint8)) == 0)).any()
        # What is another piece's stays so.
        assert not (mask & pieces & ~coarse).any()


def test_the_mask_is_steady_along_a_moving_track():
    finder, areas, alone = EdgeFinder(load_edge_net()), [], []
    for t in range(12):
        defect = (X - 60 - 4 * t) ** 2 + (Y - 60) ** 2 <= 8**2
        picture = picture_of(defect, 22, 9, seed=t)
        flow = None if t == 0 else np.full((16, 24, 2), (4.0, 0.0), np.float32)
        finder.begin_frame(picture, flow)
        found = finder.refine(1, *piece_and_scores(scores_of(defect)))
        single = refined(picture, defect)
        assert found is not None
        areas.append(overlap(mask_of(found), defect))
        alone.append(0.0 if single is None else overlap(single, defect))
    # Noise averages out along the track, and what moved is where it is now.
    assert np.mean(areas[4:]) >= np.mean(alone[4:])
    assert np.std(areas[4:]) <= np.std(alone[4:]) + 0.01
    assert min(areas[4:]) > 0.6


def test_a_cut_ends_what_is_remembered():
    first, then = picture_of(DISC), picture_of(np.roll(DISC, 5, axis=1))
    scores = scores_of(DISC)
    remembering, fresh = (EdgeFinder(load_edge_net()) for _ in range(2))
    remembering.begin_frame(first, None)
    remembering.refine(1, *piece_and_scores(scores))
    flow = np.zeros((16, 24, 2), np.float32)
    remembering.begin_frame(then, flow, reset=True)
    fresh.begin_frame(then, None)
    one, two = (finder.refine(1, *piece_and_scores(scores)) for finder in (remembering, fresh))
    assert one is not None
    assert two is not None
    assert np.array_equal(one.points, two.points)


def test_which_tracks_there_are_and_their_scores_do_not_depend_on_edges():
    scores = scores_of(BAR)[None]
    masks = scores > 0.5 * scores.max()
    rows = {}
    for name, edges in (("pixel", EdgeFinder(load_edge_net())), ("coarse", None)):
        linker = Linker(["scratch"], Region(0, 0, *SIZE[::-1]), SIZE[::-1], LinkSettings(16, 0.12), edges)
        rows[name] = linker.step(FrameRef(0, 0, 0.0), masks, scores, None, Origin(0, 0), picture=picture_of(BAR))
    pixel, coarse = rows["pixel"][0], rows["coarse"][0]
    assert (pixel.edges, coarse.edges) == ("pixel", "coarse")
    same = ("tracker_id", "score_mean", "score_max", "confidence")
    assert [getattr(pixel, name) for name in same] == [getattr(coarse, name) for name in same]
    assert pixel.area_px < 0.7 * coarse.area_px
    mask = rle.decode(pixel.rle, SIZE[::-1])
    assert mask.sum() == pixel.area_px
    assert overlap(mask, BAR) > overlap(rle.decode(coarse.rle, SIZE[::-1]), BAR)


def test_without_a_picture_masks_are_coarse():
    scores = scores_of(BAR)[None]
    linker = Linker(
        ["scratch"], Region(0, 0, *SIZE[::-1]), SIZE[::-1], LinkSettings(16, 0.12), EdgeFinder(load_edge_net())
    )
    row = linker.step(FrameRef(0, 0, 0.0), scores > 0.5 * scores.max(), scores, None, Origin(0, 0))[0]
    assert row.edges == "coarse"
    assert row.area_px == np.count_nonzero(scores > 0.5 * scores.max())


def test_expected_iou_is_that_of_independent_pixels():
    logits = np.array([4.0, 4.0, -4.0, 0.5])
    p = 1 / (1 + np.exp(-logits))
    assert estimate_iou(logits) == pytest.approx((p[0] + p[1] + p[3]) / (3 + p[2]))
    assert estimate_iou(np.full(9, -3.0)) == 0


def test_specks_go_and_fragments_stay():
    mask = np.zeros((40, 60), bool)
    mask[5:15, 5:25] = mask[20:24, 5:15] = mask[30, 50] = True
    kept = remove_specks(mask)
    assert not kept[30, 50]
    assert np.array_equal(kept[:28], mask[:28])
