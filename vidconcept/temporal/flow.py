"""Estimates of the motion between neighbouring frames, with validity, and scene cuts.

Line cameras mostly translate, and one robust translation is more exact than any dense flow; rotating or zooming parts
need an affine map, deforming ones a dense field. So three models are tried in that order, each on a small proxy of the
frames, and the simplest one that explains the pictures is kept. Whether it explains them is decided by the photometric
residual and by the displacement that a local Lucas-Kanade step would still ask for (its size matters where the residual
is hidden by noise, the residual where the texture is too weak for a step).

Frames are high-passed and brought to one contrast before comparing, so a flickering lamp is not motion.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from vidconcept.temporal.motion import STILL, Motion
from vidconcept.temporal.sampling import chain_affine, sample, transform

# The proxy has at most this many pixels: half resolution of 256×384 has 24,576 of them.
PROXY_AREA_PX = 40_000
# Lucas-Kanade steps below this are measurement error (proxy px).
STEP_TOLERANCE_PX = 0.35
# Blocks with less variance (8-bit grey levels, frame contrast brought to 16) say nothing about motion.
TEXTURE_VARIANCE = 6.0
# A model of the whole frame is kept when it explains this share of the textured blocks: hard shadows and glare that
# stand still hold back the others. A translation that explains less than the second is tried as an affine map.
EXPLAINED_SHARE = 0.55
TRANSLATION_SHARE = 0.85
# A dense field always fits a little better, noise included: it must do so by this factor to replace a global model.
DENSE_GAIN = 0.85
# When less than this share of a dense field is consistent there is nothing to follow: a scene cut. Neighbouring frames
# of one scene, turning, zooming and shaking, stayed above 0.8, frames of different clips below 0.2.
CUT_VALID_SHARE = 0.4


@dataclass(frozen=True, slots=True)
class Proxy:
    """A frame reduced for motion.

    grey: `(h, w)` float32. band: its high-pass, in grey levels. core: the band with NaN near the border, where the
    high-pass depends on what the frame does not show.
    """

    grey: np.ndarray = field(repr=False)
    band: np.ndarray = field(repr=False)
    core: np.ndarray = field(repr=False)


def make_proxy(image: np.ndarray) -> Proxy:
    """Reduce a frame `(h, w, 3)` uint8 RGB for motion estimation."""
    h, w = image.shape[:2]
    scale = min(1.0, max(min(0.5, (PROXY_AREA_PX / (h * w)) ** 0.5), 16 / min(h, w)))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    grey = cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY).astype(np.float32)
    band = cv2.GaussianBlur(grey, (0, 0), 0.7) - cv2.blur(grey, (17, 17), borderType=cv2.BORDER_REFLECT_101)
    core, margin = band.copy(), min(8, min(size) // 8)
    core[:margin] = core[size[1] - margin :] = np.nan
    core[:, :margin] = core[:, size[0] - margin :] = np.nan
    return Proxy(grey, band, core)


def estimate(earlier: Proxy, later: Proxy, prior: Motion = STILL) -> Motion:
    """Motion from `earlier` to `later`; `prior` is the motion of the pair before, a candidate among others."""
    h, w = later.band.shape
    if float(np.abs(earlier.grey - later.grey).max()) < 0.5:
        return STILL
    if min(h, w) < 8:
        return Motion("still", matrix=np.eye(2, 3), residual=float(np.abs(earlier.band - later.band).mean()))

    # One contrast for the pair, so that limits in grey levels mean the same on dull and on glossy parts.
    scale = 16.0 / max(float(later.band.std()), 4.0)
    earlier, later = (Proxy(p.grey, p.band * scale, p.core * scale) for p in (earlier, later))
    shift = _find_shift(earlier, later, prior)
    matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
    matrix, translation = _refine(earlier.core, later.core, matrix, affine=False)
    chosen, kind = (matrix, translation), "translation"
    if translation.explained < TRANSLATION_SHARE:
        start = matrix if prior.kind != "affine" or prior.matrix is None else _to_pixels(prior.matrix, h, w)
        turned, affine = _refine(earlier.core, later.core, start, affine=True)
        if affine.residual < 0.95 * translation.residual:
            chosen, kind = (turned, affine), "affine"
    if chosen[1].explained >= EXPLAINED_SHARE:
        return Motion(kind, matrix=_normalise(chosen[0], h, w), residual=chosen[1].residual)

    dense = _estimate_dense(earlier, later, chosen[0])
    trusted = 0.0 if dense.valid is None else float(dense.valid.mean())
    if trusted < CUT_VALID_SHARE and chosen[1].explained < 0.5:
        return Motion("still", matrix=np.eye(2, 3), residual=dense.residual, cut=True)
    if trusted >= CUT_VALID_SHARE and dense.residual < DENSE_GAIN * chosen[1].residual:
        return dense
    return Motion(kind, matrix=_normalise(chosen[0], h, w), residual=chosen[1].residual)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well a warp explains the later frame: mean absolute residual, and the share of blocks that agree."""

    residual: float
    explained: float


