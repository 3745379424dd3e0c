"""What stands still in the picture while the surface moves: black bars, a burnt-in clock, a cross-hair."""

import cv2
import numpy as np

from vidconcept.temporal.proxy import Proxy

# An edge stands still where neither grey level nor band differ by more than this, and the band is as strong as the
# second, or as so many deviations of the picture's usual structure.
SAME_GREY, SAME_BAND = 3.0, 4.0
STRONG_BAND, STRONG_DEVIATIONS = 12.0, 4.0
# Blocks with a band weaker than this show nothing: black bars.
FAINT_VARIANCE = 0.25
# Where half of the picture stands still so, it is the scene.
MOST = 0.5


def leave_out_standing(earlier: Proxy, later: Proxy) -> tuple[Proxy, Proxy] | None:
    """The pair without the strong edges that are in the same place of both; None where there are none, or nothing else
    changed."""
    deviation = 1.48 * float(np.median(np.abs(earlier.band - np.median(earlier.band))))
    strong = np.abs(later.band) > max(STRONG_DEVIATIONS * deviation, STRONG_BAND)
    changed = np.abs(earlier.grey - later.grey)
    standing = strong & (changed < SAME_GREY) & (np.abs(earlier.band - later.band) < SAME_BAND)
    if not standing.any():
        return None
    # What lies around an edge has its halo in the band.
    standing = cv2.dilate(standing.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if standing.mean() > MOST or float(changed[~standing].max()) < SAME_GREY:
        return None
    one, other = (_without(proxy, standing) for proxy in (earlier, later))
    return one, other


def count_filled_blocks(proxy: Proxy) -> int:
    """How many of 8×12 blocks show any structure."""
    return int((cv2.resize(np.square(proxy.band), (12, 8), interpolation=cv2.INTER_AREA) > FAINT_VARIANCE).sum())


def _without(proxy: Proxy, standing: np.ndarray) -> Proxy:
    band = np.where(standing, np.float32(0), proxy.band)
    core = np.where(standing, np.float32("nan"), proxy.core)
    return Proxy(proxy.grey, band, core)
