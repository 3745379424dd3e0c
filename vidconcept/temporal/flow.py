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

from vidconcept.temporal.dense import estimate_dense
from vidconcept.temporal.motion import STILL, Motion
from vidconcept.temporal.sampling import chain_affine
from vidconcept.temporal.shifts import as_matrix, find_far_shifts, find_shift, measure_gain, warp

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
# A dense field this consistent is taken without a coarser look. Of mere noise up to 0.7 may seem consistent.
SURE_SHARE = 0.9
# Bands that frames are compared in, proxy pixels: sigma of what is smoothed away, side of the mean that is subtracted.
# In the coarser ones a tenth and a twentieth is left of the noise of single pixels.
FINE_BAND = (0.7, 17)
COARSER_BANDS = ((3.0, 17), (6.0, 33))
# Where no block is textured, another motion than none or that of before must fit better by this factor; in the coarser
# bands, where few places are independent of each other, by the second.
BARE_GAIN, COARSE_BARE_GAIN = 0.97, 0.8
# Textured blocks that must bear out a translation by more than half of the picture.
FAR_BLOCKS = 6


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
    band = _filter_band(grey, *FINE_BAND)
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

    pair = _match_contrast(earlier, later)
    fine = _fit_whole(*pair, prior)
    if fine.fit.explained >= EXPLAINED_SHARE:
        return fine.to_motion(h, w)
    dense = estimate_dense(*pair, fine.matrix)
    trusted = 0.0 if dense.valid is None else float(dense.valid.mean())
    is_better = dense.residual < DENSE_GAIN * fine.fit.residual
    if trusted >= SURE_SHARE and is_better:
        return dense
    # What nothing explains may be the noise of the camera, which a coarser look averages out.
    coarser = []
    for band in COARSER_BANDS:
        smooth_pair = _match_contrast(_smooth(earlier, band), _smooth(later, band))
        coarser.append(smooth_pair)
        coarse = _fit_whole(*smooth_pair, prior, COARSE_BARE_GAIN)
        if coarse.fit.explained >= EXPLAINED_SHARE:
            return coarse.to_motion(h, w)
    if trusted >= CUT_VALID_SHARE and is_better:
        return dense
    if fine.fit.explained >= 0.5:
        return fine.to_motion(h, w)
    far = _fit_far(*pair) or _fit_far(*coarser[0])
    if far is not None:
        return far.to_motion(h, w)
    if trusted < CUT_VALID_SHARE:
        return Motion("still", matrix=np.eye(2, 3), residual=dense.residual, cut=True)
    return fine.to_motion(h, w)


def _match_contrast(*pair: Proxy) -> tuple[Proxy, Proxy]:
    """One contrast for the pair, so that limits in grey levels mean the same on dull and on glossy parts."""
    scale = 16.0 / max(float(pair[1].band.std()), 4.0)
    earlier, later = (Proxy(p.grey, p.band * scale, p.core * scale) for p in pair)
    return earlier, later


def _smooth(proxy: Proxy, band: tuple[float, int]) -> Proxy:
    """The proxy with a band of coarser structure, one of `COARSER_BANDS`."""
    filtered = _filter_band(proxy.grey, *band)
    return Proxy(proxy.grey, filtered, np.where(np.isnan(proxy.core), np.float32("nan"), filtered))


def _filter_band(grey: np.ndarray, sigma_px: float, box_px: int) -> np.ndarray:
    around = cv2.blur(grey, (box_px, box_px), borderType=cv2.BORDER_REFLECT_101)
    return cv2.GaussianBlur(grey, (0, 0), sigma_px) - around


@dataclass(frozen=True, slots=True)
class _Fit:
    """How well a warp explains the later frame: mean absolute residual, the share of textured blocks that agree, and
    how many of these there are."""

    residual: float
    explained: float = 0.0
    textured: int = 0


@dataclass(frozen=True, slots=True)
class _Whole:
    """One map for the whole frame, later → earlier in proxy pixels."""

    kind: str
    matrix: np.ndarray
    fit: _Fit

    def to_motion(self, h: int, w: int) -> Motion:
        return Motion(self.kind, matrix=_normalise(self.matrix, h, w), residual=self.fit.residual)