def join_motion(pictures: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Motion | None]]:
    """Pictures `(h, w, 3)` uint8 RGB, each with the motion from the one before."""
    before: Proxy | None = None
    prior = STILL
    for picture in pictures:
        here = make_proxy(picture)
        motion = None if before is None else estimate(before, here, prior)
        prior = STILL if motion is None else motion
        yield picture, motion
        before = here


def _normalise(matrix: np.ndarray, h: int, w: int) -> np.ndarray:
    """Affine map of proxy pixels (centres at integers) → of normalised coordinates, `(2, 3)` float64."""
    to_px = np.array([[w, 0, -0.5], [0, h, -0.5]])
    return chain_affine(cv2.invertAffineTransform(to_px), chain_affine(matrix, to_px))


def _to_pixels(matrix: np.ndarray, h: int, w: int) -> np.ndarray:
    to_px = np.array([[w, 0, -0.5], [0, h, -0.5]])
    return chain_affine(to_px, chain_affine(matrix, cv2.invertAffineTransform(to_px)))


def _warp(earlier: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`earlier` seen from the later frame; what was outside is NaN."""
    h, w = earlier.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        earlier, matrix, (w, h), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )


def _find_shift(earlier: Proxy, later: Proxy, prior: Motion) -> tuple[float, float]:
    """Displacement (later → earlier, proxy px): phase correlation, the last motion, or none, by residual."""
    h, w = later.band.shape
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(later.band, earlier.band, window)
    candidates = [(0.0, 0.0), (dx, dy)]
    if prior.matrix is not None:
        px = _to_pixels(prior.matrix, h, w) @ np.array([w / 2, h / 2, 1.0]) - np.array([w / 2, h / 2])
        candidates.append((float(px[0]), float(px[1])))
    return min(candidates, key=lambda d: _shift_residual(earlier.core, later.core, d))


def _shift_residual(earlier: np.ndarray, later: np.ndarray, shift: tuple[float, float]) -> float:
    """Mean absolute residual over the overlap; a small overlap must be that much better."""
    warped = _warp(earlier, np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]]))
    seen = np.isfinite(warped) & np.isfinite(later)
    share = float(seen.mean())
    if share < 0.2:
        return float("inf")
    one, two = warped[seen], later[seen]
    return float(np.abs(two - _gain(one, two) * one).mean()) / share**0.25


def _gain(warped: np.ndarray, later: np.ndarray) -> float:
    """Contrast of the later frame against the earlier one, least squares: a lamp that flickers is not motion."""
    return float(np.clip(np.vdot(warped, later) / max(float(np.vdot(warped, warped)), 1e-6), 0.5, 2.0))


def _refine(earlier: np.ndarray, later: np.ndarray, start: np.ndarray, *, affine: bool) -> tuple[np.ndarray, _Fit]:
    """Gauss-Newton on the robust photometric error of a translation or an affine map, and how well it fits."""
    h, w = later.shape
    matrix = start.astype(np.float64)
    best = (start, _Fit(float("inf"), 0.0))
    gx, gy = _gradient(later)
    known = np.isfinite(gx) & np.isfinite(gy)
    gx, gy = np.where(known, gx, np.float32(0.0)), np.where(known, gy, np.float32(0.0))
    basis = [gx, gy]
    if affine:
        y, x = np.mgrid[:h, :w].astype(np.float32)
        x, y = (x - w / 2) / w, (y - h / 2) / w  # scaled alike, so that the system is well conditioned
        basis += [gx * x, gx * y, gy * x, gy * y]
    columns = np.stack([b.ravel() for b in basis])  # (unknown, pixel)
    for _ in range(6 if affine else 3):
        warped = _warp(earlier, matrix)
        seen = known & np.isfinite(warped)
        if seen.mean() < 0.1:
            break
        gain = np.float32(_gain(warped[seen], later[seen]))
        difference = np.where(seen, later - gain * warped, np.float32(0.0))
        residual = float(np.abs(difference).sum() / seen.sum())
        if residual < best[1].residual:
            best = (matrix.copy(), _Fit(residual, 0.0))
        # Geman-McClure: shadows and glare that stand still in the frame must not hold the motion back.
        weight = seen / np.square(1.0 + np.square(difference / (2.0 * residual + 1e-3)))
        weighted = columns * weight.ravel().astype(np.float32)
        normal = weighted @ columns.T + 1e-3 * np.eye(len(basis)) * h * w
        step = np.linalg.solve(normal, weighted @ difference.ravel())
        if affine:
            # p → p + step_0..1 + step_2..5 · (centred, scaled p), after which the present map applies.
            local = np.array([[step[2], step[3]], [step[4], step[5]]]) / w
            increment = np.hstack([np.eye(2) + local, (step[:2] - local @ [w / 2, h / 2])[:, None]])
        else:
            increment = np.hstack([np.eye(2), step[:2, None]])
        matrix = chain_affine(matrix, increment)
        if np.abs(step).max() < 0.01:
            break
    matrix, fit = best
    return matrix, _Fit(fit.residual, _explain(_warp(earlier, matrix), later))


def _explain(warped: np.ndarray, later: np.ndarray) -> float:
    """Share of the textured blocks that the warp explains.

    In each block a local gain and offset (light) and a local Lucas-Kanade step are fitted to the difference. The block
    is not explained when the step is worth taking, or when even with its own light the warp has little to do with it.
    """
    h, w = later.shape
    rows, cols = max(2, min(8, h // 8)), max(2, min(12, w // 8))
    gx, gy = _gradient(warped)
    seen = np.isfinite(gx) & np.isfinite(gy) & np.isfinite(later)
    if not seen.any():
        return 0.0
    channels = np.stack([warped, np.ones_like(warped), gx, gy, later], axis=-1)
    channels[~seen] = 0.0
    high, wide = h // rows, w // cols
    blocks = channels[: high * rows, : wide * cols].reshape(rows, high, cols, wide, 5).swapaxes(1, 2)
    blocks = blocks.reshape(rows * cols, high * wide, 5)
    gram = (blocks.swapaxes(1, 2) @ blocks).astype(np.float64) / (high * wide)  # (block, 5, 5)
    share = gram[:, 1, 1]
    usable = share > 0.6
    ridge = np.diag([0.05, 1e-6, 0.05, 0.05])
    energy = gram[:, 4, 4]
    mean = gram[:, 1, 4] / np.maximum(share, 1e-6)
    variance = energy - share * mean**2

    def fit_residual(unknowns: int) -> tuple[np.ndarray, np.ndarray]:
        normal = gram[:, :unknowns, :unknowns] + ridge[:unknowns, :unknowns]
        right = gram[:, :unknowns, 4]
        solution = np.linalg.solve(normal, right[..., None])[..., 0]
        return solution, np.maximum(energy - (solution * right).sum(-1), 0.0)

    _, light_only = fit_residual(2)
    solution, with_step = fit_residual(4)
    step = np.hypot(solution[:, 2], solution[:, 3])
    textured = usable & (variance > TEXTURE_VARIANCE)
    shifted = (step > STEP_TOLERANCE_PX) & (with_step < 0.5 * light_only) & (light_only > 1.0)
    bad = textured & (shifted | (light_only > 0.5 * variance))
    return 1.0 - float(bad.sum()) / max(1.0, float(textured.sum()))


def _gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes in x and y per pixel."""
    return cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=1 / 32)


