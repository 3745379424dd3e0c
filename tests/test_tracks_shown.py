"""A tight edge narrows the masks that are shown, and changes nothing about which pieces there are and how they link."""

import numpy as np

from vidconcept.pipelines.findings import FrameRef
from vidconcept.tracks.calibrated import decide_by_concept
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.tracks.masks import DecisionSettings, decide
from vidconcept.types import Region


def test_a_tight_edge_narrows_the_mask_and_breaks_no_piece():
    along = 0.65 + 0.25 * np.cos(np.arange(80) * (2 * np.pi / 40))  # a scratch of uneven strength, 0.4 to 0.9
    across = np.clip(1 - np.abs(np.arange(60) - 30) / 10, 0, 1)
    scores = (across[:, None] * along)[None].astype(np.float32)
    usual = decide_by_concept(scores, ("scratch",), DecisionSettings(0.5, 0.55), {}, {})
    tight = decide_by_concept(scores, ("scratch",), DecisionSettings(0.5, 0.8), {}, {})
    assert np.array_equal(usual.pieces, tight.pieces)
    assert np.array_equal(usual.reaches, tight.reaches)
    assert np.array_equal(usual.shown, usual.pieces)
    assert not (tight.shown & ~tight.pieces).any()
    assert tight.shown[0, :, 40].sum() < 0.6 * usual.shown[0, :, 40].sum()
    # As `decide` has it at that ratio, wherever that keeps the piece.
    alone = decide(scores[0], settings=DecisionSettings(0.5, 0.8))
    assert np.array_equal(alone, tight.shown[0] & alone)
    linker = Linker(["scratch"], Region(0, 0, 80, 60), (80, 60))
    row = linker.step(FrameRef(0, 0, 0.0), tight.pieces, scores, None, 0, 0, shown=tight.shown)
    assert [r.area_px for r in row] == [int(tight.shown.sum())]
    assert abs(row[0].score_mean - scores[tight.shown].mean()) < 1e-6


def test_a_piece_of_which_nothing_is_shown_is_shown_whole():
    pieces, shown = np.zeros((1, 60, 80), bool), np.zeros((1, 60, 80), bool)
    pieces[0, 10:20, 10:20] = pieces[0, 40:50, 60:70] = True
    shown[0, 12:18, 12:18] = True
    linker = Linker(["scratch"], Region(0, 0, 80, 60), (80, 60))
    rows = linker.step(FrameRef(0, 0, 0.0), pieces, pieces * np.float32(0.9), None, 0, 0, shown=shown)
    assert sorted(r.area_px for r in rows) == [36, 100]
    smaller = Linker(["scratch"], Region(0, 0, 80, 60), (80, 60), LinkSettings(min_area_px=50))
    rows = smaller.step(FrameRef(0, 0, 0.0), pieces, pieces * np.float32(0.9), None, 0, 0, shown=shown)
    assert [r.area_px for r in rows] == [100]
