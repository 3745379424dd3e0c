"""What defect painters share: the patch that they return, what they may know of the place, strokes and blobs."""

from dataclasses import dataclass

import cv2
import numpy as np

from vidconcept.painting.textures import Rng, log_uniform, octaves

# Subpixel bits of OpenCV's anti-aliased polylines.
_SHIFT = 4


@dataclass(frozen=True, slots=True)
class Patch:
    """A painted defect. Luminance becomes `value * gain + add`.

    gain, add: `(h, w)` float32. mask: `(h, w)` bool. tint: RGB multipliers where alpha, `(h, w)`, is 1; None for grey.
    """

    gain: np.ndarray
    add: np.ndarray
    mask: np.ndarray
    tint: tuple[float, float, float] | None = None
    alpha: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a painter may know of the place: mean luminance, local deviation, pixel scale, and the bed's luminance."""

    mean: float
    deviation: float
    scale: float
    bed: float


def contrast(rng: Rng, ground: Ground, low: float, high: float) -> float:
    """A visible relative contrast: log-uniform, and above what the local texture would hide."""
    floor = rng.uniform(1.3, 3.0) * ground.deviation / max(ground.mean, 0.04)
    return max(log_uniform(rng, low, high), min(floor, 1.8))


def draw_path(rng: Rng, length_px: float, step_px: float, wander: float, jag: float) -> np.ndarray:
    """Points `(n, 2)` of a path about the origin: the heading drifts by `wander` and jumps by `jag` radians a step."""
    n = max(3, int(length_px / step_px))
    drift = np.cumsum(rng.normal(0, wander, n)) + rng.normal(0, jag, n)
    heading = rng.uniform(0, 2 * np.pi) + drift - drift.mean()
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step_px, 0)
    return (points - (points.min(0) + points.max(0)) / 2).astype(np.float32)


def stroke(size: tuple[int, int], points: np.ndarray, width_px: float) -> np.ndarray:
    """Anti-aliased stroke `(h, w)` float32 in 0..1; strokes thinner than a pixel become fainter instead."""
    canvas = np.zeros(size, np.uint8)
    thickness = max(1, round(width_px))
    cv2.polylines(canvas, [np.round(points * 2**_SHIFT).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) * (min(1.0, width_px) / 255)


def fit_canvas(points: np.ndarray, margin_px: float) -> tuple[tuple[int, int], np.ndarray]:
    low = np.floor(points.min(0) - margin_px)
    high = np.ceil(points.max(0) + margin_px)
    return (int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1), (points - low).astype(np.float32)


def blob(rng: Rng, height: int, width: int, roughness: float, longest_frac: float = 0.6) -> np.ndarray:
    """Signed field `(h, w)`, positive inside an irregular blob that fills most of the patch."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    field = 0.75 - np.sqrt(x * x + y * y)
    size = max(height, width)
    return field + roughness * octaves(rng, height, width, max(2.0, size * longest_frac), 4, 0.65)
