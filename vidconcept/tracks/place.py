"""From the working grid to pixels of the source frame."""

import math

import cv2
import numpy as np

from vidconcept.tracks.components import Component
from vidconcept.types import Region


def count_cells(area_px: float, grid_cells: int, region: Region) -> float:
    """An area in pixels of the source as cells of a working grid of so many cells, which covers `region`."""
    return area_px * grid_cells / (region.width * region.height)


def scale_to_source(component: Component, grid: tuple[int, int], region: Region) -> tuple[np.ndarray, int, int]:
    """The component in pixels of the source: `(h, w)` bool crop, tight, and the frame's x, y of its corner.

    grid: `(h, w)` of the working grid, which covers `region`. The outline is interpolated between cells. Two components
    that share no cell share no pixel.
    """
    rows, cols = grid
    scale_x, scale_y = region.width / cols, region.height / rows
    # One empty cell around, except where the grid ends: there the mask goes on to the region's border.
    x_min, y_min = max(0, component.box[0] - 1), max(0, component.box[1] - 1)
    x_max, y_max = min(cols, component.box[2] + 1), min(rows, component.box[3] + 1)
    cells = np.zeros((y_max - y_min, x_max - x_min), np.float32)
    cells[component.points[:, 1] - y_min, component.points[:, 0] - x_min] = 1
    left, top = int(x_min * scale_x), int(y_min * scale_y)
    right, bottom = (
        min(size, math.ceil(last * scale - 1e-9))
        for size, last, scale in ((region.width, x_max, scale_x), (region.height, y_max, scale_y))
    )
    # Pixel centres: source pixel X shows cell (X + 0.5) / scale - 0.5.
    to_cells = np.array(
        [
            [1 / scale_x, 0, (left + 0.5) / scale_x - 0.5 - x_min],
            [0, 1 / scale_y, (top + 0.5) / scale_y - 0.5 - y_min],
        ]
    )
    size = (max(1, right - left), max(1, bottom - top))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    mask = cv2.warpAffine(cells, to_cells, size, flags=flags, borderMode=cv2.BORDER_REPLICATE) > 0.5
    if not mask.any():
        # A single cell can fall between pixel centres: it is the pixel that it lies in.
        x, y = (int((component.centre[axis] + 0.5) * scale) for axis, scale in ((0, scale_x), (1, scale_y)))
        return np.ones((1, 1), bool), region.x + x, region.y + y
    mask_rows, mask_cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    tight = mask[mask_rows[0] : mask_rows[-1] + 1, mask_cols[0] : mask_cols[-1] + 1]
    return tight, region.x + left + int(mask_cols[0]), region.y + top + int(mask_rows[0])
