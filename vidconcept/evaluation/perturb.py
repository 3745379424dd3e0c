"""What a plant does to footage: perturbations at graded severities, the same for the same seed.

Severities run from 1 to 3. Pixel perturbations take a frame `(h, w, 3)` uint8 at its place in time; the others change
size, sequence or encoding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

SEVERITIES = (1, 2, 3)


@dataclass(frozen=True)
class Shot:
    """Where a frame stands: its number, its time in seconds, and random numbers of its own and of the whole clip."""

    index: int
    time_s: float
    own: np.random.Generator = field(repr=False)
    clip: np.random.Generator = field(repr=False)


# Numbers of the frames that are shown, in order, and the time of each in seconds.
Shown = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Perturbation:
    """levels: the value at each severity, in `unit`. pixels: what it does to a frame at a level.

    sequence: of the times of all frames in seconds, which frames are shown, in order, and when. Others act on the
    encoding (`crf`, `scale`).
    """

    name: str
    unit: str
    levels: tuple[float, float, float]
    pixels: Callable[[np.ndarray, float, Shot], np.ndarray] | None = None
    sequence: Callable[[np.ndarray, float, np.random.Generator], Shown] | None = None
    scale: bool = False
    crf: bool = False


def _noise(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    # Shot noise grows with the signal, read noise does not: half each at mid grey.
    signal = image.astype(np.float32) / 255
    deviation = level / 255 * np.sqrt(0.5 + signal)
    return _bytes(signal + shot.own.standard_normal(image.shape, np.float32) * deviation)


def _faint_noise(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    # No camera shows the same picture twice.
    return _noise(image, 1.0, shot)


def _coarse_noise(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    """Noise that neighbouring pixels share, as demosaicing and encoders in cameras leave it."""
    noise = cv2.GaussianBlur(shot.own.standard_normal(image.shape[:2], np.float32), (0, 0), 1.5)
    return _bytes((image + noise[..., None] * (level / noise.std())) / 255)


def _overlay(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    """What recorders draw into pictures: black bars above and below, a clock, a cross-hair."""
    h, w = image.shape[:2]
    bar, line, black, white = max(2, round(level * h)), max(1, h // 240), (0, 0, 0), (255, 255, 255)
    drawn = image.copy()
    drawn[:bar] = drawn[h - bar :] = 0
    cv2.line(drawn, (w // 2, 0), (w // 2, h), white, line)
    cv2.line(drawn, (0, h // 2), (w, h // 2), white, line)
    clock, place = f"{shot.time_s:07.2f}", (w // 50, bar + round(1.3 * level * h))
    for colour, thickness in ((black, 4 * line), (white, line)):
        cv2.putText(drawn, clock, place, cv2.FONT_HERSHEY_SIMPLEX, level * h / 22, colour, thickness, cv2.LINE_AA)
    return drawn


def _motion_blur(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    length = int(level)
    return cv2.filter2D(image, -1, np.full((1, length), 1 / length, np.float32))


def _focus_blur(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    radius = int(np.ceil(level))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (np.hypot(x, y) <= level).astype(np.float32)
    return cv2.filter2D(image, -1, disk / disk.sum())


def _dark(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    return _bytes(image.astype(np.float32) / 255 * 2.0**-level)


def _bright(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    return _bytes(image.astype(np.float32) / 255 * 2.0**level)


def _flicker(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    # A 100 Hz lamp seen by a camera that is not locked to it beats slowly.
    return _bytes(image.astype(np.float32) / 255 * (1 + level * np.sin(2 * np.pi * 3.1 * shot.time_s)))


def _white_balance(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    gains = np.array([1 + level, 1.0, 1 - level], np.float32)
    return _bytes(image.astype(np.float32) / 255 * gains)


def _dust(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    """Soft dark specks at fixed places: on the lens they do not move with the part."""
    h, w = image.shape[:2]
    veil = np.ones((h, w), np.float32)
    for _ in range(int(level)):
        centre = (int(shot.clip.uniform(0, w)), int(shot.clip.uniform(0, h)))
        radius = max(1, round(shot.clip.uniform(0.008, 0.03) * h))
        speck = cv2.circle(np.zeros((h, w), np.float32), centre, radius, float(shot.clip.uniform(0.3, 0.7)), -1)
        veil -= cv2.GaussianBlur(speck, (0, 0), radius / 2)
    return _bytes(image.astype(np.float32) / 255 * np.clip(veil, 0, 1)[..., None])


def _vibration(image: np.ndarray, level: float, shot: Shot) -> np.ndarray:
    dx, dy = shot.own.normal(0, level, 2)
    matrix = np.array([[1, 0, dx], [0, 1, dy]])
    size = (image.shape[1], image.shape[0])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _bytes(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def _drop_frames(times_s: np.ndarray, level: float, rng: np.random.Generator) -> Shown:
    """A dropped frame leaves a gap in time."""
    # The first frame stays: time counts from it.
    shown = np.union1d(0, np.flatnonzero(rng.random(len(times_s)) >= level))
    return shown, times_s[shown]


def _repeat_frames(times_s: np.ndarray, level: float, rng: np.random.Generator) -> Shown:
    """A frozen camera: a frame is shown again instead of its successor."""
    order = np.arange(len(times_s))
    for index in np.flatnonzero(rng.random(len(times_s)) < level):
        if index:
            order[index] = order[index - 1]
    return order, times_s


def _stop_line(times_s: np.ndarray, level: float, rng: np.random.Generator) -> Shown:
    """The line stands for `level` seconds in the middle of the footage, and the camera goes on."""
    last, step_s = len(times_s) // 2, float(np.median(np.diff(times_s))) if len(times_s) > 1 else 0.04
    more = max(round(level / step_s), 1)
    order = np.insert(np.arange(len(times_s)), last, np.full(more, last))
    standing_s = times_s[last] + step_s * np.arange(more)
    return order, np.concatenate([times_s[:last], standing_s, times_s[last:] + more * step_s])


PERTURBATIONS = (
    Perturbation("sensor noise", "grey levels", (4, 10, 24), _noise),
    Perturbation("coarse noise", "grey levels", (2, 4, 8), _coarse_noise),
    Perturbation("motion blur", "pixels", (3, 7, 15), _motion_blur),
    Perturbation("focus blur", "pixels", (1.5, 3, 6), _focus_blur),
    Perturbation("underexposure", "stops", (0.5, 1, 2), _dark),
    Perturbation("overexposure", "stops", (0.3, 0.7, 1.2), _bright),
    Perturbation("flicker", "of the light", (0.05, 0.15, 0.3), _flicker),
    Perturbation("white balance", "of red and blue", (0.05, 0.12, 0.25), _white_balance),
    Perturbation("dust on the lens", "specks", (3, 10, 30), _dust),
    Perturbation("burnt-in overlay", "of the height", (0.03, 0.06, 0.12), _overlay),
    Perturbation("vibration", "pixels", (0.5, 1.5, 4), _vibration),
    Perturbation("low resolution", "of the width", (0.7, 0.5, 0.3), scale=True),
    Perturbation("compression", "CRF", (28, 36, 44), crf=True),
    Perturbation("dropped frames", "of the frames", (0.02, 0.1, 0.25), sequence=_drop_frames),
    Perturbation("duplicated frames", "of the frames", (0.02, 0.1, 0.25), sequence=_repeat_frames),
    Perturbation("line stop", "seconds", (0.5, 2, 5), _faint_noise, sequence=_stop_line),
)


def perturb(image: np.ndarray, what: Perturbation, level: float, index: int, time_s: float, seed: int) -> np.ndarray:
    """One frame of footage perturbed by a pixel perturbation; others leave it as it is."""
    if what.pixels is None:
        return image
    shot = Shot(index, time_s, np.random.default_rng((seed, index)), np.random.default_rng(seed))
    return what.pixels(image, level, shot)
