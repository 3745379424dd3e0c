"""Chains of motions: where the points of one frame lie in another, over several frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.temporal.motion import Motion
from vidconcept.temporal.sampling import chain_affine, grid_points, lookup, transform


@dataclass(frozen=True, slots=True)
class Carry:
    """Map of the points of a frame to a key frame, in normalised coordinates.

    matrix: `(2, 3)`, or None when a dense motion lies between; then `shift` `(rows, cols, 2)` holds displacements on
    a grid over the frame. valid: `(rows, cols)` share in [0, 1] of how far it can be trusted; None: everywhere.
    """

    matrix: np.ndarray | None
    shift: np.ndarray | None = field(default=None, repr=False)
    valid: np.ndarray | None = field(default=None, repr=False)

    def points(self, points: np.ndarray) -> np.ndarray:
        """Points `(rows, cols, 2)` of the frame, in the key frame; float32, same shape."""
        if self.matrix is not None:
            return transform(self.matrix, points)
        assert self.shift is not None
        return points + lookup(self.shift, points)

    def sources(self, points: np.ndarray) -> np.ndarray:
        """Points `(rows, cols, 2)` of the key frame, in the frame: the inverse of `points`."""
        if self.matrix is not None:
            return transform(cv2.invertAffineTransform(self.matrix), points)
        there = points
        for _ in range(4):  # fixed point of there + shift(there) = points
            there = points - (self.points(there) - there)
        return there

    @property
    def straight_back(self) -> np.ndarray | None:
        """`(2, 2)` float32, scale and shift of x and of y from the key frame to the frame; None where axes turn."""
        if self.matrix is None or self.matrix[0, 1] or self.matrix[1, 0]:
            return None
        scale = 1 / self.matrix[[0, 1], [0, 1]]
        return np.stack([scale, -scale * self.matrix[:, 2]], axis=1).astype(np.float32)

    @property
    def translation(self) -> np.ndarray | None:
        """`(2,)` normalised displacement when the map is a pure translation, else None."""
        if self.matrix is None or not np.allclose(self.matrix[:, :2], np.eye(2), atol=1e-6):
            return None
        return self.matrix[:, 2]


HERE = Carry(np.eye(2, 3))


def compute_carries(
    motions: Mapping[int, Motion], key: int, first: int, last: int, grid: tuple[int, int]
) -> dict[int, Carry]:
    """Map of every frame first..last to the key frame; `motions[p]` joins p to p-1, `grid` is for dense motion."""
    result = {key: HERE}
    for position in range(key + 1, last + 1):
        result[position] = _extend(result[position - 1], motions[position], forward=True, grid=grid)
    for position in range(key - 1, first - 1, -1):
        result[position] = _extend(result[position + 1], motions[position + 1], forward=False, grid=grid)
    return result


def _extend(carry: Carry, motion: Motion, *, forward: bool, grid: tuple[int, int]) -> Carry:
    """The carry of a frame that is one `motion` farther from the key frame than the frame of `carry`."""
    if carry.matrix is not None and motion.matrix is not None:
        return Carry(chain_affine(carry.matrix, motion.matrix if forward else cv2.invertAffineTransform(motion.matrix)))
    here = grid_points(*grid)
    there = motion.sources(here) if forward else motion.targets(here)
    valid = np.ones(grid, np.float32) if motion.valid is None else lookup(motion.valid, here if forward else there)
    if carry.valid is not None:
        valid = valid * lookup(carry.valid, there)
    return Carry(None, carry.points(there) - here, valid)
