"""Which living track each component belongs to: one optimal assignment a frame and concept."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from vidconcept.tracks.components import Component, box_gap_px
from vidconcept.tracks.motion import Motion, count_overlaps, expected_box

# What a pair costs that stays apart: more than any that overlaps, and less than any other.
_APART = 1.0
# Cost of a pair that may not be linked; every allowed pair costs less than 2.
_FORBIDDEN = 1e6
# Without any overlap, sizes that differ by more than this are not the same defect.
_MAX_SIZE_RATIO = 8.0
# Where two tracks run into one mask, this much of their similarity decides for the older one.
_SENIORITY = 0.1
# A piece of which so much was expected from a track that is seen elsewhere is a fragment of that track.
_SPLIT_SHARE = 0.5


def expected_overlap(motions: Sequence[Motion], found: Sequence[Component], grid: tuple[int, int]) -> np.ndarray:
    """`(track, component)` pixels of each component that the track was expected on, the better of flow and velocity."""
    labels = np.zeros(grid, np.int32)
    for c, component in enumerate(found):
        labels[component.points[:, 1], component.points[:, 0]] = c + 1
    overlap = np.zeros((len(motions), len(found)))
    for t, motion in enumerate(motions):
        overlap[t] = np.maximum(*count_overlaps(motion, labels, len(found)))
    return overlap


def assign(
    motions: Sequence[Motion],
    ages_s: Sequence[float],
    found: Sequence[Component],
    overlap: np.ndarray,
    reach_px: float,
) -> list[tuple[int, int]]:
    """Pairs (track, component) of least total cost: first of those that overlap, then of those that are left.

    overlap: from `expected_overlap`. An overlapping pair costs 1 - (IoU + containment) / 2. One that does not overlap
    costs 1 + gap / reach_px, and is forbidden beyond `reach_px`. Were all paired at once, pairs would be as many as
    possible, and a track that runs into another would push that one onto its neighbour.
    """
    if not motions or not found:
        return []
    cost = np.full((len(motions), len(found)), _FORBIDDEN)
    for t, motion in enumerate(motions):
        boxes = expected_box(motion.by_flow), expected_box(motion.by_velocity)
        seniority = _SENIORITY * min(1.0, ages_s[t])
        for c, component in enumerate(found):
            shared = overlap[t, c]
            if shared > 0:
                small, both = min(motion.area, component.area), motion.area + component.area
                cost[t, c] = 1 - 0.5 * (min(1.0, shared / (both - shared)) + min(1.0, shared / small)) - seniority
                continue
            gap = min(box_gap_px(box, component.box) for box in boxes)
            ratio = max(motion.area, component.area) / min(motion.area, component.area)
            if gap <= reach_px and ratio <= _MAX_SIZE_RATIO:
                cost[t, c] = 1 + gap / max(reach_px, 1.0) - seniority
    overlaps = overlap > 0
    pairs = _match(np.where(overlaps, cost, _APART), overlaps)
    is_free = ~overlaps & (cost < _FORBIDDEN)
    for t, c in pairs:
        is_free[t], is_free[:, c] = False, False
    return pairs + _match(np.where(is_free, cost, _FORBIDDEN), is_free)


def _match(cost: np.ndarray, allowed: np.ndarray) -> list[tuple[int, int]]:
    """The allowed ones of the pairs (row, column) that cost least together."""
    rows, cols = linear_sum_assignment(cost)
    return [(int(t), int(c)) for t, c in zip(rows, cols, strict=True) if allowed[t, c]]


def find_parent(
    component: Component, expected: np.ndarray, seen: Mapping[int, Component], reach_px: float
) -> int | None:
    """The track that an unassigned component broke off from, None where it stands for itself.

    expected: `(track,)` pixels of the component that each track was expected on. seen: the tracks that are assigned on
    this frame. A piece stays with its track while it is within `reach_px` of it; farther, it is a track of its own.
    """
    near = [t for t, body in seen.items() if box_gap_px(body.box, component.box) <= reach_px]
    parent = max(near, key=lambda t: expected[t], default=None)
    return parent if parent is not None and expected[parent] >= _SPLIT_SHARE * component.area else None
