"""Sampling images and fields at points: the one place that knows OpenCV's conventions of remapping."""

from functools import lru_cache

import cv2
import numpy as np


def sample(
    values: np.ndarray,
    at: np.ndarray,
    *,
    interpolation: int = cv2.INTER_LINEAR,
    border: int = cv2.BORDER_REPLICATE,
) -> np.ndarray:
    """Samples of `values` `(h, w[, c])` at pixel indices `at` `(rows, cols, 2)`; `(rows, cols[, c])` float32."""
    if not at.size:
        return np.zeros((*at.shape[:2], *values.shape[2:]), np.float32)
    points = np.ascontiguousarray(at, np.float32)
    return cv2.remap(values, points[..., 0], points[..., 1], interpolation, borderMode=border)


def lookup(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bilinear samples of `values` `(h, w[, c])`, which span the frame, at normalised `points` `(rows, cols, 2)`."""
    h, w = values.shape[:2]
    return sample(values, points * np.array([w, h], np.float32) - np.float32(0.5))


@lru_cache(maxsize=64)
def grid_points(rows: int, cols: int, margin: int = 0) -> np.ndarray:
    """Centres of a grid over the frame and `margin` cells around it: `(rows + 2m, cols + 2m, 2)` normalised float32.

    The same array for every caller, which cannot be written to.
    """
    x = (np.arange(-margin, cols + margin, dtype=np.float32) + 0.5) / cols
    y = (np.arange(-margin, rows + margin, dtype=np.float32) + 0.5) / rows
    points = np.stack(np.meshgrid(x, y), axis=-1)
    points.setflags(write=False)
    return points


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points `(..., 2)` through an affine `(2, 3)` matrix; float32."""
    pairs = np.ascontiguousarray(points, np.float32).reshape(-1, 1, 2)
    return cv2.transform(pairs, matrix.astype(np.float32)).reshape(points.shape) if len(pairs) else points


def chain_affine(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The affine `(2, 3)` matrix of `inner` followed by `outer`."""
    return outer[:, :2] @ inner + np.hstack([np.zeros((2, 2)), outer[:, 2:]])
