"""Un-pooling: fields on coarse grids become scores of single frames at full resolution."""

from dataclasses import dataclass

import cv2
import numpy as np

from vidconcept.temporal.carry import Carry
from vidconcept.temporal.pooling import Canvas
from vidconcept.temporal.sampling import chain_affine, sample

# How far a group of cells must stand out to be worth full resolution.
PEAK = 3.0
# Rows and columns of an image, as slices with start and stop.
Box = tuple[slice, slice]


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


def carry_field(field: np.ndarray, canvas: Canvas, carry: Carry, h: int, w: int, box: Box) -> np.ndarray:
    """The field of a key frame seen in a box of another frame of `(h, w)` pixels: one cubic warp; in [0, 1].

    The slices of the box may have a step.
    """
    rows, cols = box
    y, x = np.arange(h)[rows], np.arange(w)[cols]
    if carry.matrix is not None:
        # pixel → normalised → key frame → canvas index, as one matrix
        to_cells = np.array([[canvas.cols, 0, canvas.margin - 0.5], [0, canvas.rows, canvas.margin - 0.5]])
        to_unit = np.array([[(cols.step or 1) / w, 0, (x[0] + 0.5) / w], [0, (rows.step or 1) / h, (y[0] + 0.5) / h]])
        matrix = chain_affine(to_cells, chain_affine(carry.matrix, to_unit))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        fine = cv2.warpAffine(field, matrix, (len(x), len(y)), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    else:
        points = np.stack(np.meshgrid((x + 0.5) / w, (y + 0.5) / h), axis=-1).astype(np.float32)
        fine = sample(field, canvas.cells(carry.points(points)), interpolation=cv2.INTER_CUBIC)
    return np.clip(fine, 0.0, 1.0, out=fine)


def find_standing_out(values: np.ndarray, level: float) -> np.ndarray:
    """Cells of `(row, col)` above a level that hang together with one that is `PEAK` times as high; bool."""
    above = values > level
    count, found = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
    labels = np.asarray(found, np.intp)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels[above], values[above])
    return (peaks > PEAK * level)[labels]


def find_boxes(cells: np.ndarray, h: int, w: int, margin_px: int) -> list[Box]:
    """Boxes of pixels that hold the true cells of a grid over `(h, w)` pixels, with a margin; they do not overlap."""
    rows, cols = cells.shape
    reach_y, reach_x = -(-margin_px * rows // h), -(-margin_px * cols // w)
    grown = cv2.dilate(cells.astype(np.uint8), np.ones((2 * reach_y + 1, 2 * reach_x + 1), np.uint8))
    while True:  # a box that holds two groups makes them one
        count, _, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
        found = [tuple(int(v) for v in stats[k, :4]) for k in range(1, count)]
        for x, y, width, height in found:
            grown[y : y + height, x : x + width] = 1
        if len(found) == cv2.connectedComponents(grown, connectivity=8)[0] - 1:
            break
    edges_y, edges_x = (
        np.linspace(0, h, rows + 1).astype(int).tolist(),
        np.linspace(0, w, cols + 1).astype(int).tolist(),
    )
    return [
        (slice(edges_y[y], edges_y[y + height]), slice(edges_x[x], edges_x[x + width])) for x, y, width, height in found
    ]


class Guide:
    """Statistics of one image for the guided filter, shared by all concepts.

    The guide has two channels: the intensity, and how far it is from its surroundings, since a crack is dark or bright
    but above all different. Statistics are taken on every n-th pixel where the radius allows it (He and Sun 2015); the
    guide itself stays at full resolution.
    """

    def __init__(self, grey: np.ndarray, radius_px: int, epsilon: float) -> None:
        """grey: `(h, w)` float32 in [0, 1]."""
        self.step = max(1, min(radius_px // 5, *grey.shape))
        side = 2 * max(1, round(radius_px / self.step)) + 1
        self._kernel = (side, side)
        self._size = (grey.shape[1], grey.shape[0])
        self._grey = grey
        start = self.step // 2
        thin = (slice(start, None, self.step), slice(start, None, self.step))
        self._i = np.ascontiguousarray(grey[thin])
        self._distance = cv2.absdiff(grey, self._full(self._mean(self._i)))
        self._d = np.ascontiguousarray(self._distance[thin])
        self._mean_i, self._mean_d = self._mean(self._i), self._mean(self._d)
        self._ii = self._mean(self._i * self._i) - self._mean_i**2 + epsilon
        self._id = self._mean(self._i * self._d) - self._mean_i * self._mean_d
        self._dd = self._mean(self._d * self._d) - self._mean_d**2 + epsilon
        self._determinant = self._ii * self._dd - self._id**2

    def find_coarse_box(self, box: Box) -> Box:
        """The pixels of the guide's box that `filter` wants scores for."""
        rows, cols = box
        start = self.step // 2
        return slice(rows.start + start, rows.stop, self.step), slice(cols.start + start, cols.stop, self.step)

    def _full(self, values: np.ndarray) -> np.ndarray:
        return values if self.step == 1 else cv2.resize(values, self._size, interpolation=cv2.INTER_LINEAR)

    def _mean(self, values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, self._kernel, borderType=cv2.BORDER_REFLECT)

    def filter(self, scores: np.ndarray) -> np.ndarray:
        """Scores as the locally linear function of the guide that is nearest to them.

        scores: float32 at the scale of the thinned guide. Returns `(h, w)` float32 at full resolution, in [0, 1].
        """
        mean = self._mean(scores)
        with_i = self._mean(self._i * scores) - self._mean_i * mean
        with_d = self._mean(self._d * scores) - self._mean_d * mean
        a_i = (self._dd * with_i - self._id * with_d) / self._determinant
        a_d = (self._ii * with_d - self._id * with_i) / self._determinant
        b = mean - a_i * self._mean_i - a_d * self._mean_d
        filtered = self._full(self._mean(b))
        cv2.accumulateProduct(self._full(self._mean(a_i)), self._grey, filtered)
        cv2.accumulateProduct(self._full(self._mean(a_d)), self._distance, filtered)
        return np.clip(filtered, 0.0, 1.0, out=filtered)
