"""One map for the whole frame, a translation or an affine map, and how well it explains a pair of frames."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vidconcept.temporal.motion import Motion
from vidconcept.temporal.proxy import Proxy
from vidconcept.temporal.sampling import chain_affine
from vidconcept.temporal.shifts import as_matrix, find_shift, measure_gain, warp

# Lucas-Kanade steps below this are measurement error (proxy px).
STEP_TOLERANCE_PX = 0.35
# Blocks with less variance (8-bit grey levels, frame contrast brought to 16) say nothing about motion.
TEXTURE_VARIANCE = 6.0
# A translation that explains less than this share of the textured blocks is tried as an affine map.
TRANSLATION_SHARE = 0.85
# Textured blocks that must bear out what is said of a part of the picture.
FEWEST_BLOCKS = 6
# Where no block is textured, another motion than none or that of before must fit better by this factor; in the coarser
# bands, where few places are independent of each other, by the second.
BARE_GAIN, COARSE_BARE_GAIN = 0.97, 0.8


@dataclass(frozen=True, slots=True)
class Fit:
    """How well a warp explains the later frame: mean absolute residual, the share of textured blocks that agree, and
    how many of these there are."""

    residual: float
    explained: float = 0.0
    textured: int = 0


@dataclass(frozen=True, slots=True)
class Whole:
    """One map for the whole frame, later → earlier in proxy pixels."""

    kind: str
    matrix: np.ndarray
    fit: Fit

    def to_motion(self, h: int, w: int) -> Motion:
        return Motion(self.kind, matrix=_normalise(self.matrix, h, w), residual=self.fit.residual)


def fit_whole(earlier: Proxy, later: Proxy, prior: Motion, bare_gain: float = BARE_GAIN) -> Whole:
    """The translation that explains the pair, or an affine map where that is better."""
    h, w = later.band.shape
    candidates = [(0.0, 0.0)]
    if prior.matrix is not None:
        px = _to_pixels(prior.matrix, h, w) @ np.array([w / 2, h / 2, 1.0]) - np.array([w / 2, h / 2])
        candidates.append((float(px[0]), float(px[1])))
    shift = find_shift(earlier, later, candidates)
    matrix, translation = refine(earlier.core, later.core, as_matrix(shift), affine=False)
    if not translation.textured:
        # Noise on a bare surface always looks a little more alike somewhere else.
        shift = find_shift(earlier, later, candidates, worth=bare_gain)
        there = refine(earlier.core, later.core, as_matrix(shift), affine=False, steps=1)
        better = refine(earlier.core, later.core, as_matrix(shift), affine=False)
        matrix, translation = better if better[1].residual < bare_gain * there[1].residual else there
    if translation.explained < TRANSLATION_SHARE:
        start = matrix if prior.kind != "affine" or prior.matrix is None else _to_pixels(prior.matrix, h, w)
        turned, affine = refine(earlier.core, later.core, start, affine=True)
        if affine.residual < 0.95 * translation.residual:
            return Whole("affine", turned, affine)
    return Whole("translation", matrix, translation)


def explain_both(whole: Whole, earlier: Proxy, later: Proxy) -> Whole:
    """The fit with what it explains of both frames, the lesser share: what has gone shows in the earlier one alone."""
    back = warp(later.core, cv2.invertAffineTransform(whole.matrix))
    explained, textured = _explain(back, earlier.core)
    if textured < FEWEST_BLOCKS or explained >= whole.fit.explained:
        return whole
    return replace(whole, fit=replace(whole.fit, explained=explained))


def refine(
    earlier: np.ndarray, later: np.ndarray, start: np.ndarray, *, affine: bool, steps: int | None = None
) -> tuple[np.ndarray, Fit]:
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
    return matrix, Fit(residual, *_explain(warp(earlier, matrix), later))


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


def _normalise(matrix: np.ndarray, h: int, w: int) -> np.ndarray:
    """Affine map of proxy pixels (centres at integers) → of normalised coordinates, `(2, 3)` float64."""
    to_px = np.array([[w, 0, -0.5], [0, h, -0.5]])
    return chain_affine(cv2.invertAffineTransform(to_px), chain_affine(matrix, to_px))


def _to_pixels(matrix: np.ndarray, h: int, w: int) -> np.ndarray:
    to_px = np.array([[w, 0, -0.5], [0, h, -0.5]])
    return chain_affine(to_px, chain_affine(matrix, cv2.invertAffineTransform(to_px)))
