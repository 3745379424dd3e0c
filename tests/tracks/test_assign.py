"""Which track takes which mask where several are near."""

import numpy as np

from vidconcept.tracks.assign import assign, expected_overlap
from vidconcept.tracks.components import Component
from vidconcept.tracks.motion import begin_at_rest

GRID = (40, 120)


def patch(x: int, width: int) -> Component:
    y, x_all = np.mgrid[10:20, x : x + width]
    points = np.stack([x_all.ravel(), y.ravel()], axis=1).astype(np.int32)
    return Component(points, (x, 10, x + width, 20))


def pair(before: list[Component], now: list[Component]) -> set[tuple[int, int]]:
    motions = [begin_at_rest(component) for component in before]
    overlap = expected_overlap(motions, now, GRID)
    return set(assign(motions, [1.0] * len(motions), now, overlap, reach_px=30))


def test_a_track_that_runs_into_another_does_not_push_it_onto_its_neighbour():
    """The first two are one mask now, and beside the third there is a new one."""
    before = [patch(0, 20), patch(22, 10), patch(60, 10)]
    now = [patch(0, 32), patch(60, 10), patch(74, 10)]
    assert (0, 0) in pair(before, now)
    assert (2, 1) in pair(before, now)
    # A row of tracks, of which the last has gone: each keeps its own mask.
    row = [patch(12 * k, 10) for k in range(6)]
    assert pair([patch(0, 20), *row[2:]], [patch(0, 20), *row[2:5], patch(74, 10)]) >= {(0, 0), (1, 1), (2, 2), (3, 3)}


def test_what_is_seen_a_little_farther_on_is_still_taken():
    assert pair([patch(0, 10), patch(40, 10)], [patch(14, 10), patch(40, 10)]) == {(0, 0), (1, 1)}
