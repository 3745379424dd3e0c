"""Candidates for the translation between two frames, and how well one fits."""

from collections.abc import Iterable

import cv2
import numpy as np

from vidconcept.temporal.proxy import Proxy

# A strip of this share of the picture is looked for where the picture moved far, which may leave as little in view; and
# so much it may have moved across at the same time.
STRIP_SHARE, SLACK_SHARE = 1 / 6, 1 / 8
# Shifts beyond this share of a side; phase correlation tells the smaller ones.
FAR_SHARE = 0.4


def warp(earlier: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`earlier` seen from the later frame; what was outside is NaN."""
    h, w = earlier.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        earlier, matrix, (w, h), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=float("nan")
    )


def as_matrix(shift: tuple[float, float]) -> np.ndarray:
    return np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])


def find_shift(
    earlier: Proxy, later: Proxy, candidates: Iterable[tuple[float, float]], *, worth: float = 1.0
) -> tuple[float, float]:
    """Displacement (later → earlier, proxy px): that of phase correlation or one of the candidates, by residual.

    Phase correlation tells shifts of less than half of the picture. worth: the factor by which it must fit better.
    """
    h, w = later.band.shape
    window = cv2.createHanningWindow((w, h), cv2.CV_32F)
    (dx, dy), _ = cv2.phaseCorrelate(later.band, earlier.band, window)
    residuals = {shift: _shift_residual(earlier.core, later.core, shift) for shift in (*candidates, (dx, dy))}
    best = min(candidates, key=residuals.__getitem__)
    return (dx, dy) if residuals[dx, dy] < worth * residuals[best] else best


def find_far_shifts(earlier: np.ndarray, later: np.ndarray) -> list[tuple[float, float]]:
    """Displacements as of `find_shift` by more than `FAR_SHARE` of a side, along that above all; the likeliest first.

    A strip at each border of the later frame, where what is still in view must be, is looked for in the earlier one.
    earlier, later: bands with NaN near the border.
    """
    inner = np.isfinite(later)
    rows, cols = np.flatnonzero(inner.any(1)), np.flatnonzero(inner.any(0))
    top, bottom, left, right = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
    high, wide = bottom - top, right - left
    side, slack = STRIP_SHARE, SLACK_SHARE
    across, along = (int(high * slack), int(wide * slack)), (max(int(high * side), 4), max(int(wide * side), 4))
    strips = [
        (slice(top + across[0], bottom - across[0]), slice(left, left + along[1])),
        (slice(top + across[0], bottom - across[0]), slice(right - along[1], right)),
        (slice(top, top + along[0]), slice(left + across[1], right - across[1])),
        (slice(bottom - along[0], bottom), slice(left + across[1], right - across[1])),
    ]
    searched = np.ascontiguousarray(earlier[top:bottom, left:right])
    found = []
    for strip in strips:
        match = cv2.matchTemplate(searched, np.ascontiguousarray(later[strip]), cv2.TM_CCOEFF_NORMED)
        _, likeness, _, (x, y) = cv2.minMaxLoc(match)
        shift = float(left + x - strip[1].start), float(top + y - strip[0].start)
        if abs(shift[0]) > FAR_SHARE * later.shape[1] or abs(shift[1]) > FAR_SHARE * later.shape[0]:
            found.append((likeness, shift))
    return [shift for _, shift in sorted(found, reverse=True)]


def _shift_residual(earlier: np.ndarray, later: np.ndarray, shift: tuple[float, float]) -> float:
    """Mean absolute residual over the overlap; a small overlap must be that much better."""
    warped = warp(earlier, as_matrix(shift))
    seen = np.isfinite(warped) & np.isfinite(later)
    share = float(seen.mean())
    if share < 0.2:
        return float("inf")
    one, two = warped[seen], later[seen]
    return float(np.abs(two - measure_gain(one, two) * one).mean()) / share**0.25


def measure_gain(warped: np.ndarray, later: np.ndarray) -> float:
    """Contrast of the later frame against the earlier one, least squares: a lamp that flickers is not motion."""
    return float(np.clip(np.vdot(warped, later) / max(float(np.vdot(warped, warped)), 1e-6), 0.5, 2.0))
