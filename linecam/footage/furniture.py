"""What belongs on parts and is no defect: bolts and printed marks."""

import cv2
import numpy as np

from vidconcept.painting.patches import Patch
from vidconcept.painting.textures import Rng


def bolt(rng: Rng, scale: float, mean: float) -> Patch:
    """A bolt head with its slot, cross or hexagon, shaded, on a surface of luminance `mean`."""
    radius = rng.uniform(6, 24) * scale
    reach = int(radius * 1.3) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    distance, angle = np.hypot(x, y), np.arctan2(y, x)
    head = radius * (1 - 0.06 * np.cos(6 * angle)) if rng.random() < 0.5 else radius
    alpha = np.clip(head - distance + 0.5, 0, 1)
    face = (
        mean * rng.uniform(0.5, 1.8) * (1 + rng.uniform(-0.5, 0.5) * x / radius + rng.uniform(-0.5, 0.5) * y / radius)
    )
    face *= 1 + rng.uniform(-0.4, 0.7) * np.exp(-(((distance - 0.85 * radius) / (0.09 * radius + 0.5)) ** 2))
    turn = rng.uniform(0, np.pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), -x * np.sin(turn) + y * np.cos(turn)
    slot = {
        0: (np.abs(u) < 0.14 * radius) & (np.abs(v) < 0.75 * radius),
        1: ((np.abs(u) < 0.12 * radius) | (np.abs(v) < 0.12 * radius)) & (distance < 0.6 * radius),
        2: np.maximum(np.abs(u), np.abs(0.5 * u) + np.abs(0.87 * v)) < 0.42 * radius,
        3: np.zeros_like(u, bool),
    }[int(rng.integers(4))]
    face = np.where(cv2.GaussianBlur(slot.astype(np.float32), (0, 0), 0.6) > 0.5, face * rng.uniform(0.1, 0.5), face)
    shade = 1 - 0.4 * np.exp(-np.maximum(distance - radius, 0) / (0.12 * radius)) * (distance > radius)
    return Patch(((1 - alpha) * shade).astype(np.float32), (alpha * face).astype(np.float32), alpha > 0.4)


def printed_mark(rng: Rng, scale: float, mean: float) -> Patch:
    """A printed or engraved mark: text, a data matrix, a bar code, or a sticker that carries one."""
    cell = max(1, round(rng.uniform(1.5, 3.5) * scale))
    kind = rng.integers(3)
    if kind == 0:
        letters = "".join(rng.choice(list("ABCDEFHKLMNPRSTXZ0123456789-"), int(rng.integers(2, 9))))
        size = rng.uniform(0.3, 1.1) * scale
        thickness = max(1, round(size * rng.uniform(1, 2.4)))
        (width, height), base = cv2.getTextSize(letters, cv2.FONT_HERSHEY_SIMPLEX, size, thickness)
        ink = np.zeros((height + base + 6, width + 8), np.uint8)
        cv2.putText(ink, letters, (4, height + 2), cv2.FONT_HERSHEY_SIMPLEX, size, 255, thickness, cv2.LINE_AA)
        ink = ink.astype(np.float32) / 255
    else:
        cells = (rng.random((14, 14)) < 0.5) if kind == 1 else np.repeat(rng.random((1, 40)) < 0.5, 16, 0)
        ink = np.kron(cells.astype(np.float32), np.ones((cell, cell), np.float32))
    ink = np.pad(ink, max(3, round(4 * scale)))
    mask = cv2.dilate((ink > 0.3).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    if rng.random() < 0.2:
        # Stamped: no ink, one flank of each stroke lit and the other dark.
        relief = ink - np.roll(ink, rng.choice([-1, 1], 2) * max(1, round(scale)), (0, 1))
        return Patch(1 + rng.uniform(0.15, 0.6) * relief, np.zeros_like(ink), mask)
    tone = rng.uniform(0.1, 0.6) if rng.random() < 0.7 else rng.uniform(1.5, 2.5)
    if rng.random() < 0.35:
        paper = mean * rng.uniform(1.3, 2.5)
        return Patch(np.zeros_like(ink), paper * (1 - 0.8 * ink), np.ones_like(mask))
    return Patch(1 - ink * rng.uniform(0.6, 1.0), ink * tone * mean * rng.uniform(0.3, 1), mask)
