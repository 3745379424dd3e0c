"""The camera over the line: how the window moves over the strip, the light that stands still, and the sensor."""

from dataclasses import dataclass

import cv2
import numpy as np

from linecam.footage.visibility import mark_visible
from vidconcept.painting.kinds import CLASS_ID, DEFECT_IDS, IGNORE
from vidconcept.painting.strip import Strip
from vidconcept.painting.textures import Rng, smooth_noise


@dataclass(frozen=True, slots=True)
class Motion:
    """What moves. speed_px: per frame along the line. The rest is off at 0.

    stop_share: share of time at standstill; vibration_px: deviation; rotation_deg, zoom_frac: per frame; tilt_deg:
    fixed.
    """

    speed_px: float
    stop_share: float = 0.0
    vibration_px: float = 0.0
    rotation_deg: float = 0.0
    zoom_frac: float = 0.0
    tilt_deg: float = 0.0


def travel(rng: Rng, motion: Motion, frames: int) -> np.ndarray:
    """Position along the line at each frame `(t,)`, with smooth stops."""
    speed = np.full(frames, motion.speed_px)
    if motion.stop_share > 0:
        wave = np.sin(2 * np.pi * (np.arange(frames) / rng.uniform(20, 70) + rng.random()))
        speed = speed * np.clip((wave - np.cos(np.pi * (1 - motion.stop_share))) * 4, 0, 1)
    return np.concatenate([[0.0], np.cumsum(speed)[:-1]])


def compute_poses(
    rng: Rng, motion: Motion, size: tuple[int, int], frames: int, start: tuple[float, float]
) -> np.ndarray:
    """Affine maps `(t, 2, 3)` float64 from frame pixels to strip pixels."""
    height, width = size
    along = travel(rng, motion, frames)
    shake = rng.normal(0, motion.vibration_px, (frames, 2)) if motion.vibration_px else np.zeros((frames, 2))
    out = np.zeros((frames, 2, 3))
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    for t in range(frames):
        angle = np.deg2rad(motion.tilt_deg + motion.rotation_deg * t)
        zoom = np.exp(-motion.zoom_frac * t)
        linear = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        out[t, :, :2] = linear
        out[t, :, 2] = centre - linear @ centre + (start[0] + along[t], start[1]) + shake[t]
    return out


def flow_affine(maps: np.ndarray) -> np.ndarray:
    """`(t, 2, 3)`: row t maps a pixel of frame t-1 to where its surface point lies in frame t; row 0 is identity."""
    full = np.concatenate([maps, np.tile([[[0.0, 0.0, 1.0]]], (len(maps), 1, 1))], 1)
    out = np.tile(np.eye(3), (len(maps), 1, 1))
    out[1:] = np.linalg.inv(full[1:]) @ full[:-1]
    return out[:, :2]


@dataclass(frozen=True, slots=True)
class Light:
    """Light that stands still in the frame: gain and glare `(h, w)` float32, and the classes it hides, 0 for none."""

    gain: np.ndarray
    glare: np.ndarray
    classes: np.ndarray
    flicker: float


