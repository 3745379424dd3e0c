"""Measures of masks against true masks: region, boundary, and the confusion of labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

# DAVIS (Perazzi et al. 2016): a boundary may be off by this share of the diagonal.
BOUNDARY_TOLERANCE_FRAC = 0.008
# Cheng et al. 2021: the band whose overlap counts, as a share of the diagonal.
BOUNDARY_BAND_FRAC = 0.02


def jaccard(mask: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two bool masks; 1 when both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(mask: np.ndarray, truth: np.ndarray, tolerance_px: int | None = None) -> float:
    """F of DAVIS: F-measure of the boundaries within a tolerance (None: 0.008 of the diagonal, rounded up).

    1 when both masks are empty, 0 when one is.
    """
    if tolerance_px is None:
        tolerance_px = math.ceil(BOUNDARY_TOLERANCE_FRAC * math.hypot(*mask.shape))
    one, two = _mark_edges(mask), _mark_edges(truth)
    if not one.any() or not two.any():
        return float(one.any() == two.any())
    disk = make_disk(tolerance_px)
    precision = float(cv2.dilate(two, disk)[one > 0].mean())
    recall = float(cv2.dilate(one, disk)[two > 0].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_iou(mask: np.ndarray, truth: np.ndarray, band_frac: float = BOUNDARY_BAND_FRAC) -> float:
    """Boundary IoU: IoU of the inner bands along the outlines, the picture's border counting as outline."""
    width_px = max(1, round(band_frac * math.hypot(*mask.shape)))
    return jaccard(_inner_band(mask, width_px), _inner_band(truth, width_px))


def area_ratio(masks: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """Area of what was found over the true area, of those bool masks of a frame that meet; NaN where none do."""
    pairs = [(m, t) for m in range(len(masks)) for t in range(len(truths)) if (masks[m] & truths[t]).any()]
    if not pairs:
        return float("nan")
    met, true = ({pair[side] for pair in pairs} for side in (0, 1))
    found = np.count_nonzero(np.any([masks[m] for m in met], axis=0))
    return found / np.count_nonzero(np.any([truths[t] for t in true], axis=0))


def _mark_edges(mask: np.ndarray) -> np.ndarray:
    """Pixels whose right, lower or lower right neighbour differs, as the DAVIS code marks boundaries; uint8."""
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return ((here ^ padded[:-1, 1:]) | (here ^ padded[1:, :-1]) | (here ^ padded[1:, 1:])).astype(np.uint8)


def make_disk(radius_px: int) -> np.ndarray:
    """Pixels within `radius_px` of the middle one, `(2 r + 1, 2 r + 1)` uint8."""
    y, x = np.mgrid[-radius_px : radius_px + 1, -radius_px : radius_px + 1]
    return (x**2 + y**2 <= radius_px**2).astype(np.uint8)


def _inner_band(mask: np.ndarray, width_px: int) -> np.ndarray:
    padded = np.pad(mask.astype(np.uint8), 1)
    inside = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width_px, borderValue=0)[1:-1, 1:-1]
    return mask & (inside == 0)


@dataclass
class Confusion:
    """Pixels by true and predicted label. table: `(label, label)` float64, truth in rows."""

    table: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, labels: int) -> Confusion:
        return cls(np.zeros((labels, labels)))

    def add(self, predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> None:
        """Count pixels; `predicted` and `truth` are label numbers of one shape, `weight` likewise."""
        labels = len(self.table)
        index = truth.ravel().astype(np.int64) * labels + predicted.ravel()
        weights = None if weight is None else weight.ravel()
        self.table += np.bincount(index, weights, labels**2).reshape(labels, labels)

    @property
    def pixel_accuracy(self) -> float:
        total = self.table.sum()
        return float(np.trace(self.table) / total) if total else float("nan")

    @property
    def ious(self) -> np.ndarray:
        """IoU of each label, NaN for a label that is neither true nor predicted anywhere."""
        hit = np.diag(self.table)
        union = self.table.sum(0) + self.table.sum(1) - hit
        return np.divide(hit, union, out=np.full(len(hit), np.nan), where=union > 0)

    @property
    def mean_iou(self) -> float:
        """Mean over the labels that occur in the truth."""
        occurs = self.table.sum(1) > 0
        return float(self.ious[occurs].mean()) if occurs.any() else float("nan")
