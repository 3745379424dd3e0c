"""Faint marks that good surfaces carry: arcs, hairlines, tide marks, specks, smudges, lit streaks. They are no defects.

Each is fainter than a defect of its form: a crack is a gap and dark, a hairline that darkens the surface by a tenth
is none.
"""

import cv2
import numpy as np

from vidconcept.painting.patches import blob, draw_path, fit_canvas, stroke
from vidconcept.painting.textures import Rng, log_uniform, smooth_noise


def _arc(rng: Rng, scale: float) -> np.ndarray:
    """A smooth line `(h, w)` in 0..1, as a turning tool or a dragged part leaves it."""
    radius, span = log_uniform(rng, 15, 500) * scale, log_uniform(rng, 12, 200) * scale
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, min(span / radius, 5.0), 24)
    size, points = fit_canvas(radius * np.stack([np.cos(angles), np.sin(angles)], 1), 6 * scale)
    return stroke(size, points, rng.uniform(0.6, 2.5) * scale)


def _hairline(rng: Rng, scale: float) -> np.ndarray:
    """A wavering line of uneven strength: a tide mark, a flow line, a grain boundary."""
    length, step = log_uniform(rng, 12, 200) * scale, rng.uniform(2, 6) * scale
    path = draw_path(rng, length, step, rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.5))
    size, points = fit_canvas(path, 6 * scale)
    uneven = rng.uniform(0.3, 1.0) + rng.uniform(0.2, 0.8) * smooth_noise(rng, *size, 12 * scale, 12 * scale)
    return stroke(size, points, rng.uniform(0.6, 3.5) * scale) * np.clip(uneven, 0, 1.2)


def _speck(rng: Rng, scale: float) -> np.ndarray:
    radius = log_uniform(rng, 0.7, 3.5) * scale
    reach = int(np.ceil(radius + 3))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    return np.clip(radius - np.hypot(x * rng.uniform(0.5, 1), y) + 0.5, 0, 1)


def _smudge(rng: Rng, scale: float) -> np.ndarray:
    """A blotch, soft or with an outline, even, cloudy, or dried with a rim."""
    size = (int(log_uniform(rng, 8, 80) * scale) + 2, int(log_uniform(rng, 8, 80) * scale) + 2)
    field = blob(rng, *size, rng.uniform(0.0, 0.3))
    alpha = np.clip(field / log_uniform(rng, 0.05, 0.7) + 0.5 * (rng.random() < 0.5), 0, 1)
    if rng.random() < 0.3:
        alpha = 0.4 * alpha + np.exp(-((field / rng.uniform(0.06, 0.2)) ** 2))
    return alpha * np.clip(1 + rng.uniform(0, 0.5) * smooth_noise(rng, *size, 6 * scale, 6 * scale), 0, 2)


def _streaks(rng: Rng, scale: float) -> np.ndarray:
    """A soft zone of parallel lines that catch the light, as a grinding wheel leaves where it sets down."""
    length, band = log_uniform(rng, 15, 160) * scale, log_uniform(rng, 8, 90) * scale
    size = (int(band) + 4, int(length) + 4)
    lines = np.clip(smooth_noise(rng, *size, rng.uniform(0.8, 2.5) * scale, length) - rng.uniform(-0.5, 0.8), 0, 2)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j].astype(np.float32)
    mark = lines * np.clip(2 * (1 - y * y), 0, 1) * np.clip(1.5 * (1 - x * x), 0, 1)
    return mark if rng.random() < 0.5 else np.ascontiguousarray(mark.T)


# Shape, share of all marks, weakest and strongest contrast.
_KINDS = (
    (_arc, 0.22, 0.05, 0.25),
    (_hairline, 0.33, 0.05, 0.28),
    (_speck, 0.2, 0.05, 0.3),
    (_smudge, 0.2, 0.03, 0.14),
    (_streaks, 0.05, 0.04, 0.16),
)


def faint_marks(rng: Rng, height: int, width: int, scale: float) -> np.ndarray:
    """Gain `(h, w)` float32 of a strip's faint marks; nearly half of the strips have none. scale: see `build_strip`."""
    gain = np.ones((height, width), np.float32)
    if rng.random() > 0.55:
        return gain
    shares = np.array([kind[1] for kind in _KINDS]) * rng.uniform(0.1, 1, len(_KINDS))
    strength = rng.uniform(0.4, 1.0)
    for _ in range(1 + int(rng.poisson(log_uniform(rng, 2, 45) * height * width / (scale * scale) / 65536))):
        shape, _, low, high = _KINDS[int(rng.choice(len(_KINDS), p=shares / shares.sum()))]
        mark = cv2.GaussianBlur(shape(rng, scale).astype(np.float32), (0, 0), rng.uniform(0.3, 1.1) * scale)
        # Mostly dark; a bright line of the same strength would be a scratch.
        sign = 1.0 if shape is _streaks else rng.choice([-1, -1, -1, 0.8 if shape is _smudge else 0.4])
        mark *= sign * strength * log_uniform(rng, low, high)
        rows, columns = mark.shape
        x, y = int(rng.integers(-columns // 2, width)), int(rng.integers(-rows // 2, height))
        left, top, right, bottom = max(0, -x), max(0, -y), min(columns, width - x), min(rows, height - y)
        if right > left and bottom > top:
            gain[y + top : y + bottom, x + left : x + right] *= 1 + mark[top:bottom, left:right]
    return gain
