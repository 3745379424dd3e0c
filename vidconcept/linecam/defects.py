"""Defect painters: each returns a small patch that changes a surface's luminance, and the mask of what it changed."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vidconcept.linecam.textures import Rng, octaves, smooth_noise

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


def _log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def contrast(rng: Rng, ground: Ground, low: float, high: float) -> float:
    """A visible relative contrast: log-uniform, and above what the local texture would hide."""
    floor = rng.uniform(1.0, 2.6) * ground.deviation / max(ground.mean, 0.04)
    return max(_log_uniform(rng, low, high), min(floor, 1.6))


def random_path(rng: Rng, length_px: float, step_px: float, wander: float, jag: float) -> np.ndarray:
    """Points `(n, 2)` of a path about the origin: the heading drifts by `wander` and jumps by `jag` radians a step."""
    n = max(3, int(length_px / step_px))
    drift = np.cumsum(rng.normal(0, wander, n)) + rng.normal(0, jag, n)
    heading = rng.uniform(0, 2 * np.pi) + drift - drift.mean()
    points = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step_px, 0)
    return (points - (points.min(0) + points.max(0)) / 2).astype(np.float32)


def _stroke(size: tuple[int, int], points: np.ndarray, width_px: float) -> np.ndarray:
    """Anti-aliased stroke `(h, w)` float32 in 0..1; strokes thinner than a pixel become fainter instead."""
    canvas = np.zeros(size, np.uint8)
    thickness = max(1, round(width_px))
    cv2.polylines(canvas, [np.round(points * 2**_SHIFT).astype(np.int32)], False, 255, thickness, cv2.LINE_AA, _SHIFT)
    return canvas.astype(np.float32) * (min(1.0, width_px) / 255)


def _canvas(points: np.ndarray, margin_px: float) -> tuple[tuple[int, int], np.ndarray]:
    low = np.floor(points.min(0) - margin_px)
    high = np.ceil(points.max(0) + margin_px)
    return (int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1), (points - low).astype(np.float32)


def blob(rng: Rng, height: int, width: int, roughness: float, longest_frac: float = 0.6) -> np.ndarray:
    """Signed field `(h, w)`, positive inside an irregular blob that fills most of the patch."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    field = 0.75 - np.sqrt(x * x + y * y)
    size = max(height, width)
    return field + roughness * octaves(rng, height, width, max(2.0, size * longest_frac), 4, 0.65)


def scratch(rng: Rng, ground: Ground) -> Patch:
    """A streak or a bunch of streaks, mostly bright, straight or slightly bent, broken and of uneven strength."""
    if rng.random() < 0.3:
        return _scuff(rng, ground)
    s = ground.scale
    length = _log_uniform(rng, 14, 260) * s
    bent = rng.random() < 0.35
    spine = random_path(rng, length, max(3.0, length / 24), 0.12 if bent else 0.006, 0.02)
    strands = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    spread = 0.0 if strands == 1 else rng.uniform(1.5, 9.0) * s
    size, spine = _canvas(spine, spread * 1.6 + 6 * s)
    alpha = np.zeros(size, np.float32)
    direction = spine[-1] - spine[0]
    normal = np.array([-direction[1], direction[0]]) / max(np.hypot(*direction), 1e-3)
    for strand in range(strands):
        offset = 0.0 if strand == 0 else rng.normal(0, spread * 0.6)
        width = _log_uniform(rng, 0.7, 4.5 if strand == 0 else 2.0) * min(s, 1.5 * s)
        first = 0 if strand == 0 else int(rng.integers(0, len(spine) // 2 + 1))
        last = len(spine) if strand == 0 else int(rng.integers(first + 2, len(spine) + 2))
        piece = spine[first:last] + normal * np.clip(offset, -1.5 * spread, 1.5 * spread)
        if len(piece) > 1:
            line = _stroke(size, piece, width)
            alpha = np.maximum(alpha, line * (1.0 if strand == 0 else rng.uniform(0.3, 1.0)))
    if rng.random() < 0.3:
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 1.2) * s)
    painted = alpha
    if rng.random() < 0.75:
        uneven = smooth_noise(rng, *size, _log_uniform(rng, 2, 30) * s, _log_uniform(rng, 2, 30) * s)
        painted = alpha * np.clip(rng.uniform(0.4, 1.0) + rng.uniform(0.3, 0.9) * uneven, 0, 1.4)
    strength = contrast(rng, ground, 0.16, 2.0)
    if rng.random() < 0.22:
        gain, add = 1 - np.clip(painted * min(strength, 0.85), 0, 0.9), np.zeros(size, np.float32)
    else:
        gain, add = np.ones(size, np.float32), painted * strength * max(ground.mean, 0.08)
        if rng.random() < 0.3:
            # The ridge beside the groove casts a thin dark line.
            gain = gain - 0.5 * np.roll(alpha, (1, 1), (0, 1)) * min(strength, 0.8)
    mask = alpha > 0.12
    if strands > 1:
        reach = 2 * round(spread / 2) + 1
        mask = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8)) > 0
    return Patch(gain, add.astype(np.float32), mask)


