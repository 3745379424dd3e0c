"""The one decision: scores become masks.

A token spreads a thin defect over 16×16 pixels, so a crack peaks at 0.1 to 0.2 where a stain reaches 0.9: one absolute
level cannot serve both. A pixel is therefore judged against the highest score near it, with a floor under that, and a
connected piece stays only if its own peak passes the high level (hysteresis in space, with a peak gate). Hysteresis in
time is the tracks': see `decision.Decision`. Pieces are made at `PIECE_RATIO` at most, for a tight edge
breaks a scratch of uneven strength into many; what is shown of them goes to the edge that is asked for.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# Tighter than this, pieces of one defect fall apart.
PIECE_RATIO = 0.55


# A smaller piece of the working grid is noise, however sure.
MIN_CELLS = 4


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """How scores become masks; what a user can set has its default in the settings, nowhere else."""

    # High level: a connected piece whose highest score is below this is dropped (peak gate).
    threshold: float
    # Low level, relative: a pixel belongs to a piece above this share of the local maximum.
    ratio: float
    # The local maximum counts as at least this, so weak noise on clean surface is not amplified.
    floor: float
    # Reach of the local maximum, as a share of the frame's shorter side: 24 px at 256.
    reach_frac: float = 0.09
    # Pieces smaller than this many pixels of the working grid are dropped.
    min_area_px: int = MIN_CELLS

    def __post_init__(self) -> None:
        for name in ("threshold", "ratio", "floor", "reach_frac"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is between 0 and 1, got {value}")


def find_local_maximum(scores: np.ndarray, reach_px: int) -> np.ndarray:
    """Highest score within about `reach_px` of each pixel, `(h, w)` float32.

    Computed on blocks of up to 8 px and interpolated, so it is smooth; it never falls below the score itself.
    """
    h, w = scores.shape
    block = int(np.clip(reach_px // 3, 1, 8))
    rows, cols = -(-h // block), -(-w // block)
    padded = np.zeros((rows * block, cols * block), np.float32)
    padded[:h, :w] = scores
    # One axis after the other: many times as quick as both at once.
    coarse = padded.reshape(rows, block, cols * block).max(axis=1).reshape(rows, cols, block).max(axis=2)
    size = 2 * max(1, round(reach_px / block)) + 1
    coarse = cv2.dilate(coarse, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    fine = cv2.resize(coarse, (cols * block, rows * block), interpolation=cv2.INTER_LINEAR)[:h, :w]
    return np.maximum(fine, scores)


def decide(scores: np.ndarray, *, settings: MaskSettings) -> np.ndarray:
    """Masks of scores `(h, w)` or `(concept, h, w)` in [0, 1]; bool, same shape."""
    if scores.ndim == 3:
        return np.stack([decide(s, settings=settings) for s in scores]) if len(scores) else np.zeros(scores.shape, bool)
    scores = np.ascontiguousarray(scores, np.float32)
    out = np.zeros(scores.shape, bool)
    if float(scores.max(initial=0)) < settings.threshold:
        return out
    lowest = settings.ratio * settings.floor
    box = cv2.boundingRect((scores > lowest).astype(np.uint8))
    if not box[2]:
        return out
    reach_px = _choose_reach_px(scores, settings)
    # A maximum outside the box is below the floor, so the box alone decides.
    x, y, width, height = box
    part = scores[y : y + height, x : x + width]
    candidate = part > settings.ratio * np.maximum(find_local_maximum(part, reach_px), settings.floor)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(candidate.astype(np.uint8), connectivity=8)
    labels = np.asarray(labels, np.intp)
    peaks = _find_peaks(part, labels)
    keep = (peaks >= settings.threshold) & (stats[:, cv2.CC_STAT_AREA] >= settings.min_area_px)
    keep[0] = False
    out[y : y + height, x : x + width] = keep[labels]
    return out


def tighten(scores: np.ndarray, pieces: np.ndarray, *, settings: MaskSettings) -> np.ndarray:
    """What of the pieces lies above `settings.ratio` of the highest score near it, `(h, w)` bool; of each something.

    scores: `(h, w)` in [0, 1]; pieces: `(h, w)` bool, of `decide` with a lower ratio. What is near counts as no higher
    than the piece's own peak, so that a stronger neighbour, or the floor, does not wear a piece away.
    """
    x, y, width, height = cv2.boundingRect(pieces.astype(np.uint8))
    out = np.zeros(pieces.shape, bool)
    if not width:
        return out
    reach_px = _choose_reach_px(scores, settings)
    # With everything around that the local maximum may see.
    rows = slice(max(0, y - 2 * reach_px), y + height + 2 * reach_px)
    cols = slice(max(0, x - 2 * reach_px), x + width + 2 * reach_px)
    part = np.ascontiguousarray(scores[rows, cols], np.float32)
    labels = np.asarray(cv2.connectedComponents(pieces[rows, cols].astype(np.uint8), connectivity=8)[1], np.intp)
    own = _find_peaks(part, labels)[labels]
    near = np.minimum(np.maximum(find_local_maximum(part, reach_px), settings.floor), own)
    out[rows, cols] = (part >= settings.ratio * near) & (labels > 0)
    return out


def _choose_reach_px(scores: np.ndarray, settings: MaskSettings) -> int:
    return max(1, round(settings.reach_frac * min(scores.shape)))


def _find_peaks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Highest score of each label but 0, which has 0."""
    peaks = np.zeros(int(labels.max(initial=0)) + 1, np.float32)
    inside = labels > 0
    np.maximum.at(peaks, labels[inside], scores[inside])
    return peaks
