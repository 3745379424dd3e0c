"""Painters of defects that are spots and areas: holes, dents, stains, rust."""

import cv2
import numpy as np

from vidconcept.painting.patches import Ground, Patch, blob, contrast
from vidconcept.painting.textures import SURFACES, Rng, log_uniform, octaves, smooth_noise, surface


def hole(rng: Rng, ground: Ground) -> Patch:
    """A pore: a small dark spot, round, long or irregular, some with a lit rim or floor, some a cluster of several."""
    s = ground.scale
    spots = 1 if rng.random() < 0.75 else int(rng.integers(2, 6))
    radius = log_uniform(rng, 1.3, 9) * s
    reach = int(np.ceil(radius * (2.2 if spots == 1 else 5) + 3))
    size = (2 * reach + 1, 2 * reach + 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    alpha, rim = np.zeros(size, np.float32), np.zeros(size, np.float32)
    light = rng.uniform(0, 2 * np.pi)
    for spot in range(spots):
        r = radius * (1.0 if spot == 0 else rng.uniform(0.3, 0.9))
        cx, cy = (0.0, 0.0) if spot == 0 else rng.uniform(-0.6, 0.6, 2) * reach
        angle, squash = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0) if rng.random() < 0.75 else rng.uniform(0.25, 0.5)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (-(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)) / squash
        distance = np.sqrt(u * u + v * v)
        if r > 2.5 * s:
            distance = distance + 0.2 * r * smooth_noise(rng, *size, r * 0.8, r * 0.8)
        alpha = np.maximum(alpha, np.clip((r - distance) / rng.uniform(0.8, 2.0) + 0.5, 0, 1))
        edge = np.exp(-(((distance - r - 0.5) / (0.8 + 0.12 * r)) ** 2))
        rim = np.maximum(rim, edge * np.clip((np.cos(light) * (x - cx) + np.sin(light) * (y - cy)) / max(r, 1), 0, 1))
    strength = min(contrast(rng, ground, 0.35, 0.97), 0.97)
    lit = rng.uniform(0.1, 0.8) if rng.random() < 0.4 else 0.0
    depth = alpha * np.clip(0.9 + 0.15 * smooth_noise(rng, *size, 3, 3), 0, 1)
    if radius > 2 * s and rng.random() < 0.3:
        # Light reaches the floor: what stays dark is a crescent under the wall, or all of the wall.
        inner = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.25, 0.5) * radius)
        shift = rng.uniform(0, 0.5) * radius
        turn = np.array([[1, 0, shift * np.cos(light)], [0, 1, shift * np.sin(light)]])
        floor = cv2.warpAffine(inner, turn, (size[1], size[0])) * rng.uniform(0.5, 1.2)
        depth = depth * np.clip(1 - floor, 0, 1)
    gain, add = 1 - depth * strength, rim * lit * strength * ground.mean * (1 - alpha)
    return Patch(gain.astype(np.float32), add.astype(np.float32), alpha > 0.4)