def make_light(rng: Rng, height: int, width: int, scale: float) -> Light:
    """Uneven light, vignetting, specular bands; sometimes a hard shadow or a reflection, which are labelled."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    gain = 1 + rng.normal(0, 0.15) * x + rng.normal(0, 0.15) * y
    gain *= 1 - rng.uniform(0, 0.4) * (x * x + y * y) / 2
    if rng.random() < 0.5:
        gain *= 1 + rng.uniform(0.1, 0.35) * smooth_noise(rng, height, width, 90 * scale, 90 * scale)
    if rng.random() < 0.35:
        angle, width_frac = rng.uniform(0, np.pi), rng.uniform(0.1, 0.7)
        band = (x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.8, 0.8)) / width_frac
        gain *= 1 + rng.uniform(0.2, 1.2) * np.exp(-band * band)
    glare, classes = np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8)
    if rng.random() < 0.15:
        angle = rng.uniform(0, 2 * np.pi)
        side = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(-0.5, 0.9)
        if rng.random() < 0.5:
            side = rng.uniform(0.05, 0.3) - np.abs(side)
        depth, sharpness = rng.uniform(0.2, 0.8), np.exp(rng.uniform(np.log(8), np.log(150)))
        veil = 1 / (1 + np.exp(-side * sharpness))
        gain *= 1 - depth * veil
        if depth > 0.4 and sharpness > 20:
            classes[veil > 0.5] = CLASS_ID["shadow"]
    if rng.random() < 0.2:
        angle, cx, cy = rng.uniform(0, np.pi), *rng.uniform(-0.9, 0.9, 2)
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        spot = np.exp(-((u / rng.uniform(0.08, 0.6)) ** 2) - (v / rng.uniform(0.04, 0.2)) ** 2)
        if rng.random() < 0.4:
            spot = np.clip((spot - 0.4) * rng.uniform(2, 8), 0, 1)
        glare = rng.uniform(0.25, 0.9) * spot
        classes[spot > 0.5] = CLASS_ID["reflection"]
    return Light(
        np.maximum(gain, 0.05).astype(np.float32), glare.astype(np.float32), classes, rng.choice([0, 0.01, 0.06])
    )


@dataclass(frozen=True, slots=True)
class Sensor:
    """Exposure and faults of the camera. Blurs in pixels; noise in 8-bit levels; jpeg quality, 0 for none."""

    exposure: float
    gamma: float
    defocus_px: float
    shutter_px: float
    noise: float
    jpeg: int


def make_sensor(rng: Rng, strip: Strip, scale: float, speed_px: float) -> Sensor:
    """A camera set up for the parts on the strip, more or less sharp, noisy and compressed."""
    luminance = strip.luminance[::4, ::4]
    parts = luminance[strip.instances[::4, ::4] + (strip.classes[::4, ::4] == CLASS_ID["part"]) > 0]
    bright = float(np.percentile(parts if parts.size else luminance, 85))
    target = np.exp(rng.uniform(np.log(0.16), np.log(0.75)))
    return Sensor(
        exposure=target / max(bright, 0.02),
        gamma=rng.uniform(0.6, 1.1),
        defocus_px=rng.choice([0.0, 0.5, 0.8, 1.3]) * scale,
        shutter_px=abs(speed_px) * rng.choice([0.0, 0.15, 0.4]),
        noise=np.exp(rng.uniform(np.log(0.4), np.log(5.5))),
        jpeg=0 if rng.random() < 0.4 else int(rng.integers(35, 96)),
    )


def _expose(image: np.ndarray, sensor: Sensor) -> np.ndarray:
    """The image that falls on the sensor, in 8-bit levels, float32: blurred, not yet noisy or cut off."""
    if sensor.shutter_px >= 1.5:
        image = cv2.blur(image, (round(sensor.shutter_px) | 1, 1))
    if sensor.defocus_px > 0:
        image = cv2.GaussianBlur(image, (0, 0), sensor.defocus_px)
    return np.power(np.clip(image * sensor.exposure, 0, 1.2), sensor.gamma) * np.float32(255)


def _record(rng: Rng, image: np.ndarray, sensor: Sensor) -> np.ndarray:
    noise = np.empty(image.shape[:2], np.float32)
    cv2.setRNGSeed(int(rng.integers(2**31)))
    cv2.randn(noise, 0, sensor.noise)  # type: ignore[call-overload]
    noise *= np.sqrt(0.25 + (image if image.ndim == 2 else image[..., 1]) / 160)
    return _compress(image + (noise if image.ndim == 2 else noise[..., None]), sensor)


def _compress(image: np.ndarray, sensor: Sensor) -> np.ndarray:
    image = np.clip(image, 0, 255).astype(np.uint8)
    if sensor.jpeg:
        flag = cv2.IMREAD_GRAYSCALE if image.ndim == 2 else cv2.IMREAD_COLOR
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, sensor.jpeg])[1]
        image = np.asarray(cv2.imdecode(coded, flag))
    return image


_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
_LINEAR = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP


def _warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    return cv2.warpAffine(image, matrix, size[::-1], flags=how, borderMode=cv2.BORDER_REFLECT)


def film(
    rng: Rng, strip: Strip, size: tuple[int, int], maps: np.ndarray, light: Light, sensor: Sensor
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look at the strip through the camera.

    Returns frames `(t, h, w, 3)` uint8 RGB, classes `(t, h, w)` uint8, `IGNORE` where a defect cannot be seen, and
    instances `(t, h, w)` uint16, 0 there too.
    """
    colour = strip.luminance if strip.chroma is None else strip.luminance[..., None] * strip.chroma
    frames = np.empty((len(maps), *size, 3), np.uint8)
    classes, instances = np.empty((len(maps), *size), np.uint8), np.empty((len(maps), *size), np.uint16)
    gain, glare = (light.gain, light.glare) if colour.ndim == 2 else (light.gain[..., None], light.glare[..., None])
    for i, matrix in enumerate(maps):
        flicker = np.float32(1 + rng.normal(0, light.flicker))
        lit = _warp(colour, matrix, size, _LINEAR) * (gain * flicker) + glare / sensor.exposure
        image = _record(rng, _expose(lit, sensor), sensor)
        frames[i] = image if image.ndim == 3 else image[..., None]
        surface = _warp(strip.classes, matrix, size, _NEAREST)
        defect = surface >= DEFECT_IDS[0]
        classes[i] = np.where((light.classes > 0) & ~defect, light.classes, surface)
        instances[i] = _warp(strip.instances, matrix, size, _NEAREST)
        if defect.any():
            # What cannot be seen teaches nothing.
            both = (_warp(part, matrix, size, _LINEAR) for part in (strip.luminance, strip.flawless))
            lit_both = (part * (light.gain * flicker) + light.glare / sensor.exposure for part in both)
            clear = [_compress(_expose(part, sensor), sensor).astype(np.float32) for part in lit_both]
            missed = defect & ~mark_visible(clear[0], clear[1], sensor.noise, instances[i])
            classes[i][missed], instances[i][missed] = IGNORE, 0
    return frames, classes, instances