def _scuff(rng: Rng, ground: Ground) -> Patch:
    """A broad score along or across the line: a band of parallel streaks with torn, sparkling edges."""
    s = ground.scale
    length, band = _log_uniform(rng, 40, 420) * s, _log_uniform(rng, 3, 26) * s
    margin = int(4 * s) + 2
    size = (int(band) + 2 * margin, int(length) + 2 * margin)
    across = (np.arange(size[0], dtype=np.float32) - size[0] / 2)[:, None] / (band / 2)
    along = (np.arange(size[1], dtype=np.float32) - size[1] / 2)[None] / (length / 2)
    torn = 0.25 * smooth_noise(rng, *size, band / 3, _log_uniform(rng, 4, 60) * s)
    profile = np.clip((1 - np.abs(across) + torn) * rng.uniform(1.5, 6), 0, 1) * np.clip((1 - np.abs(along)) * 12, 0, 1)
    streaks = smooth_noise(rng, *size, _log_uniform(rng, 0.9, 2.5) * s, _log_uniform(rng, 30, 400) * s)
    uneven = smooth_noise(rng, *size, band, _log_uniform(rng, 15, 120) * s)
    depth = rng.uniform(0.3, 1.0)
    alpha = profile * np.clip((1 - depth) + depth * np.clip(0.5 + 0.8 * streaks, 0, 1.5) + 0.3 * uneven, 0, 1.5)
    strength = contrast(rng, ground, 0.2, 2.0)
    if rng.random() < 0.5:
        turn = (int(size[0]), int(size[1]))
        alpha, profile = (np.ascontiguousarray(a.T) for a in (alpha, profile))
        size = turn[::-1]
    elif rng.random() < 0.4:
        alpha, profile = _turned(alpha, profile, rng.normal(0, 12))
        size = alpha.shape
    mask = profile > 0.3
    if rng.random() < 0.15:
        return Patch(1 - np.clip(alpha * min(strength, 0.8), 0, 0.9), np.zeros(size, np.float32), mask)
    return Patch(np.ones(size, np.float32), (alpha * strength * max(ground.mean, 0.08)).astype(np.float32), mask)


def _turned(alpha: np.ndarray, profile: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """Both fields turned about their middle, on a canvas that holds them."""
    height, width = alpha.shape
    high = int(height + abs(np.sin(np.deg2rad(degrees))) * width) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, high / 2), degrees, 1.0)
    pad = (high - height) // 2
    rows = (pad, high - height - pad)
    out = [np.pad(a.astype(np.float32), (rows, (0, 0))) for a in (alpha, profile)]
    alpha, profile = (np.asarray(cv2.warpAffine(a, matrix, (width, high))) for a in out)
    return alpha, profile


