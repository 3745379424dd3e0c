"""The decision with numbers of its own for each concept and place."""

import numpy as np

from vidconcept.tracks.decision import Decision
from vidconcept.tracks.masks import MaskSettings


def test_the_decision_uses_thresholds_and_lifts_of_their_concept():
    scores = np.zeros((2, 48, 64), np.float32)
    scores[:, 4:14, 4:14] = 0.45
    scores[:, 30:40, 40:50] = 0.45
    lifts = {"dent": [[0.3, 0.0], [0.0, 0.0]]}
    decided = Decision(("scratch", "dent"), MaskSettings(0.5, 0.5, 0.15), {"dent": 0.4}, lifts).decide(scores)
    masks = decided.pieces
    assert np.array_equal(masks, decided.reaches)
    assert np.array_equal(masks, decided.shown)
    assert not masks[0].any()
    assert not masks[1, :20, :20].any()
    assert masks[1, 30:40, 40:50].all()


def test_what_is_followed_is_told_from_what_reaches_the_threshold():
    scores = np.zeros((1, 48, 64), np.float32)
    scores[0, 4:14, 4:14], scores[0, 8, 8] = 0.4, 0.5
    scores[0, 30:40, 40:50], scores[0, 4:14, 40:50] = 0.31, 0.29
    decided = Decision(("dent",), MaskSettings(0.5, 0.5, 0.15), hysteresis=0.6).decide(scores)
    assert decided.pieces[0, 4:14, 4:14].all()
    assert decided.pieces[0, 30:40, 40:50].all()
    assert not decided.pieces[0, 4:14, 40:50].any()
    assert np.argwhere(decided.reaches).tolist() == [[0, 8, 8]]
