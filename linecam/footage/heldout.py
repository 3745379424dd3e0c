"""Two styles that training never sees, with textures, part shapes and defect painters of their own.

They share no painting code with `textures`, `scene` and `defects`: noise is shaped in the Fourier domain, lines are
distance fields of Bezier curves, cracks are borders of Voronoi cells. Training shows toothed parts too, by `outlines`.
"""

import cv2
import numpy as np

from vidconcept.painting.patches import Ground, Patch
from vidconcept.painting.textures import Rng


def spectral_noise(rng: Rng, height: int, width: int, slope: float, stretch: float = 1.0) -> np.ndarray:
    """Noise `(h, w)` float32 of unit deviation with amplitude falling as frequency^-slope, stretched along x."""
    spectrum = np.fft.rfft2(rng.standard_normal((height, width)))
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None] * stretch
    spectrum *= (np.hypot(fy, fx) + 1.0 / max(height, width)) ** -slope
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, (height, width))
    return (field / (field.std() + 1e-9)).astype(np.float32)


def turned(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Face turning: rings of tool marks round centres that repeat along the line, under power-law mottling."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    pitch = rng.uniform(150, 320) * scale
    u = np.mod(x - rng.uniform(0, pitch), pitch) - pitch / 2
    radius = np.hypot(u, y - h * rng.uniform(0.3, 0.7))
    angle = np.arctan2(y - h / 2, u)
    rings = np.sin(radius * (2 * np.pi / (rng.uniform(2.5, 7) * scale)) + 0.5 * spectral_noise(rng, h, w, 1.2))
    sheen = np.cos(2 * angle + rng.uniform(0, 6)) * rng.uniform(0.3, 1.2)
    return rng.uniform(0.3, 0.8) * rings + sheen + 0.6 * spectral_noise(rng, h, w, rng.uniform(0.3, 1.0))


def woven(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """A web of crossing threads or embossed sheet: a periodic relief whose phase wanders."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    pitch = rng.uniform(4, 9) * scale
    wander = spectral_noise(rng, h, w, 2.0) * 0.8
    warp = np.sin(x * (2 * np.pi / pitch) + wander)
    weft = np.sin(y * (2 * np.pi / (pitch * rng.uniform(0.8, 1.3))) + wander)
    over = np.sign(np.sin((x + y) * (np.pi / pitch)))
    return rng.uniform(0.4, 1.0) * (warp * (over > 0) + weft * (over <= 0)) + 0.6 * spectral_noise(rng, h, w, 1.5)


def cog_outline(rng: Rng, size_px: float) -> np.ndarray:
    """Outline `(n, 2)` of a part about the origin: a rounded body with teeth or lobes."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    teeth, depth = int(rng.integers(3, 18)), rng.uniform(0.02, 0.12)
    radius = 1 + depth * np.tanh(3 * np.sin(teeth * angle + rng.uniform(0, 6)))
    return (np.stack([np.cos(angle), np.sin(angle)], 1) * (radius * size_px / 2)[:, None]).astype(np.float32)


def _grid(reach_y: int, reach_x: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[-reach_y : reach_y + 1, -reach_x : reach_x + 1].astype(np.float32)
    return x, y


def _visible(rng: Rng, ground: Ground, low: float, high: float) -> float:
    floor = rng.uniform(1.0, 2.4) * ground.deviation / max(ground.mean, 0.04)
    return float(np.clip(max(rng.uniform(low, high), floor), low, max(high, 1.4)))


def _bezier_distance(rng: Rng, reach: int, bend: float) -> tuple[np.ndarray, np.ndarray]:
    """Distance `(h, w)` to a cubic curve through a square patch, and the curve parameter of the nearest point."""
    ends = rng.uniform(0, 2 * np.pi)
    a = np.array([np.cos(ends), np.sin(ends)]) * reach * 0.85
    control = rng.normal(0, bend * reach, (2, 2)) + np.stack([a / 3, -a / 3])
    t = np.linspace(0, 1, 60)[:, None]
    curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * control[0] + 3 * (1 - t) * t**2 * control[1] - t**3 * a
    x, y = _grid(reach, reach)
    distance = np.hypot(x[..., None] - curve[:, 0].astype(np.float32), y[..., None] - curve[:, 1].astype(np.float32))
    return distance.min(-1), distance.argmin(-1) / 59


def gouge(rng: Rng, ground: Ground) -> Patch:
    """Scratch: one or two smooth curves with a rounded profile that fade at their ends."""
    s = ground.scale
    reach = int(rng.uniform(8, 60) * s)
    alpha = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for _ in range(int(rng.integers(1, 3))):
        distance, along = _bezier_distance(rng, reach, 0.12)
        width = rng.uniform(0.5, 1.6) * s
        fade = np.clip(5 * np.minimum(along, 1 - along) + 0.35, 0, 1)
        alpha = np.maximum(alpha, np.exp(-((distance / width) ** 2)) * fade)
    strength = _visible(rng, ground, 0.25, 1.4)
    sign = 1 if rng.random() < 0.75 else -0.6
    gain = 1 - np.clip(-sign * alpha * strength, 0, 0.95) if sign < 0 else np.ones_like(alpha)
    add = alpha * strength * ground.mean * (sign > 0)
    return Patch(gain.astype(np.float32), add.astype(np.float32), alpha > 0.2)


def shatter(rng: Rng, ground: Ground) -> Patch:
    """Crack: a chain of Voronoi cell borders."""
    s = ground.scale
    reach = int(rng.uniform(12, 60) * s)
    x, y = _grid(reach, reach)
    seeds = rng.uniform(-1.2, 1.2, (14, 2)) * reach
    distance = np.hypot(x[..., None] - seeds[:, 0].astype(np.float32), y[..., None] - seeds[:, 1].astype(np.float32))
    nearest = np.sort(distance, -1)
    border = (nearest[..., 1] - nearest[..., 0]) / 2 + 0.8 * np.abs(spectral_noise(rng, len(x), len(x), 1.0)) * s * 0.4
    turn = rng.uniform(0, np.pi)
    across = np.abs(x * np.cos(turn) + y * np.sin(turn)) / reach
    alpha = (
        np.exp(-((border / (rng.uniform(0.5, 1.1) * s)) ** 2))
        * (across < rng.uniform(0.15, 0.4))
        * (np.hypot(x, y) < 0.95 * reach)
    )
    strength = min(_visible(rng, ground, 0.35, 0.95), 0.97)
    return Patch((1 - alpha * strength).astype(np.float32), np.zeros_like(alpha), alpha > 0.25)


def pore(rng: Rng, ground: Ground) -> Patch:
    """Hole: a dark superellipse with a soft wall."""
    s = ground.scale
    a, b = rng.uniform(1.5, 7, 2) * s
    a, b = max(a, b / 2), max(b, a / 2)
    x, y = _grid(int(b * 2) + 3, int(a * 2) + 3)
    power = rng.uniform(1.6, 4)
    distance = (np.abs(x / a) ** power + np.abs(y / b) ** power) ** (1 / power)
    alpha = 1 / (1 + np.exp((distance - 1) * rng.uniform(4, 12)))
    strength = min(_visible(rng, ground, 0.5, 0.97), 0.97)
    return Patch((1 - alpha * strength).astype(np.float32), np.zeros_like(alpha), alpha > 0.4)


def hollow(rng: Rng, ground: Ground) -> Patch:
    """Dent: the shading of a sum of Gaussian hollows."""
    s = ground.scale
    radius = rng.uniform(6, 28) * s
    reach = int(radius * 1.6)
    x, y = _grid(reach, reach)
    depth = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 4))):
        cx, cy = rng.normal(0, 0.2 * radius, 2)
        depth -= np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / (2 * (rng.uniform(0.35, 0.55) * radius) ** 2)))
    light = rng.uniform(0, 2 * np.pi)
    gy, gx = np.gradient(depth)
    shade = np.cos(light) * gx + np.sin(light) * gy
    shade /= np.abs(shade).max()
    strength = min(_visible(rng, ground, 0.2, 0.8), 0.9)
    return Patch((1 + shade * strength).astype(np.float32), np.zeros_like(x), depth < 0.3 * depth.min())


