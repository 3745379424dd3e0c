"""Painters of defects that sit on a part's edge, their left side outward: chips, frays, burrs."""

import cv2
import numpy as np

from vidconcept.painting.patches import Ground, Patch, blob, stroke
from vidconcept.painting.textures import SURFACES, Rng, log_uniform, octaves, smooth_noise, surface


def _facets(rng: Rng, height: int, width: int, scale: float) -> np.ndarray:
    """Brightness about 0 of a few planes that meet at sharp, slightly crooked borders."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    for axis in (y, x):
        axis += rng.uniform(0.5, 3) * scale * smooth_noise(rng, height, width, 8 * scale, 8 * scale)
    planes = int(rng.integers(2, 8))
    nearest = np.full((height, width), np.inf, np.float32)
    out = np.zeros((height, width), np.float32)
    for _ in range(planes):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        distance = np.hypot((y - cy) * rng.uniform(0.5, 1), (x - cx) * rng.uniform(0.5, 1))
        tilt = (rng.normal(0, 0.5) * (y - cy) + rng.normal(0, 0.5) * (x - cx)) / max(height, width)
        out = np.where(distance < nearest, rng.uniform(-1, 1) + tilt, out)
        nearest = np.minimum(nearest, distance)
    return out


def _broken_face(rng: Rng, height: int, width: int, ground: Ground, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and add that replace the surface by a broken face: smooth facets or terraces, and a lit break line."""
    s = ground.scale
    level = rng.uniform(0.15, 1.1) * ground.mean if rng.random() < 0.7 else rng.uniform(1.2, 2.4) * ground.mean
    face = level * (1 + rng.uniform(0.1, 0.3) * octaves(rng, height, width, rng.uniform(12, 45) * s, 3, 0.5))
    if rng.random() < 0.7:
        face = face * (1 + rng.uniform(0.25, 0.7) * _facets(rng, height, width, s))
    if rng.random() < 0.15:
        # It broke along another grain.
        skin = surface(rng, height, width, s, str(rng.choice(list(SURFACES))))
        face = face * np.exp(rng.uniform(0.05, 0.35) * np.clip(skin, -3, 3))
    if rng.random() < 0.35:
        # Terraces of a conchoidal break.
        waves = octaves(rng, height, width, rng.uniform(20, 60) * s, 2, 0.5)
        face = face * (1 + rng.uniform(0.2, 0.6) * np.sign(np.sin(waves * rng.uniform(3, 9))))
    if rng.random() < 0.25:
        sparkle = smooth_noise(rng, height, width, 1.2 * s, 1.2 * s)
        face = face + np.clip(sparkle - rng.uniform(1.5, 2.2), 0, 1) * ground.mean * rng.uniform(0.5, 2.0)
    edge = cv2.morphologyEx((alpha > 0.5).astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    edge = cv2.GaussianBlur(edge.astype(np.float32), (0, 0), 0.7)
    lip = (
        rng.uniform(-0.5, 0.9)
        * ground.mean
        * edge
        * np.clip(0.5 + smooth_noise(rng, height, width, 9 * s, 9 * s), 0, 1)
    )
    return 1 - alpha, alpha * np.maximum(face, 0) + lip


def chip(rng: Rng, ground: Ground) -> Patch:
    """A piece broken out of an edge: a sharp outline round a broken face, or nothing but the bed behind it."""
    s = ground.scale
    height, width = int(log_uniform(rng, 8, 130) * s) + 2, int(log_uniform(rng, 8, 60) * s) + 2
    if rng.random() < 0.25:
        # A long narrow one along the edge.
        height, width = int(log_uniform(rng, 40, 220) * s), int(log_uniform(rng, 6, 20) * s) + 2
    field = blob(rng, height, width, rng.uniform(0.06, 0.2))
    alpha = np.clip(field * min(height, width) / 2 + 0.5, 0, 1)
    if rng.random() < 0.3:
        bed = ground.bed * (1 + 0.1 * smooth_noise(rng, height, width, 3 * s, 3 * s))
        return Patch(1 - alpha, (alpha * bed).astype(np.float32), alpha > 0.5)
    gain, add = _broken_face(rng, height, width, ground, alpha)
    return Patch(gain, add.astype(np.float32), alpha > 0.5)


def fray(rng: Rng, ground: Ground) -> Patch:
    """A ragged or burred edge: rough torn material along the edge, or thin bright spikes that stand out over it."""
    s = ground.scale
    kind = rng.random()
    if kind < 0.35:
        return _burr(rng, ground)
    if kind < 0.6:
        return _raw_skin(rng, ground)
    height, width = int(log_uniform(rng, 20, 190) * s), int(log_uniform(rng, 7, 55) * s)
    field = blob(rng, height, width, rng.uniform(0.3, 0.55), rng.uniform(0.15, 0.3))
    alpha = np.clip(field * 5, 0, 1)
    rough = octaves(rng, height, width, rng.uniform(2, 10) * s, 4, 0.95)
    level = ground.mean * rng.uniform(0.25, 0.9)
    face = level * (1 + rng.uniform(0.35, 0.75) * rough)
    sparkle = smooth_noise(rng, height, width, rng.uniform(1, 3) * s, rng.uniform(1, 3) * s)
    face = face + np.clip(sparkle - rng.uniform(0.8, 1.8), 0, 1) * ground.mean * rng.uniform(0.3, 2.5)
    mask = cv2.morphologyEx((alpha > 0.4).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return Patch((1 - alpha).astype(np.float32), (alpha * np.maximum(face, 0)).astype(np.float32), mask)


def _raw_skin(rng: Rng, ground: Ground) -> Patch:
    """Material that the tool did not reach: a tongue of dull skin from the edge inward, glinting along its border."""
    s = ground.scale
    height, width = int(log_uniform(rng, 26, 190) * s), int(log_uniform(rng, 16, 140) * s)
    y, x = np.mgrid[-1 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    tongue = 0.85 * np.clip(1 - x, 0, 1) ** rng.uniform(0.35, 1.3)
    wobble = octaves(rng, height, width, rng.uniform(10, 60) * s, 3, 0.7)
    field = (tongue - np.abs(y) + rng.uniform(0.05, 0.2) * wobble) * height / 2
    alpha = np.clip(field / s + 0.5, 0, 1)
    rough = octaves(rng, height, width, log_uniform(rng, 3, 30) * s, 4, 0.8)
    face = ground.mean * rng.uniform(0.15, 0.8) * (1 + rng.uniform(0.05, 0.35) * rough)
    glints = smooth_noise(rng, height, width, rng.uniform(1, 3) * s, rng.uniform(1, 3) * s) - rng.uniform(0.3, 1.5)
    rim = np.exp(-((field / (rng.uniform(1.5, 7) * s)) ** 2)) + rng.uniform(0, 0.3)
    face = face + np.clip(glints, 0, 1) * rim * ground.mean * rng.uniform(0, 2.5)
    return Patch((1 - alpha).astype(np.float32), (alpha * np.maximum(face, 0)).astype(np.float32), alpha > 0.5)


def _burr(rng: Rng, ground: Ground) -> Patch:
    s = ground.scale
    height, reach = int(log_uniform(rng, 14, 120) * s), int(rng.uniform(6, 16) * s) + 3
    size = (height + 2 * reach, 2 * reach)
    alpha = np.zeros(size, np.float32)
    for _ in range(max(6, int(height / s * rng.uniform(0.3, 1.0)))):
        start = np.array([reach + rng.normal(0, 1.2 * s), rng.uniform(reach, reach + height)])
        stride = np.array([-rng.uniform(0.2, 0.9) * reach, rng.normal(0, 0.3) * reach])
        middle = start + stride * 0.5 + rng.normal(0, 0.1 * reach, 2)
        alpha = np.maximum(alpha, stroke(size, np.stack([start, middle, start + stride]), rng.uniform(0.6, 2.0) * s))
    level = ground.mean * rng.uniform(0.7, 2.2) * np.clip(1 + 0.4 * smooth_noise(rng, *size, 3 * s, 3 * s), 0.2, 2)
    mask = cv2.morphologyEx((alpha > 0.2).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return Patch((1 - alpha).astype(np.float32), (alpha * level).astype(np.float32), mask)
