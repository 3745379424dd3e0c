"""Estimates of the motion between neighbouring frames, with validity, and scene cuts.

Line cameras mostly translate, and one robust translation is more exact than any dense flow; rotating or zooming parts
need an affine map, deforming ones a dense field. So three models are tried in that order, each on a small proxy of the
frames, and the simplest one that explains the pictures is kept. Whether it explains them is decided by the photometric
residual and by the displacement that a local Lucas-Kanade step would still ask for (its size matters where the residual
is hidden by noise, the residual where the texture is too weak for a step).

Frames are high-passed and brought to one contrast before comparing, so a flickering lamp is not motion. What seems to
stand still, or nothing explains, is looked at again: without the strong edges that stand still in the picture, for a
shift by more than half of it, and in coarser bands, in which the noise of the camera is gone.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from vidconcept.temporal.dense import estimate_dense
from vidconcept.temporal.fits import COARSE_BARE_GAIN, FEWEST_BLOCKS, Whole, explain_both, fit_whole, refine
from vidconcept.temporal.motion import STILL, Motion
from vidconcept.temporal.proxy import COARSER_BANDS, Proxy, make_proxy, match_contrast, smooth
from vidconcept.temporal.shifts import as_matrix, find_far_shifts
from vidconcept.temporal.standing import count_filled_blocks, leave_out_standing

# A model of the whole frame is kept when it explains this share of the textured blocks: hard shadows and glare that
# stand still hold back the others.
EXPLAINED_SHARE = 0.55
# A dense field always fits a little better, noise included: it must do so by this factor to replace a global model.
DENSE_GAIN = 0.85
# Below this share a part of the frame may move otherwise than the rest, if a dense field is better by this factor.
WHOLE_SHARE, SPLIT_GAIN = 0.97, 0.5
# When less than this share of a dense field is consistent there is nothing to follow: a scene cut. Neighbouring frames
# of one scene, turning, zooming and shaking, stayed above 0.8, frames of different clips below 0.2.
CUT_VALID_SHARE = 0.4
# A dense field this consistent is taken without a coarser look. Of mere noise up to 0.7 may seem consistent.
SURE_SHARE = 0.9
# Proxy pixels that a surface seems to move at most where standing edges hold it back.
HELD_PX = 2.0
# What moves behind standing edges is the surface, and not a hand, from this share of the blocks on that show anything.
SURFACE_SHARE = 1 / 3


def estimate(earlier: Proxy, later: Proxy, prior: Motion = STILL) -> Motion:
    """Motion from `earlier` to `later`; `prior` is the motion of the pair before, a candidate among others."""
    h, w = later.band.shape
    if float(np.abs(earlier.grey - later.grey).max()) < 0.5:
        return STILL
    if min(h, w) < 8:
        return Motion("still", matrix=np.eye(2, 3), residual=float(np.abs(earlier.band - later.band).mean()))

    pair = match_contrast(earlier, later)
    fine = fit_whole(*pair, prior)
    is_moving = fine.kind == "translation" and np.abs(fine.matrix[:, 2]).max() > HELD_PX
    if not is_moving:
        fine = explain_both(fine, *pair)
    if fine.fit.explained >= WHOLE_SHARE and is_moving:
        return fine.to_motion(h, w)
    moving = _fit_behind_standing(earlier, later, prior)
    if moving is not None and np.abs(moving.matrix - fine.matrix).max() > 1:
        return moving.to_motion(h, w)
    if fine.fit.explained >= WHOLE_SHARE:
        return fine.to_motion(h, w)
    dense = estimate_dense(*pair, fine.matrix)
    trusted = 0.0 if dense.valid is None else float(dense.valid.mean())
    if fine.fit.explained >= EXPLAINED_SHARE:
        # Most of the picture moves so, or stands still; a part that moves otherwise shows in a much better dense field.
        is_split = trusted >= SURE_SHARE and dense.residual < SPLIT_GAIN * fine.fit.residual
        return dense if is_split else fine.to_motion(h, w)
    is_better = dense.residual < DENSE_GAIN * fine.fit.residual
    if trusted >= SURE_SHARE and is_better:
        return dense
    far = _fit_far(*pair)
    if far is not None and far.fit.residual < DENSE_GAIN * min(fine.fit.residual, dense.residual):
        return far.to_motion(h, w)
    # What nothing explains may be the noise of the camera, which a coarser look averages out.
    coarser = []
    for band in (band for band in COARSER_BANDS if min(h, w) >= 2 * band[1]):
        smooth_pair = match_contrast(smooth(earlier, band), smooth(later, band))
        coarser.append(smooth_pair)
        coarse = explain_both(fit_whole(*smooth_pair, prior, COARSE_BARE_GAIN), *smooth_pair)
        if coarse.fit.explained >= EXPLAINED_SHARE:
            return coarse.to_motion(h, w)
    if trusted >= CUT_VALID_SHARE and is_better:
        return dense
    if fine.fit.explained >= 0.5:
        return fine.to_motion(h, w)
    far = _fit_far(*coarser[0]) if coarser else None
    if far is not None:
        return far.to_motion(h, w)
    if trusted < CUT_VALID_SHARE:
        return Motion("still", matrix=np.eye(2, 3), residual=dense.residual, cut=True)
    return fine.to_motion(h, w)


def _fit_behind_standing(earlier: Proxy, later: Proxy, prior: Motion) -> Whole | None:
    """The motion of a surface behind what stands still in the picture; None where too little of it shows any."""
    freed = leave_out_standing(earlier, later)
    if freed is None:
        return None
    moving = fit_whole(*match_contrast(*freed), prior)
    is_surface = moving.fit.textured >= max(SURFACE_SHARE * count_filled_blocks(freed[1]), FEWEST_BLOCKS)
    return moving if is_surface and moving.fit.explained >= EXPLAINED_SHARE else None


def _fit_far(earlier: Proxy, later: Proxy) -> Whole | None:
    """A translation by more than half of the picture; None where none explains what both frames show."""
    for shift in find_far_shifts(earlier.core, later.core):
        matrix, fit = refine(earlier.core, later.core, as_matrix(shift), affine=False)
        if fit.textured >= FEWEST_BLOCKS and fit.explained >= EXPLAINED_SHARE:
            return Whole("translation", matrix, fit)
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