def facet(rng: Rng, ground: Ground) -> Patch:
    """Chip: a straight-sided bite out of the edge with one or two plane faces."""
    s = ground.scale
    width, height = int(rng.uniform(8, 40) * s), int(rng.uniform(10, 60) * s)
    canvas = np.zeros((height, width), np.uint8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 6))
    outline = np.stack([np.cos(angles) * width * 0.48 + width / 2, np.sin(angles) * height * 0.48 + height / 2], 1)
    cv2.fillPoly(canvas, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    alpha = canvas.astype(np.float32) / 255
    x, _ = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    plane = np.where(x > rng.uniform(-0.4, 0.4), rng.uniform(0.3, 1.7), rng.uniform(0.1, 0.7)).astype(np.float32)
    face = ground.mean * plane * (1 + 0.15 * spectral_noise(rng, height, width, 0.8))
    return Patch(1 - alpha, (alpha * np.maximum(face, 0)).astype(np.float32), alpha > 0.5)


def teeth(rng: Rng, ground: Ground) -> Patch:
    """Fray: a torn band whose border is a sum of sines of many lengths."""
    s = ground.scale
    width, height = int(rng.uniform(16, 50) * s), int(rng.uniform(20, 130) * s)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    border = sum(np.sin(y[:, 0] * 2 * np.pi / (length * s) + rng.uniform(0, 6)) * length for length in (3, 6, 11, 19))
    inner = width * 0.75 + np.asarray(border, np.float32) * s * 0.18
    taper = np.sin(np.pi * y / height) ** 0.5
    alpha = (x < inner[:, None] * taper).astype(np.float32)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.6 * s)
    rough = spectral_noise(rng, height, width, rng.uniform(0.2, 0.8))
    face = ground.mean * rng.uniform(0.3, 0.9) * np.maximum(1 + 0.6 * rough, 0)
    return Patch(1 - alpha, (alpha * face).astype(np.float32), alpha > 0.4)


