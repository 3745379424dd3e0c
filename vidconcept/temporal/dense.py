"""A dense field between two frames, with where it can be trusted."""

import cv2
import numpy as np

from vidconcept.temporal.motion import Motion
from vidconcept.temporal.proxy import Proxy
from vidconcept.temporal.sampling import sample, transform


def estimate_dense(earlier: Proxy, later: Proxy, seed: np.ndarray) -> Motion:
    """DIS in both directions, seeded with the best global motion; validity by consistency and photometry."""
    h, w = later.band.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    points = np.stack([x, y], axis=-1)
    one, two = (np.clip(p.band * 2.0 + 128.0, 0, 255).astype(np.uint8) for p in (earlier, later))
    start_back = (transform(seed, points) - points).astype(np.float32)
    start_ahead = (transform(cv2.invertAffineTransform(seed), points) - points).astype(np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back = dis.calc(two, one, start_back)
    ahead = dis.calc(one, two, start_ahead)

    at = points + back
    returned = back + sample(ahead, at)
    lengths = (back**2).sum(-1) + (ahead**2).sum(-1)
    consistent = (returned**2).sum(-1) <= 0.01 * lengths + 0.5  # Sundaram et al. 2010
    warped = sample(earlier.band, at)
    inside = (at[..., 0] >= -0.5) & (at[..., 0] <= w - 0.5) & (at[..., 1] >= -0.5) & (at[..., 1] <= h - 0.5)
    difference = np.abs(warped - later.band)
    photometric = cv2.blur(difference, (5, 5)) <= max(6.0, 3.0 * float(np.median(difference)))
    valid = (consistent & photometric & inside).astype(np.float32)
    residual = float(difference[inside].mean()) if inside.any() else float("inf")
    size = np.array([w, h], np.float32)
    return Motion("dense", back=back / size, ahead=ahead / size, valid=valid, residual=residual)
