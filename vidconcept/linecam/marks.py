"""Faint marks that good surfaces carry: tool arcs, hairlines, tide marks, specks, smudges. They are no defects.

Each is fainter than a defect of its form: a crack is a gap and dark, a hairline that darkens the surface by a tenth
is none.
"""

import cv2
import numpy as np

from vidconcept.linecam.patches import canvas_of, random_path, stroke
from vidconcept.linecam.textures import Rng, log_uniform, smooth_noise


def _arc(rng: Rng, scale: float) -> np.ndarray:
    """A smooth line `(h, w)` in 0..1, as a turning tool or a dragged part leaves it."""
    radius, span = log_uniform(rng, 15, 500) * scale, log_uniform(rng, 12, 200) * scale
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, min(span / radius, 5.0), 24)
    size, points = canvas_of(radius * np.stack([np.cos(angles), np.sin(angles)], 1), 6 * scale)
    return stroke(size, points, rng.uniform(0.6, 2.5) * scale)


def _hairline(rng: Rng, scale: float) -> np.ndarray:
    """A wavering line of uneven strength: a tide mark, a flow line, a grain boundary."""
    length, step = log_uniform(rng, 12, 200) * scale, rng.uniform(2, 6) * scale
    path = random_path(rng, length, step, rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.5))
    size, points = canvas_of(path, 6 * scale)
    uneven = rng.uniform(0.3, 1.0) + rng.uniform(0.2, 0.8) * smooth_noise(rng, *size, 12 * scale, 12 * scale)
    return stroke(size, points, rng.uniform(0.6, 3.5) * scale) * np.clip(uneven, 0, 1.2)


def _speck(rng: Rng, scale: float) -> np.ndarray:
    radius = log_uniform(rng, 0.7, 3.5) * scale
    reach = int(np.ceil(radius + 3))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    return np.clip(radius - np.hypot(x * rng.uniform(0.5, 1), y) + 0.5, 0, 1)


def _smudge(rng: Rng, scale: float) -> np.ndarray:
    size = (int(log_uniform(rng, 8, 70) * scale) + 2, int(log_uniform(rng, 8, 70) * scale) + 2)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j].astype(np.float32)
    texture = 1 + 0.5 * smooth_noise(rng, *size, 6 * scale, 6 * scale)
    return np.clip(1 - x * x - y * y, 0, 1) * np.clip(texture, 0, 2)


# Shape, share of all marks, weakest and strongest contrast.
_KINDS = ((_arc, 0.25, 0.05, 0.25), (_hairline, 0.4, 0.05, 0.35), (_speck, 0.25, 0.05, 0.3), (_smudge, 0.1, 0.02, 0.1))


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
        mark *= rng.choice([-1, -1, -1, 0.4]) * strength * log_uniform(rng, low, high)
        rows, columns = mark.shape
        x, y = int(rng.integers(-columns // 2, width)), int(rng.integers(-rows // 2, height))
        left, top, right, bottom = max(0, -x), max(0, -y), min(columns, width - x), min(rows, height - y)
        if right > left and bottom > top:
            gain[y + top : y + bottom, x + left : x + right] *= 1 + mark[top:bottom, left:right]
    return gain
