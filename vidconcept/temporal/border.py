"""What a standing camera sees at the border of the picture goes before what was seen of it from elsewhere.

A place at the border is known best from views in which it lay farther inside. But what has left the picture is no
longer there: where the surface stands, a look at that very view says so.
"""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from vidconcept.temporal.carry import Carry
from vidconcept.temporal.pooling import BORDER_TOKENS
from vidconcept.temporal.sampling import grid_points
from vidconcept.temporal.stream import Step

# Frames that lie closer together than this, in tokens, are the same view.
SAME_VIEW_TOKENS = 0.25


def limit_border(
    steps: Sequence[Step], position: int, carry_at: Mapping[int, Carry], size: tuple[int, int]
) -> np.ndarray | None:
    """The most that a frame may score, `(concept, h, w)`, 1 but near its border; None where the surface moves.

    steps: seen ones nearby, in order. Its own latent step, or those before and after it, tell where they are of the
    same view: within a token of a place at the border nothing scores higher than they do.
    """
    before = [step for step in steps if step.maps.first <= position]
    after = [step for step in steps if step.maps.last >= position]
    looks = [step for step in (*before[-1:], *after[:1]) if _is_same_view(step, position, carry_at)]
    if not looks or not len(looks[0].maps.scores):
        return None
    tokens = np.maximum.reduce([step.maps.scores for step in looks])
    _, rows, cols = tokens.shape
    height, width = size
    y, x = np.mgrid[:rows, :cols]
    near = np.minimum(np.minimum(y, rows - 1 - y), np.minimum(x, cols - 1 - x)) < BORDER_TOKENS
    around = np.ones((3, 3), np.uint8)
    limits = [np.where(near, cv2.dilate(np.ascontiguousarray(own), around), np.float32(1)) for own in tokens]
    return np.stack([cv2.resize(own, (width, height), interpolation=cv2.INTER_LINEAR) for own in limits])


def _is_same_view(step: Step, position: int, carry_at: Mapping[int, Carry]) -> bool:
    """Whether all frames of a step show what a frame shows, where it does."""
    span = range(step.maps.first, step.maps.last + 1)
    if any(frame not in carry_at for frame in (position, *span)):
        return False
    _, rows, cols = step.maps.scores.shape
    points = grid_points(4, 6)
    here = carry_at[position].points(points)
    away = [np.abs(carry_at[frame].points(points) - here) * (cols, rows) for frame in span]
    return float(np.median(away, axis=(1, 2)).max()) < SAME_VIEW_TOKENS
