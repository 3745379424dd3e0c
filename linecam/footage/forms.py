"""What the form of good parts does to their brightness: chamfers, lands, edges, bends under the light."""

import cv2
import numpy as np

from vidconcept.painting.strip import Layout
from vidconcept.painting.textures import Rng, log_uniform, smooth_noise


def shade_parts(rng: Rng, layout: Layout, scale: float) -> np.ndarray:
    """Gain `(h, w)` float32 from the parts' form: curvature, chamfers, bright or dark edge lines, differing parts.

    scale: see `scene.build_strip`.
    """
    height, width = layout.part.shape
    inside = (layout.part > 0).astype(np.uint8)
    # Without a bed the distance is unbounded.
    depth = np.minimum(cv2.distanceTransform(inside, cv2.DIST_L2, 3), 1e4)
    gain = np.ones((height, width), np.float32)
    for _ in range(int(rng.integers(0, 3))):
        band, edge = rng.uniform(1.5, 14) * scale, rng.uniform(0, 10) * scale
        gain *= 1 + rng.uniform(-0.45, 0.6) * np.clip(1.2 - np.abs(depth - edge - band / 2) / (band / 2), 0, 1)
    if rng.random() < 0.35:
        gain *= _bevel(rng, depth, scale)
    if rng.random() < 0.3:
        # Tool marks that follow the edge.
        reach = rng.uniform(5, 30) * scale
        lines = smooth_noise(rng, 2, int(reach) + 2, 1.0, rng.uniform(1, 4) * scale)[0]
        uneven = rng.uniform(0.5, 1.0) + 0.4 * smooth_noise(rng, height, width, 50 * scale, 50 * scale)
        fade = np.clip(2 - 2 * depth / reach, 0, 1) * np.clip(uneven, 0, 1.5)
        gain *= np.exp(rng.uniform(0.1, 0.4) * fade * np.interp(depth, np.arange(len(lines)), lines))
    if rng.random() < 0.5:
        gain *= 1 - rng.uniform(0.2, 0.75) * np.exp(-depth / (rng.uniform(8, 50) * scale))
    if rng.random() < 0.5:
        gain *= 1 + rng.uniform(0.2, 0.9) * np.exp(-depth / (rng.uniform(0.8, 2.0) * scale)) * inside
    levels = np.exp(rng.normal(0, rng.uniform(0.02, 0.28), layout.count + 1)).astype(np.float32)
    levels[0] = 1
    return gain * levels[layout.part] * _curvature(rng, layout, scale)


def _bevel(rng: Rng, depth: np.ndarray, scale: float) -> np.ndarray:
    """Gain of a ground land along the edge: streaked, its border wavering, bright in some places and lost in others.

    depth `(h, w)`: pixels to the part's edge.
    """
    height, width = depth.shape
    start, band = rng.uniform(0, 8) * scale, log_uniform(rng, 4, 28) * scale
    waver = rng.uniform(0, 0.25) * band * smooth_noise(rng, height, width, 40 * scale, 40 * scale)
    soft = log_uniform(rng, 0.6, 5) * scale
    across = depth - start
    inside = np.clip(across / soft + 0.5, 0, 1) * np.clip((band + waver - across) / soft + 0.5, 0, 1)
    lines = smooth_noise(rng, 2, int(start + 3 * band) + 2, 1.0, rng.uniform(0.8, 3) * scale)[0]
    streaks = np.interp(depth, np.arange(len(lines)), lines)
    length = log_uniform(rng, 30, 300) * scale
    along = np.clip(rng.uniform(-0.3, 1.0) + 0.8 * smooth_noise(rng, height, width, length, length), 0, 2)
    bright = rng.uniform(0.05, 0.6) if rng.random() < 0.8 else rng.uniform(-0.4, -0.1)
    return np.exp(inside * (bright * along + rng.uniform(0, 0.3) * streaks)).astype(np.float32)


def _curvature(rng: Rng, layout: Layout, scale: float) -> np.ndarray:
    """Gain of surfaces that bend under the light: one profile over the strip, or the same one over each part."""
    height, width = layout.part.shape
    gain = np.ones((height, width), np.float32)
    if rng.random() < 0.4:
        size = (height, 1) if rng.random() < 0.5 else (1, width)
        profile = smooth_noise(rng, *size, *(log_uniform(rng, 40, 260) * scale if n > 1 else 1.0 for n in size))
        gain *= np.exp(log_uniform(rng, 0.04, 0.4) * profile)
    if rng.random() < 0.35:
        line = layout.part[height // 2]
        starts = np.maximum.accumulate(np.where(np.diff(line, prepend=-1) != 0, np.arange(width), 0))
        across = (np.arange(width) - starts) / (rng.uniform(60, 240) * scale)
        gain *= np.exp(rng.uniform(-0.3, 0.6) * np.sin(np.pi * across + rng.uniform(-0.6, 0.6))).astype(np.float32)[
            None
        ]
    return gain
