"""Photographs in generated footage: real surfaces under the painted parts, and real marks cut out as defects.

A folder of photographs is training data and no part of the project. Which of them carry marks is said in `photos.toml`:
marks are cut out there as defects, and are no good ground where they are left in.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vidconcept.errors import InputError
from vidconcept.painting.patches import Ground, Patch, blob, contrast
from vidconcept.painting.textures import Rng, log_uniform

Painter = Callable[[Rng, Ground], Patch]
_PLAN = Path(__file__).with_name("photos.toml")
# Widest median that a mark is compared with, in pixels of the photograph.
_MEDIAN_PX = 61


@dataclass(frozen=True, slots=True)
class Stamp:
    """A mark cut out of a photograph: log of its brightness over its surroundings `(h, w)` float32, and its mask."""

    log_gain: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True, slots=True)
class Surface:
    """A crop of a photograph: log luminance about zero `(h, w)` float32, tint `(h, w, 3)` about 1, marks `(h, w)`."""

    log_luminance: np.ndarray
    tint: np.ndarray
    marked: np.ndarray


class Photographs:
    """The photographs of a folder. Raises InputError when it has none, or not the one asked for.

    share: of the scenes that lie on a photograph. ground: name of the only one that they lie on, without its ending.
    """

    def __init__(self, folder: Path, share: float = 0.5, ground: str | None = None) -> None:
        self.share = share
        plan = tomllib.loads(_PLAN.read_text("utf-8"))
        paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
        images = {p.stem: _read(p) for p in paths}
        if not images:
            raise InputError(f"{folder} has no photographs (.jpg, .png). Next: --photos DIR with some")
        self._rust = [images[name] for name in plan["rust"] if name in images]
        self._marked = {name: _outliers(images[name]) for name in plan["marked"] if name in images}
        self._grounds = [(name, image) for name, image in images.items() if name not in plan["no_ground"]]
        if ground is not None:
            self._grounds = [(name, image) for name, image in self._grounds if name == ground]
            if not self._grounds:
                raise InputError(f"{folder} has no photograph {ground} that is good ground. Next: give another name")
        self.stamps: dict[str, list[Stamp]] = {}
        for row in plan["stamp"]:
            if row["photo"] in images:
                stamps = [cut_stamp(images[row["photo"]], box, row["threshold"]) for box in row["boxes"]]
                self.stamps.setdefault(row["concept"], []).extend(s for s in stamps if s is not None)

    def surface(self, rng: Rng, height: int, width: int, scale: float) -> Surface:
        """A random crop of a random photograph, at a random scale, turned by quarter turns and mirrored."""
        name, image = self._grounds[int(rng.integers(len(self._grounds)))]
        marked = self._marked.get(name)
        zoom = log_uniform(rng, 0.4, 1.6) * scale * 1024 / len(image)
        turned, mirrored = int(rng.integers(4)), rng.random() < 0.5
        crop = _crop(rng, image, marked, (height, width), zoom, turned, mirrored)
        pixels, marks = crop
        luminance = pixels.mean(2) + 6
        log_luminance = np.log(luminance)
        # The slow part of the light is the photograph's own; the line has a light of its own.
        log_luminance -= log_luminance.mean()
        tint = pixels + 6
        tint = np.clip(tint / luminance[..., None], 0.5, 1.6)
        strength = min(rng.uniform(0.4, 1.3), 0.3 / max(float(log_luminance.std()), 1e-3))
        return Surface((log_luminance * strength).astype(np.float32), tint.astype(np.float32), marks)

    def painters(self, painters: dict[str, Painter]) -> dict[str, Painter]:
        """The given painters, some of whose patches are now cut out of photographs."""
        out = dict(painters)
        for concept, share in (("crack", 0.3), ("scratch", 0.2), ("chip", 0.25)):
            if self.stamps.get(concept):
                out[concept] = self._mix(concept, painters[concept], share)
        if self._rust:
            out["rust"] = lambda rng, ground: (
                self._rust_patch(rng, ground) if rng.random() < 0.5 else painters["rust"](rng, ground)
            )
        return out

    def _mix(self, concept: str, usual: Painter, share: float) -> Painter:
        def paint(rng: Rng, ground: Ground) -> Patch:
            if rng.random() >= share:
                return usual(rng, ground)
            stamps = self.stamps[concept]
            return paint_stamp(rng, ground, stamps[int(rng.integers(len(stamps)))])

        return paint

    def _rust_patch(self, rng: Rng, ground: Ground) -> Patch:
        """A blotch filled with the brightness and the colour of a photograph of rust."""
        s = ground.scale
        height, width = (int(log_uniform(rng, 12, 150) * s) + 4 for _ in range(2))
        image = self._rust[int(rng.integers(len(self._rust)))]
        zoom = log_uniform(rng, 0.4, 1.2) * s * 1024 / len(image)
        pixels, _ = _crop(rng, image, None, (height, width), zoom, int(rng.integers(4)), False)
        field = blob(rng, height, width, rng.uniform(0.15, 0.5))
        alpha = np.clip(field / log_uniform(rng, 0.02, 0.4) + 0.5, 0, 1)
        luminance = pixels.mean(2) + 6
        relative = np.log(luminance) - np.log(luminance).mean()
        strength = contrast(rng, ground, 0.15, 0.7)
        gain = np.exp(alpha * (np.clip(relative * rng.uniform(0.6, 1.4), -1.5, 1.0) - min(strength, 0.9)))
        mean = pixels.reshape(-1, 3).mean(0) + 6
        tint = (float(mean[0] / mean.mean()), float(mean[1] / mean.mean()), float(mean[2] / mean.mean()))
        return Patch(gain.astype(np.float32), np.zeros_like(alpha), alpha > 0.4, tint, alpha.astype(np.float32))


def cut_stamp(image: np.ndarray, box: tuple[int, int, int, int], threshold: float) -> Stamp | None:
    """The mark in a box (x0, y0, x1, y1) of a photograph `(h, w, 3)`; None where nothing in it passes the threshold.

    threshold: log of the brightness over the median around it; below it counts where it is negative, above it else.
    """
    ratio = _log_ratio(image)
    x0, y0, x1, y1 = box
    part = ratio[y0:y1, x0:x1]
    if not part.size:
        return None
    smooth = cv2.GaussianBlur(part, (0, 0), 1.2)
    inside = ((smooth < threshold) if threshold < 0 else (smooth > threshold)).astype(np.uint8)
    joined = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    keep = np.isin(labels, 1 + np.flatnonzero(areas >= 0.3 * areas.max()))
    mask = keep & (inside > 0)
    soft = cv2.GaussianBlur(cv2.dilate(mask.astype(np.float32), np.ones((3, 3))), (0, 0), 1.0)
    gain = part * soft
    # Only what the mark does: darker for a dark one, brighter for a bright one.
    gain = np.minimum(gain, 0) if threshold < 0 else np.maximum(gain, 0)
    return Stamp(gain.astype(np.float32), mask)


def paint_stamp(rng: Rng, ground: Ground, stamp: Stamp) -> Patch:
    """A stamp at a random size, angle and strength as a defect of the place."""
    size = max(stamp.mask.shape)
    zoom = log_uniform(rng, 0.15, 0.9) * ground.scale
    if size * zoom < 10:
        zoom = 10 / size
    # A piece of it, as long as most defects are.
    angle = rng.uniform(0, 2 * np.pi)
    reach = int(min(np.hypot(*stamp.mask.shape) * zoom, 300 * ground.scale) / 2) + 4
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / zoom
    if rng.random() < 0.5:
        turn = turn @ np.diag([-1, 1])
    rows, columns = np.nonzero(stamp.mask)
    middle = np.array([columns.mean(), rows.mean()])
    matrix = np.column_stack([turn, middle - turn @ [reach, reach]])
    box = (2 * reach + 1, 2 * reach + 1)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # A shrunk line becomes fainter, not thinner than a pixel: blur before, as a lens does.
    blurred = cv2.GaussianBlur(stamp.log_gain, (0, 0), max(0.3, 0.4 / zoom))
    soft = cv2.GaussianBlur(stamp.mask.astype(np.float32), (0, 0), max(0.3, 0.4 / zoom))
    log_gain = cv2.warpAffine(blurred, matrix, box, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    mask = cv2.warpAffine(soft, matrix, box, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0) > 0.35
    if not mask.any():
        return Patch(np.ones(box, np.float32), np.zeros(box, np.float32), mask)
    typical = float(np.abs(log_gain[mask]).mean()) + 1e-3
    strength = contrast(rng, ground, 0.25, 0.9) / typical
    return Patch(np.exp(np.clip(log_gain * strength, -2.5, 1.2)).astype(np.float32), np.zeros(box, np.float32), mask)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"{path} is not a picture that can be read. Next: remove it from the folder")
    return np.ascontiguousarray(image[..., ::-1])


def _log_ratio(image: np.ndarray) -> np.ndarray:
    grey = image.mean(2).astype(np.float32) + 4
    return np.log(grey / (cv2.medianBlur(grey.astype(np.uint8), _MEDIAN_PX).astype(np.float32) + 1))


def _outliers(image: np.ndarray) -> np.ndarray:
    """Where a photograph carries marks, `(h, w)` uint8: what leaves its surroundings by more than its texture does."""
    ratio = cv2.GaussianBlur(_log_ratio(image), (0, 0), 1.5)
    ratio -= np.median(ratio)
    spread = 1.4826 * np.median(np.abs(ratio))
    return cv2.dilate((np.abs(ratio) > 4 * spread).astype(np.uint8), np.ones((5, 5), np.uint8))


def _crop(
    rng: Rng,
    image: np.ndarray,
    marked: np.ndarray | None,
    size: tuple[int, int],
    zoom: float,
    turned: int,
    mirrored: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """A crop `(h, w, 3)` float32 at a random place, and its marks; beyond its border a photograph repeats."""
    height, width = size
    flip = np.diag([-1.0 if mirrored else 1.0, 1.0])
    angle = np.pi / 2 * turned
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ flip / zoom
    matrix = np.column_stack([turn, rng.uniform(0, len(image), 2)])
    if zoom < 0.8:
        image = cv2.GaussianBlur(image, (0, 0), 0.4 / zoom)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_WRAP)
    marks = np.zeros(size, bool)
    if marked is not None:
        nearest = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        marks = cv2.warpAffine(marked, matrix, (width, height), flags=nearest, borderMode=cv2.BORDER_WRAP) > 0
    return np.asarray(pixels, np.float32), marks