def _spectral_blob(
    rng: Rng, ground: Ground, low_px: float, high_px: float, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    reach_y, reach_x = (int(v * ground.scale) for v in rng.uniform(low_px, high_px, 2))
    x, y = _grid(reach_y, reach_x)
    field = (
        0.7 - np.hypot(x / reach_x, y / reach_y) + 0.22 * spectral_noise(rng, 2 * reach_y + 1, 2 * reach_x + 1, slope)
    )
    return field, 1 / (1 + np.exp(-field * rng.uniform(6, 40)))


def blotch(rng: Rng, ground: Ground) -> Patch:
    """Stain: a darker or lighter blot with a spectral outline."""
    field, alpha = _spectral_blob(rng, ground, 10, 60, 2.0)
    strength = _visible(rng, ground, 0.22, 0.7)
    gain = 1 - alpha * min(strength, 0.8) if rng.random() < 0.65 else 1 + alpha * min(strength, 1.0)
    tint = tuple(rng.uniform(0.75, 1.1, 3))
    return Patch(gain.astype(np.float32), np.zeros_like(field), alpha > 0.5, tint, alpha.astype(np.float32))


def bloom(rng: Rng, ground: Ground) -> Patch:
    """Rust: a brown mottled patch with satellites."""
    field, alpha = _spectral_blob(rng, ground, 8, 36, 0.9)
    mottle = spectral_noise(rng, len(field), field.shape[1], 0.7)
    strength = min(_visible(rng, ground, 0.35, 0.8), 0.85)
    gain = 1 - alpha * strength * np.clip(0.8 + 0.3 * mottle, 0.1, 1.1)
    return Patch(gain.astype(np.float32), np.zeros_like(field), alpha > 0.4, (1.3, 0.7, 0.4), alpha.astype(np.float32))


PAINTERS = {
    "scratch": gouge, "dent": hollow, "crack": shatter, "hole": pore,
    "chip": facet, "fray": teeth, "stain": blotch, "rust": bloom,
}  # fmt: skip
SURFACES = {"turned": turned, "woven": woven}