def _fit_whole(earlier: Proxy, later: Proxy, prior: Motion, bare_gain: float = BARE_GAIN) -> _Whole:
    """The translation that explains the pair, or an affine map where that is better."""
    h, w = later.band.shape
    candidates = [(0.0, 0.0)]
    if prior.matrix is not None:
        px = _to_pixels(prior.matrix, h, w) @ np.array([w / 2, h / 2, 1.0]) - np.array([w / 2, h / 2])
        candidates.append((float(px[0]), float(px[1])))
    shift = find_shift(earlier, later, candidates)
    matrix, translation = _refine(earlier.core, later.core, as_matrix(shift), affine=False)
    if not translation.textured:
        # Noise on a bare surface always looks a little more alike somewhere else.
        shift = find_shift(earlier, later, candidates, worth=bare_gain)
        there = _refine(earlier.core, later.core, as_matrix(shift), affine=False, steps=1)
        better = _refine(earlier.core, later.core, as_matrix(shift), affine=False)
        matrix, translation = better if better[1].residual < bare_gain * there[1].residual else there
    if translation.explained < TRANSLATION_SHARE:
        start = matrix if prior.kind != "affine" or prior.matrix is None else _to_pixels(prior.matrix, h, w)
        turned, affine = _refine(earlier.core, later.core, start, affine=True)
        if affine.residual < 0.95 * translation.residual:
            return _Whole("affine", turned, affine)
    return _Whole("translation", matrix, translation)


def _fit_far(earlier: Proxy, later: Proxy) -> _Whole | None:
    """A translation by more than half of the picture; None where none explains what both frames show."""
    for shift in find_far_shifts(earlier.core, later.core):
        matrix, fit = _refine(earlier.core, later.core, as_matrix(shift), affine=False)
        if fit.textured >= FAR_BLOCKS and fit.explained >= EXPLAINED_SHARE:
            return _Whole("translation", matrix, fit)
    return None


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


def _refine(
    earlier: np.ndarray, later: np.ndarray, start: np.ndarray, *, affine: bool, steps: int | None = None
) -> tuple[np.ndarray, _Fit]:
    """Gauss-Newton on the robust photometric error of a translation or an affine map, and how well it fits.

    steps: with 1 the start is measured and kept.
    """
    h, w = later.shape
    matrix = start.astype(np.float64)
    best = (start, float("inf"))
    gx, gy = _gradient(later)
    known = np.isfinite(gx) & np.isfinite(gy)
    gx, gy = np.where(known, gx, np.float32(0.0)), np.where(known, gy, np.float32(0.0))
    basis = [gx, gy]
    if affine:
        y, x = np.mgrid[:h, :w].astype(np.float32)
        x, y = (x - w / 2) / w, (y - h / 2) / w  # scaled alike, so that the system is well conditioned
        basis += [gx * x, gx * y, gy * x, gy * y]
    columns = np.stack([b.ravel() for b in basis])  # (unknown, pixel)
    for _ in range(steps or (6 if affine else 3)):
        warped = warp(earlier, matrix)
        seen = known & np.isfinite(warped)
        if seen.mean() < 0.1:
            break
        gain = np.float32(measure_gain(warped[seen], later[seen]))
        difference = np.where(seen, later - gain * warped, np.float32(0.0))
        residual = float(np.abs(difference).sum() / seen.sum())
        if residual < best[1]:
            best = (matrix.copy(), residual)
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
    matrix, residual = best
    return matrix, _Fit(residual, *_explain(warp(earlier, matrix), later))


def _explain(warped: np.ndarray, later: np.ndarray) -> tuple[float, int]:
    """Share of the textured blocks that the warp explains, and their number.

    In each block a local gain and offset (light) and a local Lucas-Kanade step are fitted to the difference. The block
    is not explained when the step is worth taking, or when even with its own light the warp has little to do with it.
    """
    h, w = later.shape
    rows, cols = max(2, min(8, h // 8)), max(2, min(12, w // 8))
    gx, gy = _gradient(warped)
    seen = np.isfinite(gx) & np.isfinite(gy) & np.isfinite(later)
    if not seen.any():
        return 0.0, 0
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
    return 1.0 - float(bad.sum()) / max(1.0, float(textured.sum())), int(textured.sum())


def _gradient(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes in x and y per pixel."""
    return cv2.Scharr(image, cv2.CV_32F, 1, 0, scale=1 / 32), cv2.Scharr(image, cv2.CV_32F, 0, 1, scale=1 / 32)
