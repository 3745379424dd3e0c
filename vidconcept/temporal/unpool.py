"""Un-pooling: fields on coarse grids become scores of single frames at full resolution."""

from dataclasses import dataclass

import cv2
import numpy as np

from vidconcept.temporal.carry import Carry
from vidconcept.temporal.pooling import Canvas
from vidconcept.temporal.sampling import chained, grid_points, sample


@dataclass(frozen=True, slots=True)
class GuideSettings:
    """Guided filter that pulls scores to the edges of the image (He et al. 2010)."""

    # Radius as a share of a token's side: half a token, 8 px at 16; a whole token erases cracks.
    radius_tokens: float = 0.5
    # Variance of the guide (grey levels in [0, 1]) below which the filter averages.
    epsilon: float = 1e-4


def upsample(tokens: np.ndarray, h: int, w: int, *, nearest: bool = False) -> np.ndarray:
    """A token map `(row, col)` on `(h, w)` pixels, bilinear between token centres, or in blocks."""
    return cv2.resize(tokens, (w, h), interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


def carried(field: np.ndarray, canvas: Canvas, way: Carry, h: int, w: int) -> np.ndarray:
    """The field of a key frame, seen in another frame at `(h, w)` pixels: one cubic warp; in [0, 1]."""
    if way.matrix is not None:
        # pixel → normalised → key frame → canvas index, as one matrix
        to_cells = np.array([[canvas.cols, 0, canvas.margin - 0.5], [0, canvas.rows, canvas.margin - 0.5]])
        to_unit = np.array([[1 / w, 0, 0.5 / w], [0, 1 / h, 0.5 / h]])
        matrix = chained(to_cells, chained(way.matrix, to_unit))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        fine = cv2.warpAffine(field, matrix, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        at = canvas.cells(way.points(grid_points(canvas.rows, canvas.cols)))
        coarse = sample(field, at, interpolation=cv2.INTER_CUBIC)
        fine = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.clip(fine, 0.0, 1.0, out=fine)


class Guide:
    """Statistics of one image for the guided filter, shared by all concepts.

    The guide has two channels: the intensity, and how far it is from its surroundings, since a crack is dark or bright
    but above all different.
    """

    def __init__(self, grey: np.ndarray, radius_px: int, epsilon: float) -> None:
        """grey: `(h, w)` float32 in [0, 1]."""
        size = 2 * radius_px + 1
        self._kernel = (size, size)
        self._i = grey
        self._d = np.abs(grey - self._mean(grey))
        self._mean_i, self._mean_d = self._mean(self._i), self._mean(self._d)
        self._ii = self._mean(self._i * self._i) - self._mean_i**2 + epsilon
        self._id = self._mean(self._i * self._d) - self._mean_i * self._mean_d
        self._dd = self._mean(self._d * self._d) - self._mean_d**2 + epsilon
        self._determinant = self._ii * self._dd - self._id**2

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, self._kernel, borderType=cv2.BORDER_REFLECT_101)

    def filter(self, scores: np.ndarray) -> np.ndarray:
        """Scores `(h, w)` float32 as the locally linear function of the guide that is nearest to them; in [0, 1]."""
        mean = self._mean(scores)
        with_i = self._mean(self._i * scores) - self._mean_i * mean
        with_d = self._mean(self._d * scores) - self._mean_d * mean
        a_i = (self._dd * with_i - self._id * with_d) / self._determinant
        a_d = (self._ii * with_d - self._id * with_i) / self._determinant
        b = mean - a_i * self._mean_i - a_d * self._mean_d
        filtered = self._mean(a_i) * self._i + self._mean(a_d) * self._d + self._mean(b)
        return np.clip(filtered, 0.0, 1.0, out=filtered)
