"""Surface textures: reflectance of worked metal, paint, plastic and belts, made of stretched and summed noise."""

import cv2
import numpy as np

Rng = np.random.Generator


def smooth_noise(rng: Rng, height: int, width: int, length_y_px: float, length_x_px: float) -> np.ndarray:
    """Noise `(h, w)` float32 of about unit deviation whose features are `length` pixels long in each direction."""
    rows = max(2, int(np.ceil(height / max(length_y_px, 1.0))) + 3)
    columns = max(2, int(np.ceil(width / max(length_x_px, 1.0))) + 3)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    scale_y, scale_x = max(length_y_px, 1.0), max(length_x_px, 1.0)
    offset = rng.random(2) * (scale_x, scale_y)
    matrix = np.array(
        [[1 / scale_x, 0, 1 + offset[0] / scale_x * 0.5], [0, 1 / scale_y, 1 + offset[1] / scale_y * 0.5]]
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(grid, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)


def octaves(
    rng: Rng, height: int, width: int, longest_px: float, steps: int, falloff: float, stretch: float = 1.0
) -> np.ndarray:
    """Sum of `steps` noises, each half as long and `falloff` as strong as the one before, stretched along x."""
    total = np.zeros((height, width), np.float32)
    strength, length, norm = 1.0, longest_px, 0.0
    for _ in range(steps):
        total += strength * smooth_noise(rng, height, width, length, length * stretch)
        norm += strength**2
        strength, length = strength * falloff, max(length / 2, 0.8)
    return total / np.sqrt(norm)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def brushed(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Fine parallel lines of limited length over slow unevenness."""
    length = log_uniform(rng, 20, 300) * scale
    pitch = rng.uniform(0.8, 2.2) * max(1.0, scale * 0.7)
    field = smooth_noise(rng, h, w, pitch, length) + 0.6 * smooth_noise(rng, h, w, 2.5 * pitch, 2 * length)
    return field + rng.uniform(0.1, 0.9) * octaves(rng, h, w, 80 * scale, 3, 0.7)


def ground(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Grinding lines as long as the part, some of them strong, with brighter and darker zones along them."""
    lines = smooth_noise(rng, h, w, 1.0 * scale, log_uniform(rng, 120, 900) * scale)
    strong = smooth_noise(rng, h, w, 1.3 * scale, log_uniform(rng, 100, 700) * scale)
    strong = np.sign(strong) * np.maximum(np.abs(strong) - rng.uniform(1.0, 1.8), 0) * rng.uniform(1.0, 3.0)
    zones = smooth_noise(rng, h, w, 40 * scale, 90 * scale)
    lines = lines * (0.6 + 0.5 * np.clip(zones, -0.8, 2))
    field = lines + strong + rng.uniform(0.2, 1.2) * zones + 0.4 * smooth_noise(rng, h, w, scale, scale)
    if rng.random() < 0.4:
        # Bright crumbs along some of the lines.
        crumbs = smooth_noise(rng, h, w, 1.0 * scale, rng.uniform(1.5, 8) * scale) - rng.uniform(0.6, 1.4)
        rows = smooth_noise(rng, h, w, 1.4 * scale, 900 * scale) - rng.uniform(0.2, 1.2)
        field += rng.uniform(1.0, 3.5) * np.clip(crumbs, 0, 1.5) * np.clip(2 * rows, 0, 1)
    return field


def rolled(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Hot-rolled skin: mottled at all sizes, drawn out along the rolling direction, with dark patches of scale."""
    stretch = rng.uniform(1.0, 3.0)
    field = octaves(rng, h, w, log_uniform(rng, 12, 50) * scale, 5, rng.uniform(0.6, 1.0), stretch)
    if rng.random() < 0.6:
        patches = octaves(rng, h, w, log_uniform(rng, 8, 30) * scale, 3, 0.7, stretch)
        field -= rng.uniform(0.5, 2.0) * np.clip((patches - rng.uniform(0.6, 1.6)) * 3, 0, 1)
    return field


def cast(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Cast or sintered grain, the same in all directions."""
    return octaves(rng, h, w, log_uniform(rng, 2, 9) * scale, 3, 0.9) + rng.uniform(0, 0.8) * smooth_noise(
        rng, h, w, 50 * scale, 50 * scale
    )


def blasted(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Sand-blasted: grain at the limit of resolution."""
    return smooth_noise(rng, h, w, 1.0 * scale, 1.0 * scale) + 0.4 * smooth_noise(rng, h, w, 3 * scale, 3 * scale)


def milled(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Milled or planed: straight feed marks at an even pitch, sharp on one flank, deeper in some places than others."""
    pitch, sharp = log_uniform(rng, 2.5, 16) * scale, rng.uniform(0.5, 4)
    phase = np.arange(h, dtype=np.float32)[:, None] * (2 * np.pi / pitch)
    phase = phase + rng.uniform(0, 0.8) * smooth_noise(rng, h, w, 60 * scale, 200 * scale)
    marks = np.exp(sharp * (np.sin(phase) - 1))
    depth = np.clip(1 + rng.uniform(0.1, 0.6) * smooth_noise(rng, h, w, 30 * scale, 120 * scale), 0, 2)
    field = (marks - marks.mean()) / marks.std() * depth
    return field + rng.uniform(0.1, 0.8) * octaves(rng, h, w, 20 * scale, 4, 0.8, rng.uniform(1, 4))


def painted(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Paint: orange peel of a few pixels and slow unevenness."""
    return 0.6 * smooth_noise(rng, h, w, 5 * scale, 5 * scale) + smooth_noise(rng, h, w, 90 * scale, 90 * scale)


def speckled(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Ceramic or composite: an even ground with darker and brighter grains."""
    field = smooth_noise(rng, h, w, 2.0 * scale, 2.0 * scale)
    limit = rng.uniform(1.2, 2.2)
    return 2.0 * np.sign(field) * np.maximum(np.abs(field) - limit, 0) + 0.5 * smooth_noise(
        rng, h, w, 30 * scale, 30 * scale
    )


SURFACES = {f.__name__: f for f in (brushed, ground, milled, rolled, cast, blasted, painted, speckled)}


def belt(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """A belt or bed under the parts: rubber, ribs, mesh or plain sheet."""
    kind = rng.integers(4)
    field = rng.uniform(0.2, 1.0) * octaves(rng, h, w, 20 * scale, 4, 0.8)
    pitch = rng.uniform(5, 24) * scale
    if kind == 1:
        field += rng.uniform(0.5, 2.5) * np.sin(np.arange(w, dtype=np.float32) * (2 * np.pi / pitch))[None]
    elif kind == 2:
        x = np.sin(np.arange(w, dtype=np.float32) * (2 * np.pi / pitch))[None]
        y = np.sin(np.arange(h, dtype=np.float32) * (2 * np.pi / pitch))[:, None]
        field += rng.uniform(0.5, 2.0) * np.maximum(x, y)
    return field


def mottle(rng: Rng, h: int, w: int, scale: float) -> np.ndarray:
    """Log-gain `(h, w)` of a surface that is uneven and good all the same: clouds, bands, dark specks."""
    field = np.zeros((h, w), np.float32)
    if rng.random() < 0.5:
        length, stretch = log_uniform(rng, 8, 70) * scale, log_uniform(rng, 1, 6)
        clouds = octaves(rng, h, w, length, 4, rng.uniform(0.5, 0.9), stretch)
        field += clouds * log_uniform(rng, 0.015, 0.14)
    if rng.random() < 0.35:
        bands = smooth_noise(rng, h, w, log_uniform(rng, 6, 60) * scale, 600 * scale)
        field += bands * log_uniform(rng, 0.02, 0.15)
    if rng.random() < 0.2:
        grain = smooth_noise(rng, h, w, rng.uniform(1.0, 2.2) * scale, rng.uniform(1.0, 4.0) * scale)
        field -= np.clip(grain - rng.uniform(1.6, 2.6), 0, 1) * rng.uniform(0.08, 0.3)
    return field


def light_from_side(rng: Rng, field: np.ndarray, scale: float) -> np.ndarray:
    """The field `(h, w)` read as heights under a low light: flanks towards it are bright, the others dark."""
    heights = cv2.GaussianBlur(field.astype(np.float32), (0, 0), log_uniform(rng, 0.5, 2.5) * scale)
    slope_y, slope_x = np.gradient(heights)
    light = rng.uniform(0, 2 * np.pi)
    shade = np.sin(light) * slope_y + np.cos(light) * slope_x
    return shade / (shade.std() + 1e-6) + rng.uniform(0, 0.8) * field


def surface(rng: Rng, h: int, w: int, scale: float, kind: str) -> np.ndarray:
    """A surface of the given kind, `(h, w)` float32, about zero mean and unit deviation, worked along x or y.

    Some have traces of an earlier work step of another kind, some lie under a low light.
    """

    def draw_worked(name: str) -> np.ndarray:
        if rng.random() < 0.5:
            return np.ascontiguousarray(SURFACES[name](rng, w, h, scale).T)
        return SURFACES[name](rng, h, w, scale)

    field = draw_worked(kind)
    if rng.random() < 0.3:
        share = rng.uniform(0.2, 1.0)
        field = (field + share * draw_worked(str(rng.choice(list(SURFACES))))) / np.sqrt(1 + share**2)
    return light_from_side(rng, field, scale) if rng.random() < 0.25 else field
