"""Measures of scores that need no threshold: AP, AUROC, AU-PRO, and the ConceptAttention paper's protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.integrate import trapezoid

# Scores are counted in equal steps of log-odds: dense near 0 and near 1, where softmax scores crowd.
BINS = 8192
_REACH = 16.0


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the precision-recall steps, ties taken together; flat arrays, truth bool. NaN without a positive."""
    if not truth.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    gained = np.diff(hits[ends], prepend=0)
    return float((gained * hits[ends] / (ends + 1)).sum() / hits[-1])


def assign_bins(scores: np.ndarray) -> np.ndarray:
    """Number of the bin of each score in [0, 1]; int64, same shape."""
    clipped = np.clip(scores, 1e-7, 1 - 1e-7).astype(np.float64)
    odds = np.log(clipped / (1 - clipped))
    return np.clip((odds + _REACH) * (BINS / (2 * _REACH)), 0, BINS - 1).astype(np.int64)


@dataclass
class Curves:
    """Counts of scores, so that curves over a whole data set cost a fixed memory.

    positive, negative: pixels by bin, `(BINS,)`. regions: for each bin the share of each true region that lies in it,
    summed over regions. region_count: how many regions.
    """

    positive: np.ndarray = field(default_factory=lambda: np.zeros(BINS), repr=False)
    negative: np.ndarray = field(default_factory=lambda: np.zeros(BINS), repr=False)
    regions: np.ndarray = field(default_factory=lambda: np.zeros(BINS), repr=False)
    region_count: float = 0.0

    def add(self, scores: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> None:
        """Count one picture: scores `(h, w)` in [0, 1], truth and ignore `(h, w)` bool. Regions are 8-connected."""
        bins = assign_bins(scores)
        known = np.ones(truth.shape, bool) if ignore is None else ~ignore
        self.negative += np.bincount(bins[known & ~truth], minlength=BINS)
        if not truth.any():
            return
        self.positive += np.bincount(bins[known & truth], minlength=BINS)
        count, labels = cv2.connectedComponents((truth & known).astype(np.uint8), connectivity=8)
        for region in range(1, count):
            inside = bins[labels == region]
            self.regions += np.bincount(inside, minlength=BINS) / len(inside)
        self.region_count += count - 1

    def add_shares(self, scores: np.ndarray, share: np.ndarray) -> None:
        """Count cells that are true by a share in [0, 1] of their pixels; flat arrays. Regions are not counted."""
        bins = assign_bins(scores)
        self.positive += np.bincount(bins, share, BINS)
        self.negative += np.bincount(bins, 1 - share, BINS)

    def merge(self, other: Curves) -> None:
        self.positive += other.positive
        self.negative += other.negative
        self.regions += other.regions
        self.region_count += other.region_count

    def _cumulate(self, counts: np.ndarray) -> np.ndarray:
        """Cumulated from the highest bin down."""
        return np.cumsum(counts[::-1])

    @property
    def average_precision(self) -> float:
        """As `average_precision` over all pixels, to the width of a bin. NaN without a positive."""
        hits, alarms = self._cumulate(self.positive), self._cumulate(self.negative)
        if not hits[-1]:
            return float("nan")
        gained = np.diff(hits, prepend=0.0)
        precision = np.divide(hits, hits + alarms, out=np.zeros(BINS), where=hits + alarms > 0)
        return float((gained * precision).sum() / hits[-1])

    @property
    def auroc(self) -> float:
        """Area under the ROC curve. NaN when one side is empty."""
        hits, alarms = self._cumulate(self.positive), self._cumulate(self.negative)
        if not hits[-1] or not alarms[-1]:
            return float("nan")
        return float(trapezoid(np.append(0, hits / hits[-1]), np.append(0, alarms / alarms[-1])))

    def au_pro(self, limit: float = 0.3) -> float:
        """Area under per-region overlap against false-positive rate up to `limit`, over `limit` (Bergmann 2019)."""
        alarms = self._cumulate(self.negative)
        if not self.region_count or not alarms[-1]:
            return float("nan")
        rate = np.append(0, alarms / alarms[-1])
        overlap = np.append(0, self._cumulate(self.regions) / self.region_count)
        inside = rate <= limit
        rate = np.append(rate[inside], limit)
        overlap = np.append(overlap[inside], np.interp(limit, np.append(0, alarms / alarms[-1]), overlap))
        return float(trapezoid(overlap, rate) / limit)


@dataclass
class PaperProtocol:
    """The ConceptAttention paper's segmentation protocol: a map, normalised, is cut at its mean.

    Counts of foreground and background over pictures; the AP of a picture ranks foreground and background scores
    together (`s` against the mask, `1 - s` against its complement), and mAP is the mean over pictures.
    """

    correct: float = 0.0
    labelled: float = 0.0
    hits: np.ndarray = field(default_factory=lambda: np.zeros(2), repr=False)
    unions: np.ndarray = field(default_factory=lambda: np.zeros(2), repr=False)
    precisions: list[float] = field(default_factory=list, repr=False)

    def add(self, scores: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> None:
        """Count one picture: scores `(h, w)` of the true concept, truth and ignore `(h, w)` bool."""
        spread = float(scores.max() - scores.min())
        normal = (scores - scores.min()) / spread if spread else np.zeros_like(scores)
        mask = normal > normal.mean()
        if ignore is not None:
            normal, mask, truth = normal[~ignore], mask[~ignore], truth[~ignore]
        self.correct += np.count_nonzero(mask == truth)
        self.labelled += truth.size
        for side, (guess, real) in enumerate(((~mask, ~truth), (mask, truth))):
            self.hits[side] += np.count_nonzero(guess & real)
            self.unions[side] += np.count_nonzero(guess | real)
        both = np.concatenate([normal.ravel(), 1 - normal.ravel()])
        self.precisions.append(average_precision(both, np.concatenate([truth.ravel(), ~truth.ravel()])))

    def figures(self) -> dict[str, float]:
        """`pixel_accuracy`, `mean_iou`, `mean_ap`; empty when no picture was counted."""
        if not self.precisions:
            return {}
        return {
            "pixel_accuracy": self.correct / self.labelled,
            "mean_iou": float(np.mean(self.hits / self.unions)),
            "mean_ap": float(np.mean(self.precisions)),
        }
