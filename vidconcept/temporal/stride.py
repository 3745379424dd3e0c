"""Frames that the model did not see: between two that it saw, for videos read with a stride."""

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
    concepts, h, w = b.scores.shape
    flow = cv2.resize(b.flow, (w, h), interpolation=cv2.INTER_LINEAR)  # (h, w, 2)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    here = np.stack([x, y], axis=-1)
    out = np.zeros((concepts, h, w), np.float32)
    for concept in range(concepts):
        early = sample(a.scores[concept], here - fraction * flow)
        late = sample(b.scores[concept], here + (1.0 - fraction) * flow)
        out[concept] = (1.0 - fraction) * early + fraction * late
    return out
