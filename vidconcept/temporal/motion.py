"""The motion from one frame to the next, on any grid.

Coordinates: a `Motion` maps points of the later frame to the earlier one (`back`) and the reverse (`ahead`), in
normalised frame coordinates: x and y from 0 to 1 over width and height. So it serves every grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.temporal.sampling import lookup, transform


@dataclass(frozen=True, slots=True)
class Motion:
    """Motion between a frame and its predecessor.

    kind: still, translation, affine or dense. matrix: `(2, 3)` later → earlier, None for dense.
    back, ahead: `(h, w, 2)` dense displacements in normalised coordinates on the proxy grid (pixel centres), None
    unless dense. valid: `(h, w)` float32 in [0, 1] on the proxy grid, where `back` can be trusted; None: everywhere.
    residual: mean absolute band difference, grey levels (see `flow`). cut: nothing of the predecessor is left.
    """

    kind: str
    matrix: np.ndarray | None = None
    back: np.ndarray | None = field(default=None, repr=False)
    ahead: np.ndarray | None = field(default=None, repr=False)
    valid: np.ndarray | None = field(default=None, repr=False)
    residual: float = 0.0
    cut: bool = False

    def sources(self, points: np.ndarray) -> np.ndarray:
        """Where `points` `(rows, cols, 2)` of the later frame were in the earlier one; same shape, float32."""
        if self.matrix is not None:
            return transform(self.matrix, points)
        assert self.back is not None
        return points + lookup(self.back, points)

    def targets(self, points: np.ndarray) -> np.ndarray:
        """Where `points` `(rows, cols, 2)` of the earlier frame are in the later one; same shape, float32."""
        if self.matrix is not None:
            return transform(cv2.invertAffineTransform(self.matrix), points)
        assert self.ahead is not None
        return points + lookup(self.ahead, points)


STILL = Motion("still", matrix=np.eye(2, 3))
KINDS = ("still", "translation", "affine")


def pack_motions(motions: Sequence[tuple[int, Motion]]) -> dict[str, np.ndarray]:
    """Motions by position as arrays; dense ones, which are large, are left out."""
    kept = [(position, motion) for position, motion in motions if motion.matrix is not None]
    return {
        "motion_positions": np.array([position for position, _ in kept], np.int64),
        "motion_matrices": np.array([motion.matrix for _, motion in kept], np.float64).reshape(-1, 2, 3),
        "motion_kinds": np.array([KINDS.index(motion.kind) for _, motion in kept], np.uint8),
        "motion_cuts": np.array([motion.cut for _, motion in kept], np.uint8),
    }


def unpack_motions(arrays: Mapping[str, np.ndarray]) -> tuple[tuple[int, Motion], ...]:
    """What `pack_motions` kept."""
    rows = zip(*(arrays[f"motion_{name}"] for name in ("positions", "matrices", "kinds", "cuts")), strict=True)
    return tuple(
        (int(position), Motion(KINDS[kind], matrix=matrix, cut=bool(cut))) for position, matrix, kind, cut in rows
    )