def crack(rng: Rng, ground: Ground) -> Patch:
    """A dark jagged line that thins out, sometimes branched, sometimes with a brighter lip."""
    s = ground.scale
    length = _log_uniform(rng, 14, 150) * s
    step = rng.uniform(1.5, 5) * s
    paths = [random_path(rng, length, step, rng.uniform(0.08, 0.3), rng.uniform(0.15, 0.6))]
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        start = paths[0][rng.integers(len(paths[0]))]
        branch = random_path(rng, length * rng.uniform(0.15, 0.5), step, 0.2, 0.4)
        paths.append(branch - branch[0] + start)
    size, points = _canvas(np.concatenate(paths), 4 * s)
    splits = np.cumsum([len(p) for p in paths])[:-1]
    width = _log_uniform(rng, 0.7, 2.8) * s
    alpha = np.zeros(size, np.float32)
    for index, path in enumerate(np.split(points, splits)):
        pieces = np.array_split(np.arange(len(path)), 3)
        for taper, piece in zip((1.0, 0.8, 0.55), pieces, strict=True):
            line = path[piece[0] : piece[-1] + 2] if len(piece) else path[:0]
            if len(line) > 1:
                alpha = np.maximum(alpha, _stroke(size, line, width * taper * (1.0 if index == 0 else 0.7)))
    mask = alpha > 0.15
    uneven = np.clip(0.85 + 0.35 * smooth_noise(rng, *size, 6 * s, 6 * s), 0.3, 1.1)
    strength = min(contrast(rng, ground, 0.25, 0.97), 0.97)
    gain = 1 - np.clip(alpha * uneven * strength, 0, 0.97)
    add = np.zeros(size, np.float32)
    if rng.random() < 0.3:
        add = np.roll(alpha, rng.integers(-1, 2, 2), (0, 1)) * 0.3 * strength * ground.mean * (alpha < 0.4)
    return Patch(gain, add.astype(np.float32), mask)