def dent(rng: Rng, ground: Ground) -> Patch:
    """A hollow or a bump: no change of material, only shading, bright towards one side and dark towards the other."""
    s = ground.scale
    radius = log_uniform(rng, 5, 34) * s
    reach = int(np.ceil(radius * 1.9))
    size = (2 * reach + 1, 2 * reach + 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    angle, squash = rng.uniform(0, np.pi), rng.uniform(0.45, 1.0)
    u = x * np.cos(angle) + y * np.sin(angle)
    v = (-x * np.sin(angle) + y * np.cos(angle)) / squash
    distance = np.sqrt(u * u + v * v) / radius
    if rng.random() < 0.5:
        distance = distance * (1 + 0.1 * smooth_noise(rng, *size, radius, radius))
    # A flat-bottomed or a round hollow, then the slope seen from the light.
    depth = 1 / (1 + np.exp((distance - 0.75) * rng.uniform(4, 14)))
    slope_y, slope_x = np.gradient(depth * radius)
    light = rng.uniform(0, 2 * np.pi)
    shade = np.cos(light) * slope_x + np.sin(light) * slope_y
    shade = shade / (np.abs(shade).max() + 1e-6)
    strength = contrast(rng, ground, 0.18, 0.9)
    gain = 1 + shade * min(strength, 0.9) + rng.uniform(-0.2, 0.1) * strength * depth
    glint = np.clip(shade - 0.7, 0, 1) * (rng.random() < 0.3) * rng.uniform(0.5, 2.0) * strength * ground.mean
    return Patch(np.maximum(gain, 0.05).astype(np.float32), glint.astype(np.float32), distance < 1.0)


def stain(rng: Rng, ground: Ground) -> Patch:
    """A patch of other brightness or colour, the texture showing through: smudge, rimmed drop, splash, uneven zone."""
    kind = rng.random()
    if kind < 0.3:
        return _zone(rng, ground)
    if kind < 0.45:
        return _splash(rng, ground)
    s = ground.scale
    height, width = (int(log_uniform(rng, 14, 170) * s) for _ in range(2))
    height, width = max(height, width // 4), max(width, height // 4)
    field = blob(rng, height, width, rng.uniform(0.08, 0.35))
    softness = log_uniform(rng, 0.02, 0.5)
    alpha = np.clip(field / softness + 0.5, 0, 1)
    mask = alpha > 0.4
    kind = rng.random()
    if kind < 0.25:
        alpha = np.clip(alpha * 0.35 + np.exp(-((field / 0.08) ** 2)), 0, 1)
    elif kind < 0.6:
        alpha = alpha * np.clip(0.8 + 0.35 * octaves(rng, height, width, 25 * s, 3, 0.7), 0.1, 1.3)
    strength = contrast(rng, ground, 0.18, 0.8)
    brighter = rng.random() < 0.4
    gain = 1 + alpha * min(strength, 1.2) if brighter else 1 - np.clip(alpha * min(strength, 0.8), 0, 0.92)
    tint = tuple(rng.uniform(0.75, 1.1, 3)) if rng.random() < 0.6 else None
    return Patch(gain.astype(np.float32), np.zeros_like(alpha), mask, tint, alpha)


def _zone(rng: Rng, ground: Ground) -> Patch:
    """A broad zone that was finished otherwise: wavering sides, brighter or darker, with streaks or another surface."""
    s = ground.scale
    height, width = (int(log_uniform(rng, 50, 480) * s) for _ in range(2))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    for axis in (y, x):
        axis += rng.uniform(0.01, 0.12) * smooth_noise(
            rng, height, width, *(log_uniform(rng, 20, 200) * s for _ in "yx")
        )
    power = rng.uniform(4, 10)
    field = 0.92 - (np.abs(x) ** power + np.abs(y) ** power) ** (1 / power)
    alpha = np.clip(field / log_uniform(rng, 0.01, 0.25) + 0.5, 0, 1)
    mask = alpha > 0.4
    length = log_uniform(rng, 40, 500) * s
    grain = (1.2 * s, length) if rng.random() < 0.5 else (length, 1.2 * s)
    alpha = alpha * np.clip(1 + rng.uniform(0, 0.6) * smooth_noise(rng, height, width, *grain), 0, 2)
    if rng.random() < 0.3:
        skin = surface(rng, height, width, s, str(rng.choice(list(SURFACES))))
        alpha = alpha * np.clip(1 + rng.uniform(0.1, 0.5) * np.clip(skin, -3, 3), 0, 2)
    strength = contrast(rng, ground, 0.18, 0.9)
    gain = 1 + alpha * strength if rng.random() < 0.55 else 1 - np.clip(alpha * min(strength, 0.7), 0, 0.9)
    tint = tuple(rng.uniform(0.85, 1.1, 3)) if rng.random() < 0.4 else None
    return Patch(gain.astype(np.float32), np.zeros_like(alpha), mask, tint, np.clip(alpha, 0, 1))


def _splash(rng: Rng, ground: Ground) -> Patch:
    """Drops or a run of liquid: spots of one strength scattered about a place, round or drawn out along one axis."""
    s = ground.scale
    reach_y, reach_x = (log_uniform(rng, 8, 90) * s for _ in range(2))
    size = (int(2 * reach_y) + 2, int(2 * reach_x) + 2)
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    field = np.full(size, -10.0, np.float32)
    drawn, largest = log_uniform(rng, 0.3, 3), rng.uniform(0.15, 0.5) * min(reach_y, reach_x)
    for _ in range(int(rng.integers(2, 14))):
        radius = max(largest * rng.uniform(0.3, 1), 2.5 * s)
        cy, cx = (limit / 2 * (1 + np.clip(rng.normal(0, 0.35), -0.75, 0.75)) for limit in size)
        field = np.maximum(field, radius - np.hypot((y - cy) / drawn, (x - cx) * min(drawn, 1.5)))
    field = field + rng.uniform(0, 0.3) * largest * octaves(rng, *size, max(largest, 3.0), 3, 0.7)
    alpha = np.clip(field / (log_uniform(rng, 0.8, 8) * s) + 0.5, 0, 1)
    mask = alpha > 0.4
    if rng.random() < 0.3:
        alpha = np.clip(0.35 * alpha + np.exp(-((field / (1.5 * s)) ** 2)), 0, 1)
    strength = contrast(rng, ground, 0.2, 0.8)
    gain = 1 + alpha * min(strength, 1.2) if rng.random() < 0.35 else 1 - alpha * min(strength, 0.8)
    tint = tuple(rng.uniform(0.75, 1.1, 3)) if rng.random() < 0.5 else None
    return Patch(gain.astype(np.float32), np.zeros_like(alpha), mask, tint, alpha)


def rust(rng: Rng, ground: Ground) -> Patch:
    """Corrosion: rough, mottled, speckled at its edge, brown in colour and mostly darker."""
    s = ground.scale
    height, width = (int(log_uniform(rng, 10, 90) * s) for _ in range(2))
    field = blob(rng, height, width, rng.uniform(0.35, 0.7), 0.4)
    grain = octaves(rng, height, width, 8 * s, 4, 0.85)
    alpha = np.clip((field + 0.25 * grain) * rng.uniform(2, 6), 0, 1)
    mask = cv2.morphologyEx((alpha > 0.25).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    strength = min(contrast(rng, ground, 0.3, 0.8), 0.85)
    gain = 1 - alpha * strength * np.clip(0.8 + 0.35 * grain, 0.1, 1.15)
    tint = (rng.uniform(1.15, 1.5), rng.uniform(0.65, 0.85), rng.uniform(0.3, 0.55))
    return Patch(gain.astype(np.float32), np.zeros_like(alpha), mask, tint, alpha)
