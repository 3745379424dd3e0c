"""A tight edge narrows the masks that are shown, and changes nothing about which pieces there are and how they link."""

import numpy as np

from vidconcept.pipelines.findings import FrameRef
from vidconcept.tracks.decision import Decision
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.tracks.masks import MaskSettings, decide
from vidconcept.types import Origin, Region


def test_a_tight_edge_narrows_the_mask_and_breaks_no_piece():
    along = 0.65 + 0.25 * np.cos(np.arange(80) * (2 * np.pi / 40))  # a scratch of uneven strength, 0.4 to 0.9
    across = np.clip(1 - np.abs(np.arange(60) - 30) / 10, 0, 1)
    scores = (across[:, None] * along)[None].astype(np.float32)
    usual = Decision(("scratch",), MaskSettings(0.5, 0.55, 0.15)).decide(scores)
    tight = Decision(("scratch",), MaskSettings(0.5, 0.8, 0.15)).decide(scores)
    assert np.array_equal(usual.pieces, tight.pieces)
    assert np.array_equal(usual.reaches, tight.reaches)
    assert np.array_equal(usual.shown, usual.pieces)
    assert not (tight.shown & ~tight.pieces).any()
    assert tight.shown[0, :, 40].sum() < 0.6 * usual.shown[0, :, 40].sum()
    # As `decide` has it at that ratio, wherever that keeps the piece.
    alone = decide(scores[0], settings=MaskSettings(0.5, 0.8, 0.15))
    assert np.array_equal(alone, tight.shown[0] & alone)
    linker = Linker(["scratch"], Region(0, 0, 80, 60), (80, 60), LinkSettings(min_area_px=16, min_duration_s=0.12))
    row = linker.step(FrameRef(0, 0, 0.0), tight.pieces, scores, None, Origin(0, 0), shown=tight.shown)
    assert [r.area_px for r in row] == [int(tight.shown.sum())]
    assert abs(row[0].score_mean - scores[tight.shown].mean()) < 1e-6


def test_a_stronger_neighbour_does_not_wear_a_piece_away():
    y, x = np.mgrid[:256, :144].astype(np.float32)
    blob = lambda peak, at: peak * np.exp(-((x - 70) ** 2 + (y - at) ** 2) / (2 * 6.0**2))  # noqa: E731
    areas = []
    for peak in (0.7, 0.75, 0.77, 0.78, 0.8, 0.9):
        scores = np.maximum(blob(0.97, 40), blob(peak, 64))[None]
        decided = Decision(("scratch",), MaskSettings(0.5, 0.8, 0.15, reach_frac=0.2)).decide(scores)
        assert not (decided.shown & ~decided.pieces).any()
        areas.append(int(decided.shown[0, 56:].sum()))
    # A mask is that of the defect's own score, whatever the score: between the two it may be cut, never lost.
    assert min(areas) > 30
    assert max(areas) < 1.4 * min(areas)


def test_the_floor_does_not_wear_a_weak_piece_away():
    y, x = np.mgrid[:60, :80].astype(np.float32)
    shape = np.exp(-((x - 40) ** 2 + (y - 30) ** 2) / (2 * 6.0**2))
    areas = []
    for peak in (0.11, 0.119, 0.121, 0.125, 0.15):
        decided = Decision(("scratch",), MaskSettings(0.1, 0.8, 0.15)).decide((peak * shape)[None])
        areas.append(int(decided.shown.sum()))
    assert areas[0] > 30
    assert len(set(areas)) == 1


def test_the_least_area_is_that_of_the_mask():
    pieces, shown = np.zeros((1, 60, 80), bool), np.zeros((1, 60, 80), bool)
    pieces[0, 10:20, 10:20] = pieces[0, 40:50, 60:70] = True
    shown[0, 12:18, 12:18] = shown[0, 41:49, 61:69] = True
    linker = Linker(["scratch"], Region(0, 0, 80, 60), (80, 60), LinkSettings(min_area_px=50, min_duration_s=0.12))
    rows = linker.step(FrameRef(0, 0, 0.0), pieces, pieces * np.float32(0.9), None, Origin(0, 0), shown=shown)
    assert [r.area_px for r in rows] == [64]


def test_portrait_footage_is_decided_as_landscape_is():
    y, x = np.mgrid[:144, :256].astype(np.float32)
    blob = lambda peak, at: peak * np.exp(-((x - at) ** 2 + (y - 70) ** 2) / (2 * 5.0**2))  # noqa: E731
    scores = np.maximum(blob(0.9, 100), blob(0.45, 118))
    settings = MaskSettings(0.3, 0.55, 0.15)
    lying, standing = decide(scores, settings=settings), decide(scores.T, settings=settings)
    assert lying.sum() > 150
    # But for how the maximum nearby is interpolated. With a reach by the height it was 55 pixels.
    assert np.count_nonzero(standing != lying.T) < 10
