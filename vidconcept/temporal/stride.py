"""Frames that the model did not see, between two that it saw or after the last, for videos read with a stride."""

import cv2
import numpy as np

from vidconcept.temporal.sampling import sample
from vidconcept.types import FrameScores


def interpolate_scores(a: FrameScores, b: FrameScores, fraction: float) -> np.ndarray:
    """Scores `(concept, h, w)` of a frame that the model did not see, `fraction` of the way from `a` to `b`.

    Both neighbours are moved along `b.flow` by their share of the way and mixed; across a scene cut, or without flow,
    the nearer one is taken as it is.
    """
    if b.reset or b.flow is None:
        return (a if fraction < 0.5 else b).scores
    here, flow = _lay_out(b)
    out = np.zeros_like(b.scores, np.float32)
    for concept in range(len(out)):
        early = sample(a.scores[concept], here - fraction * flow)
        late = sample(b.scores[concept], here + (1.0 - fraction) * flow)
        out[concept] = (1.0 - fraction) * early + fraction * late
    return out


def extrapolate_scores(last: FrameScores, fraction: float) -> np.ndarray:
    """Scores `(concept, h, w)` of a frame after the last one that the model saw, `fraction` of a step later.

    All moves on as it did in the step before; after a scene cut, or without flow, scores are taken as they are.
    """
    if last.reset or last.flow is None:
        return last.scores
    here, flow = _lay_out(last)
    return np.stack([sample(scores, here - fraction * flow) for scores in last.scores]).astype(np.float32)


def _lay_out(scores: FrameScores) -> tuple[np.ndarray, np.ndarray]:
    """Place (x, y) of each pixel, and the flow into it, `(h, w, 2)` each."""
    _, h, w = scores.scores.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    assert scores.flow is not None
    return np.stack([x, y], axis=-1), cv2.resize(scores.flow, (w, h), interpolation=cv2.INTER_LINEAR)
