"""Measures of masks and scores over a clip whose true masks and true motion are known."""

from dataclasses import dataclass

import cv2
import numpy as np

# Frames over which a label must stay right (VC8), and every how many frames a run of them starts.
RUN_FRAMES = 8
RUN_STRIDE = 4
BOUNDARY_TOLERANCE_PX = 4


@dataclass(frozen=True, slots=True)
class ClipScore:
    """One clip, one set of scores, one decision. NaN where the clip has nothing to measure.

    iou, boundary_f: means over defect frames. warp: squared change of the score along the true motion, over the sum of
    scores. flicker: pixels that change their label along the true motion, over labelled pixels. vc8_truth, vc8_union:
    surface labelled defect on 8 frames in a row and rightly so, over the surface that is defect on all of them, and
    over the union of both. fp_area: share of a defect-free frame that is labelled.
    """

    iou: float
    boundary_f: float
    warp: float
    flicker: float
    vc8_truth: float
    vc8_union: float
    fp_area: float


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of two bool masks; 1 when both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def boundary_f(mask: np.ndarray, truth: np.ndarray, tolerance_px: int = BOUNDARY_TOLERANCE_PX) -> float:
    """F-measure of the boundaries of two masks within a tolerance (Perazzi et al. 2016)."""
    one, two = _boundary(mask), _boundary(truth)
    if not one.any() or not two.any():
        return float(one.any() == two.any())
    size = 2 * tolerance_px + 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    precision = float(cv2.dilate(two, disk)[one > 0].mean())
    recall = float(cv2.dilate(one, disk)[two > 0].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _boundary(mask: np.ndarray) -> np.ndarray:
    grey = mask.astype(np.uint8)
    return grey - cv2.erode(grey, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)


def warp_image(image: np.ndarray, matrix: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """An image of an earlier frame seen in a later one; `matrix` `(2, 3)` maps pixels earlier → later. Outside: 0."""
    h, w = image.shape
    return cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)


def score_clip(scores: np.ndarray, masks: np.ndarray, truth: np.ndarray, flow: np.ndarray) -> ClipScore:
    """Measure a clip. scores `(t, h, w)`, masks, truth `(t, h, w)` bool, flow `(t, 2, 3)` frame t-1 → t in pixels."""
    defect = truth.any((1, 2))
    ious = [iou(m, t) for m, t in zip(masks[defect], truth[defect], strict=True)]
    boundaries = [boundary_f(m, t) for m, t in zip(masks[defect], truth[defect], strict=True)]
    change = total = changed = labelled = 0.0
    inside = np.ones(truth.shape[1:], np.uint8)
    for t in range(1, len(truth)):
        valid = warp_image(inside, flow[t], nearest=True) > 0
        earlier = warp_image(scores[t - 1].astype(np.float32), flow[t])
        now = scores[t].astype(np.float32)
        change += float(((now - earlier) ** 2)[valid].sum())
        total += float(now[valid].sum())
        label = warp_image(masks[t - 1].astype(np.uint8), flow[t], nearest=True) > 0
        changed += np.count_nonzero((label != masks[t]) & valid)
        labelled += np.count_nonzero((label | masks[t]) & valid)
    right, constant, union = _runs(masks, truth, flow)
    return ClipScore(
        iou=float(np.mean(ious)) if ious else float("nan"),
        boundary_f=float(np.mean(boundaries)) if boundaries else float("nan"),
        warp=change / total if total else float("nan"),
        flicker=changed / labelled if labelled else float("nan"),
        vc8_truth=right / constant if constant else float("nan"),
        vc8_union=right / union if constant else float("nan"),
        fp_area=float(masks[~defect].mean()) if not defect.all() else float("nan"),
    )


def _runs(masks: np.ndarray, truth: np.ndarray, flow: np.ndarray) -> tuple[float, float, float]:
    """Over runs of frames, carried to their last: rightly constant, truly constant, truly or labelled constant."""
    right = constant = union = 0.0
    for end in range(RUN_FRAMES - 1, len(truth), RUN_STRIDE):
        if not truth[end].any():
            continue
        always, labelled = truth[end].copy(), masks[end].copy()
        seen = np.ones(truth.shape[1:], np.uint8)
        chained = np.eye(3)
        for t in range(end, end - RUN_FRAMES + 1, -1):
            chained = chained @ np.vstack([flow[t], [0, 0, 1]])
            always &= warp_image(truth[t - 1].astype(np.uint8), chained[:2], nearest=True) > 0
            labelled &= warp_image(masks[t - 1].astype(np.uint8), chained[:2], nearest=True) > 0
            seen &= warp_image(np.ones_like(seen), chained[:2], nearest=True)
        right += np.count_nonzero(always & labelled)
        constant += np.count_nonzero(always)
        union += np.count_nonzero((always | labelled) & (seen > 0))
    return right, constant, union
