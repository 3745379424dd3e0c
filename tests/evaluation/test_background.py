"""How much good footage scores at each place, and what is judged by it."""

import numpy as np
import pytest

from vidconcept.evaluation.background import Background, place_lifts


def test_a_bright_corner_is_lifted_and_little_footage_shrinks_it():
    rng = np.random.default_rng(0)
    peaks = rng.uniform(0.02, 0.04, (600, 6, 8))
    peaks[:, 0, 0] += 0.3
    lifts = place_lifts(peaks)
    assert lifts[0, 0] == pytest.approx(0.3 * 600 / 660, abs=0.02)
    assert np.count_nonzero(lifts) == 1
    assert place_lifts(peaks[:10])[0, 0] < 0.06


def test_what_raises_no_alarm_costs_nothing():
    """Edges of good parts score 0.6 and a fixture 0.8: a finding of 0.75 at an edge is one all the same."""
    peaks = np.random.default_rng(2).uniform(0.02, 0.04, (600, 6, 8))
    peaks[:, 0] += 0.57
    peaks[:, 3, 3] += 0.77
    lifts = place_lifts(peaks, harmless=0.7)
    assert not lifts[0].any()
    assert lifts[3, 3] == pytest.approx((0.8 - 0.7) * 600 / 660, abs=0.02)
    assert place_lifts(peaks)[0].all()


def test_what_passes_once_raises_no_place():
    """A mark on one part stands at each place for a few steps; a fixture is there in two hours of three."""
    rng = np.random.default_rng(1)
    peaks = rng.uniform(0.02, 0.04, (360, 6, 8))
    peaks[100:108, 3, 5] = 0.9
    peaks[60:300, 0, 0] += 0.3
    lifts = place_lifts(peaks)
    assert lifts[0, 0] > 0.2
    assert np.count_nonzero(lifts) == 1


def test_background_takes_any_grid():
    background = Background(("scratch", "dent"))
    background.begin_video()
    for step in range(200):
        maps = np.full((2, 5, 30), 0.05, np.float32)
        maps[1, 4, 29] = 0.5
        background.add(step, maps)
    lifts = background.compute_lifts()
    assert set(lifts) == {"dent"}
    assert all(len(str(value)) <= len("0.123") for row in lifts["dent"] for value in row)


def test_no_stretch_of_footage_is_judged_by_the_lifts_it_taught():
    """Of two videos the first half of the second alone has a bright corner."""
    background = Background(("dent",))
    for video in range(2):
        background.begin_video()
        for step in range(200):
            maps = np.full((1, 12, 16), 0.05, np.float32)
            maps[0, 0, 0] = 0.5 if video == 1 and step < 100 else 0.05
            background.add(step, maps)
    first, second = background.compute_left_out()
    assert (len(first), len(second)) == (200, 200)
    corner = background.compute_lifts()["dent"][0][0]
    assert corner > 0.3
    assert second[0] == second[99] == {}
    for lifts in (*first.values(), *list(second.values())[100:]):
        assert lifts["dent"][0][0] == pytest.approx(corner, abs=0.05)


def test_a_single_step_teaches_nothing_to_itself():
    background = Background(("dent",))
    background.begin_video()
    background.add(7, np.full((1, 12, 16), 0.5, np.float32))
    assert background.compute_left_out() == [{7: {}}]
