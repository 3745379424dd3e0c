"""Painters of defects that are lines: scratches and cracks."""

import cv2
import numpy as np

from vidconcept.painting.patches import Ground, Patch, contrast, draw_path, fit_canvas, stroke
from vidconcept.painting.textures import Rng, log_uniform, smooth_noise


def scratch(rng: Rng, ground: Ground) -> Patch:
    """A streak or a bunch of streaks, mostly bright, straight or slightly bent, broken and of uneven strength."""
    if rng.random() < 0.4:
        return _scuff(rng, ground)
    s = ground.scale
    length = log_uniform(rng, 14, 260) * s
    bent = rng.random() < 0.35
    spine = draw_path(rng, length, max(3.0, length / 24), 0.12 if bent else 0.006, 0.02)
    if rng.random() < 0.12:
        spine = _arc(rng, length)
    strands = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    spread = 0.0 if strands == 1 else rng.uniform(1.5, 9.0) * s
    size, spine = fit_canvas(spine, spread * 1.6 + 6 * s)
    alpha = np.zeros(size, np.float32)
    direction = spine[-1] - spine[0]
    normal = np.array([-direction[1], direction[0]]) / max(np.hypot(*direction), 1e-3)
    for strand in range(strands):
        offset = 0.0 if strand == 0 else rng.normal(0, spread * 0.6)
        width = log_uniform(rng, 0.7, 4.5 if strand == 0 else 2.0) * min(s, 1.5 * s)
        first = 0 if strand == 0 else int(rng.integers(0, len(spine) // 2 + 1))
        last = len(spine) if strand == 0 else int(rng.integers(first + 2, len(spine) + 2))
        piece = spine[first:last] + normal * np.clip(offset, -1.5 * spread, 1.5 * spread)
        if len(piece) > 1:
            line = stroke(size, piece, width)
            alpha = np.maximum(alpha, line * (1.0 if strand == 0 else rng.uniform(0.3, 1.0)))
    if rng.random() < 0.3:
        alpha = cv2.GaussianBlur(alpha, (0, 0), rng.uniform(0.5, 1.2) * s)
    painted = alpha
    if rng.random() < 0.12:
        # The point skipped: a row of dashes.
        gaps = smooth_noise(rng, *size, log_uniform(rng, 3, 20) * s, log_uniform(rng, 3, 20) * s)
        painted = alpha * np.clip(2.5 * gaps + rng.uniform(0.3, 1.2), 0, 1)
    if rng.random() < 0.75:
        uneven = smooth_noise(rng, *size, log_uniform(rng, 2, 30) * s, log_uniform(rng, 2, 30) * s)
        painted = painted * np.clip(rng.uniform(0.4, 1.0) + rng.uniform(0.3, 0.9) * uneven, 0, 1.4)
    if rng.random() < 0.3:
        painted = painted * _fade(rng, size)
    strength = contrast(rng, ground, 0.16, 2.0)
    look = rng.random()
    if look < 0.15:
        # A groove without another finish: one flank turns to the light, the other away.
        light = rng.uniform(0, 2 * np.pi)
        flanks = [np.clip(painted - cv2.GaussianBlur(np.roll(painted, step, (0, 1)), (0, 0), 0.6), 0, 1)
                  for step in (_steps(light, s), _steps(light + np.pi, s))]  # fmt: skip
        gain = 1 + flanks[0] * min(strength, 1.5) - flanks[1] * min(strength, 0.7)
        add = np.zeros(size, np.float32)
    elif look < 0.37:
        # Dark, but never black as a gap is.
        gain, add = 1 - np.clip(painted * min(strength, 0.45), 0, 0.6), np.zeros(size, np.float32)
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


def _fade(rng: Rng, size: tuple[int, int]) -> np.ndarray:
    """Weight `(h, w)` in 0..1 that falls off towards one side or both: the point set down or lifted slowly."""
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j].astype(np.float32)
    along = x if size[1] > size[0] else y
    along = np.abs(along) if rng.random() < 0.5 else rng.choice([-1, 1]) * along
    return np.clip((1 - along) * rng.uniform(0.5, 2), 0, 1)


def _steps(angle: float, scale: float) -> tuple[int, int]:
    """A shift of about one groove's width towards `angle`, in whole pixels, (rows, columns)."""
    reach = 1.2 * max(scale, 1.0)
    return round(reach * np.sin(angle)), round(reach * np.cos(angle))


def _arc(rng: Rng, length: float) -> np.ndarray:
    """Points `(n, 2)` of an arc of `length` about the origin, from a slight bow to half a turn."""
    bow = log_uniform(rng, 0.3, np.pi)
    angles = rng.uniform(0, 2 * np.pi) + np.linspace(0, bow, 32)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * length / bow
    return (points - (points.min(0) + points.max(0)) / 2).astype(np.float32)


def _scuff(rng: Rng, ground: Ground) -> Patch:
    """A broad score along or across the line: a band of parallel streaks with torn, sparkling edges."""
    s = ground.scale
    length, band = log_uniform(rng, 40, 1600) * s, log_uniform(rng, 3, 80) * s
    margin = int(4 * s + 0.5 * band) + 2
    size = (int(band) + 2 * margin, int(length) + 2 * margin)
    across = (np.arange(size[0], dtype=np.float32) - size[0] / 2)[:, None] / (band / 2)
    along = (np.arange(size[1], dtype=np.float32) - size[1] / 2)[None] / (length / 2)
    if rng.random() < 0.35:
        # It wavers or curls on its way.
        path = smooth_noise(rng, 1, size[1], 1.0, rng.uniform(0.2, 1.0) * length)
        across = across + rng.uniform(0.1, 0.9) * (path - path.mean())
    torn = rng.uniform(0.02, 0.3) * smooth_noise(rng, *size, band / 3, log_uniform(rng, 4, 60) * s)
    profile = np.clip((1 - np.abs(across) + torn) * rng.uniform(1.5, 6), 0, 1) * np.clip((1 - np.abs(along)) * 12, 0, 1)
    streaks = smooth_noise(rng, *size, log_uniform(rng, 0.9, 2.5) * s, log_uniform(rng, 30, 1200) * s)
    if rng.random() < 0.25:
        # A comb of grooves at an even pitch.
        pitch = log_uniform(rng, 2.5, 14) * s
        streaks = 0.4 * streaks + np.sin((across * band / 2 + 0.3 * pitch * torn) * (2 * np.pi / pitch))
    uneven = smooth_noise(rng, *size, band, log_uniform(rng, 15, 120) * s)
    depth = rng.uniform(0.3, 1.0)
    alpha = profile * np.clip((1 - depth) + depth * np.clip(0.5 + 0.8 * streaks, 0, 1.5) + 0.3 * uneven, 0, 1.5)
    if rng.random() < 0.3:
        # Chatter: the tool skipped at an even pace.
        phase = np.arange(size[1], dtype=np.float32) * (2 * np.pi / (rng.uniform(4, 18) * s))
        alpha = alpha * (1 - rng.uniform(0.15, 0.6) * (0.5 + 0.5 * np.sin(phase))[None])
    strength = contrast(rng, ground, 0.2, 2.0)
    if rng.random() < 0.25:
        # Bare metal: so bright that the camera clips.
        strength *= rng.uniform(1.5, 3.0)
    if rng.random() < 0.5:
        turn = (int(size[0]), int(size[1]))
        alpha, profile = (np.ascontiguousarray(a.T) for a in (alpha, profile))
        size = turn[::-1]
    elif rng.random() < 0.4:
        alpha, profile = _rotate(alpha, profile, rng.normal(0, 12))
        size = alpha.shape
    mask = profile > 0.3
    if band < 12 * s and rng.random() < 0.25:
        return Patch(1 - np.clip(alpha * min(strength, 0.45), 0, 0.6), np.zeros(size, np.float32), mask)
    return Patch(np.ones(size, np.float32), (alpha * strength * max(ground.mean, 0.08)).astype(np.float32), mask)


def _rotate(alpha: np.ndarray, profile: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
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
    """A gap: a dark jagged line that thins out, sometimes branched, sometimes with a brighter lip."""
    s = ground.scale
    length = log_uniform(rng, 14, 230) * s
    step = rng.uniform(1.5, 5) * s
    # One in five follows the grain: nearly straight.
    wander, jag = (0.006, 0.04) if rng.random() < 0.2 else (rng.uniform(0.03, 0.3), rng.uniform(0.05, 0.6))
    paths = [draw_path(rng, length, step, wander, jag)]
    for _ in range(int(rng.choice([0, 0, 1, 2, 3]))):
        start = paths[0][rng.integers(len(paths[0]))]
        branch = draw_path(rng, length * rng.uniform(0.15, 0.5), step, 0.2, 0.4)
        paths.append(branch - branch[0] + start)
    size, points = fit_canvas(np.concatenate(paths), 4 * s)
    splits = np.cumsum([len(p) for p in paths])[:-1]
    width = log_uniform(rng, 0.9, 3.2) * s
    alpha = np.zeros(size, np.float32)
    for index, path in enumerate(np.split(points, splits)):
        pieces = np.array_split(np.arange(len(path)), 3)
        for taper, piece in zip((1.0, 0.8, 0.55), pieces, strict=True):
            line = path[piece[0] : piece[-1] + 2] if len(piece) else path[:0]
            if len(line) > 1:
                alpha = np.maximum(alpha, stroke(size, line, width * taper * (1.0 if index == 0 else 0.7)))
    mask = alpha > 0.15
    uneven = np.clip(0.85 + 0.35 * smooth_noise(rng, *size, 6 * s, 6 * s), 0.3, 1.1)
    strength = min(contrast(rng, ground, 0.38, 0.97), 0.97)
    gain = 1 - np.clip(alpha * uneven * strength, 0, 0.97)
    add = np.zeros(size, np.float32)
    if rng.random() < 0.3:
        add = np.roll(alpha, rng.integers(-1, 2, 2), (0, 1)) * 0.3 * strength * ground.mean * (alpha < 0.4)
    return Patch(gain, add.astype(np.float32), mask)
