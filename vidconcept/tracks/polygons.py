"""Masks as polygons along the edges of their pixels, so that filling one gives the mask back."""

import cv2
import numpy as np


def polygons(mask: np.ndarray, x: int = 0, y: int = 0) -> list[np.ndarray]:
    """Outlines of a `(h, w)` bool mask, the largest first: `(n, 2)` int64 corners, x first, offset by `x, y`.

    A polygon has no holes: what lies inside an outline counts as mask.
    """
    # In a mask of twice the size, a contour point's parity tells which edge of its pixel it lies on.
    double = np.repeat(np.repeat(mask.astype(np.uint8), 2, axis=0), 2, axis=1)
    outlines, _ = cv2.findContours(double, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    offset = np.array([x, y])
    traced = []
    for outline in outlines:
        points = outline[:, 0].astype(np.int64)
        traced.append(_corners((points + points % 2) // 2) + offset)
    return sorted(traced, key=lambda corners: -area_px(corners))


def area_px(corners: np.ndarray) -> float:
    """Area of a closed `(n, 2)` polygon (shoelace formula)."""
    x, y = corners[:, 0], corners[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _corners(points: np.ndarray) -> np.ndarray:
    """The closed outline without repeated points and without points in the middle of a straight edge."""
    points = points[np.any(points != np.roll(points, 1, axis=0), axis=1)]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return points[turns | back]