def _estimate_dense(earlier: Proxy, later: Proxy, seed: np.ndarray) -> Motion:
    """DIS in both directions, seeded with the best global motion; validity by consistency and photometry."""
    h, w = later.band.shape
    y, x = np.mgrid[:h, :w].astype(np.float32)
    points = np.stack([x, y], axis=-1)
    one, two = (np.clip(p.band * 2.0 + 128.0, 0, 255).astype(np.uint8) for p in (earlier, later))
    start_back = (transform(seed, points) - points).astype(np.float32)
    start_ahead = (transform(cv2.invertAffineTransform(seed), points) - points).astype(np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    back = dis.calc(two, one, start_back)
    ahead = dis.calc(one, two, start_ahead)

    at = points + back
    returned = back + sample(ahead, at)
    lengths = (back**2).sum(-1) + (ahead**2).sum(-1)
    consistent = (returned**2).sum(-1) <= 0.01 * lengths + 0.5  # Sundaram et al. 2010
    warped = sample(earlier.band, at)
    inside = (at[..., 0] >= -0.5) & (at[..., 0] <= w - 0.5) & (at[..., 1] >= -0.5) & (at[..., 1] <= h - 0.5)
    difference = np.abs(warped - later.band)
    photometric = cv2.blur(difference, (5, 5)) <= max(6.0, 3.0 * float(np.median(difference)))
    valid = (consistent & photometric & inside).astype(np.float32)
    residual = float(difference[inside].mean()) if inside.any() else float("inf")
    size = np.array([w, h], np.float32)
    return Motion("dense", back=back / size, ahead=ahead / size, valid=valid, residual=residual)