def hole(rng: Rng, ground: Ground) -> Patch:
    """A pore: a small dark spot, round or irregular, sometimes with a lit rim, sometimes a cluster of several."""
    s = ground.scale
    spots = 1 if rng.random() < 0.75 else int(rng.integers(2, 6))
    radius = _log_uniform(rng, 1.3, 9) * s
    reach = int(np.ceil(radius * (2.2 if spots == 1 else 5) + 3))
    size = (2 * reach + 1, 2 * reach + 1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    alpha, rim = np.zeros(size, np.float32), np.zeros(size, np.float32)
    light = rng.uniform(0, 2 * np.pi)
    for spot in range(spots):
        r = radius * (1.0 if spot == 0 else rng.uniform(0.3, 0.9))
        cx, cy = (0.0, 0.0) if spot == 0 else rng.uniform(-0.6, 0.6, 2) * reach
        angle, squash = rng.uniform(0, np.pi), rng.uniform(0.5, 1.0)
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
    gain = 1 - alpha * strength * np.clip(0.9 + 0.15 * smooth_noise(rng, *size, 3, 3), 0, 1)
    return Patch(gain, (rim * lit * strength * ground.mean * (1 - alpha)).astype(np.float32), alpha > 0.4)


def dent(rng: Rng, ground: Ground) -> Patch:
    """A hollow or a bump: no change of material, only shading, bright towards one side and dark towards the other."""
    s = ground.scale
    radius = _log_uniform(rng, 5, 34) * s
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
    """A patch of other brightness or colour with the texture showing through: smudge, drop with a rim, unevenness."""
    s = ground.scale
    height, width = (int(_log_uniform(rng, 14, 170) * s) for _ in range(2))
    height, width = max(height, width // 4), max(width, height // 4)
    field = blob(rng, height, width, rng.uniform(0.08, 0.35))
    softness = _log_uniform(rng, 0.02, 0.5)
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


def rust(rng: Rng, ground: Ground) -> Patch:
    """Corrosion: rough, mottled, speckled at its edge, brown in colour and mostly darker."""
    s = ground.scale
    height, width = (int(_log_uniform(rng, 10, 90) * s) for _ in range(2))
    field = blob(rng, height, width, rng.uniform(0.35, 0.7), 0.4)
    grain = octaves(rng, height, width, 8 * s, 4, 0.85)
    alpha = np.clip((field + 0.25 * grain) * rng.uniform(2, 6), 0, 1)
    mask = cv2.morphologyEx((alpha > 0.25).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    strength = min(contrast(rng, ground, 0.3, 0.8), 0.85)
    gain = 1 - alpha * strength * np.clip(0.8 + 0.35 * grain, 0.1, 1.15)
    tint = (rng.uniform(1.15, 1.5), rng.uniform(0.65, 0.85), rng.uniform(0.3, 0.55))
    return Patch(gain.astype(np.float32), np.zeros_like(alpha), mask, tint, alpha)


def _broken_face(rng: Rng, height: int, width: int, ground: Ground, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and add that replace the surface by a broken face: facets, grain and a lit break line."""
    s = ground.scale
    level = rng.uniform(0.15, 1.1) * ground.mean if rng.random() < 0.8 else rng.uniform(1.2, 1.8) * ground.mean
    facets = octaves(rng, height, width, rng.uniform(6, 30) * s, 4, 0.75)
    face = level * (1 + rng.uniform(0.15, 0.5) * facets)
    if rng.random() < 0.5:
        sparkle = smooth_noise(rng, height, width, 1.2 * s, 1.2 * s)
        face = face + np.clip(sparkle - rng.uniform(1.0, 2.0), 0, 1) * ground.mean * rng.uniform(0.5, 2.0)
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
    height, width = int(_log_uniform(rng, 12, 100) * s), int(_log_uniform(rng, 12, 56) * s)
    field = blob(rng, height, width, rng.uniform(0.06, 0.2))
    alpha = np.clip(field * min(height, width) / 3 + 0.5, 0, 1)
    if rng.random() < 0.3:
        bed = ground.bed * (1 + 0.1 * smooth_noise(rng, height, width, 3 * s, 3 * s))
        return Patch(1 - alpha, (alpha * bed).astype(np.float32), alpha > 0.5)
    gain, add = _broken_face(rng, height, width, ground, alpha)
    return Patch(gain, add.astype(np.float32), alpha > 0.5)


def fray(rng: Rng, ground: Ground) -> Patch:
    """A ragged or burred edge: rough torn material along the edge, or thin bright spikes that stand out over it."""
    s = ground.scale
    if rng.random() < 0.4:
        return _burr(rng, ground)
    height, width = int(_log_uniform(rng, 20, 190) * s), int(_log_uniform(rng, 7, 55) * s)
    field = blob(rng, height, width, rng.uniform(0.25, 0.5), 0.3)
    alpha = np.clip(field * 5, 0, 1)
    rough = octaves(rng, height, width, rng.uniform(4, 14) * s, 4, 0.9)
    level = ground.mean * rng.uniform(0.25, 0.9)
    face = level * (1 + rng.uniform(0.25, 0.6) * rough)
    sparkle = smooth_noise(rng, height, width, rng.uniform(1, 3) * s, rng.uniform(1, 3) * s)
    face = face + np.clip(sparkle - rng.uniform(0.8, 1.8), 0, 1) * ground.mean * rng.uniform(0.3, 2.5)
    mask = cv2.morphologyEx((alpha > 0.4).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return Patch((1 - alpha).astype(np.float32), (alpha * np.maximum(face, 0)).astype(np.float32), mask)


def _burr(rng: Rng, ground: Ground) -> Patch:
    s = ground.scale
    height, reach = int(_log_uniform(rng, 14, 120) * s), int(rng.uniform(6, 16) * s) + 3
    size = (height + 2 * reach, 2 * reach)
    alpha = np.zeros(size, np.float32)
    for _ in range(max(6, int(height / s * rng.uniform(0.3, 1.0)))):
        start = np.array([reach + rng.normal(0, 1.2 * s), rng.uniform(reach, reach + height)])
        stride = np.array([-rng.uniform(0.2, 0.9) * reach, rng.normal(0, 0.3) * reach])
        middle = start + stride * 0.5 + rng.normal(0, 0.1 * reach, 2)
        alpha = np.maximum(alpha, _stroke(size, np.stack([start, middle, start + stride]), rng.uniform(0.6, 2.0) * s))
    level = ground.mean * rng.uniform(0.7, 2.2) * np.clip(1 + 0.4 * smooth_noise(rng, *size, 3 * s, 3 * s), 0.2, 2)
    mask = cv2.morphologyEx((alpha > 0.2).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return Patch((1 - alpha).astype(np.float32), (alpha * level).astype(np.float32), mask)


Painter = Callable[[Rng, Ground], Patch]
PAINTERS: dict[str, Painter] = {f.__name__: f for f in (scratch, dent, crack, hole, chip, fray, stain, rust)}
# These sit on a part's edge, their left side outward, and may stand out over it.
EDGE_DEFECTS = ("chip", "fray")
