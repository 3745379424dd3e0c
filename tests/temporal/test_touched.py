"""Fields of tokens that say how surely something touches them: small things keep their score, motion places them."""

from dataclasses import replace

import numpy as np
import pytest

from vidconcept.temporal.carry import Carry
from vidconcept.temporal.pooling import Canvas, Observation, make_view
from vidconcept.temporal.regularize import EnergySettings, average_tokens
from vidconcept.temporal.touched import compute_touched_field, round_steps

ROWS, COLS = 6, 9


def moved(dx: float) -> Carry:
    """A displacement along x given in tokens."""
    return Carry(np.array([[1.0, 0.0, dx / COLS], [0.0, 1.0, 0.0]]))


def touching(spot, shift, frames, canvas):
    """A latent step whose tokens are 0.9 where the spot (x, y in tokens) lies in one of its frames; motion along x."""
    ways = [moved(shift + step) for step in frames]
    tokens = np.zeros((ROWS, COLS), np.float32)
    for step in frames:
        tokens[int(spot[1]), int(spot[0] - shift - step)] = 0.9
    return Observation(tokens, ways, [make_view(way, canvas) for way in ways])


def test_a_spot_smaller_than_a_token_keeps_its_score_when_tokens_say_what_touches_them():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    spot = np.array([4.4, 2.7])  # x, y in tokens of the key frame
    seen = [touching(spot, dx, [0.0], canvas) for dx in np.linspace(-1.3, 1.3, 9)]
    touched = compute_touched_field(seen, canvas, EnergySettings())
    means = average_tokens(
        [replace(o, views=[make_view(o.carries[0], canvas, 2)]) for o in seen], canvas, EnergySettings()
    )
    x, y = (int(v * 4) + canvas.margin for v in spot)
    assert touched[y, x] > 0.8
    assert touched.max() == pytest.approx(0.9, abs=0.05)
    assert means.max() < 0.75
    # Two tokens away from the spot there is nothing.
    assert touched[:, : x - 16].max() < 1e-3 > touched[:, x + 16 :].max()


def test_the_frames_of_a_step_narrow_down_where_a_spot_is():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    spot = np.array([4.4, 2.7])
    frames = [-2.25, -0.75, 0.75, 2.25]  # the spot crosses five tokens within a step
    seen = [touching(spot, dx, frames, canvas) for dx in np.linspace(-0.8, 0.8, 5)]
    alone = [replace(o, views=[o.middle]) for o in seen]
    fine, coarse = (compute_touched_field(rows, canvas, EnergySettings()) for rows in (seen, alone))
    x, y = (int(v * 4) + canvas.margin for v in spot)
    assert fine[y, x] > 0.85
    width = [int((field[y] > 0.8 * field[y].max()).sum()) for field in (fine, coarse)]
    assert width[0] < 0.8 * width[1]
    inside = np.flatnonzero(fine[y] > 0.8 * fine[y].max())
    assert inside.min() <= x <= inside.max()


def test_a_point_out_of_sight_is_judged_by_the_frames_that_see_it():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    spot = np.array([0.4, 2.5])  # at the border of the key frame, out of the picture in the others
    tokens = np.zeros((ROWS, COLS), np.float32)
    tokens[2, 0] = 0.9
    ways = [moved(0.0), moved(1.0), moved(2.0)]
    views = [make_view(way, canvas) for way in ways]
    field = compute_touched_field([Observation(tokens, ways, views)], canvas, EnergySettings())
    x, y = (int(v * 4) + canvas.margin for v in spot)
    assert field[y, x] > 0.8


def test_what_only_the_border_of_the_picture_says_counts_little():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    spot = np.array([0.4, 2.5])  # x, y in tokens of the key frame: at its border, three farther inside in the other
    at_border = touching(spot, 0.0, [0.0], canvas)
    inside = replace(touching(spot, -3.0, [0.0], canvas), tokens=np.full((ROWS, COLS), 0.1, np.float32))
    x, y = (int(v * 4) + canvas.margin for v in spot)
    contradicted = compute_touched_field([at_border, inside], canvas, EnergySettings())
    assert contradicted[y, x] < 0.3
    # Where no other view is to be had, as with a still camera, the border's own stands.
    alone = compute_touched_field([at_border, at_border], canvas, EnergySettings())
    assert alone[y, x] > 0.8


def test_rounding_keeps_peaks_and_takes_corners():
    field = np.zeros((48, 64), np.float32)
    field[16:20, 20:24] = 0.9  # one token
    field[32:36, 40:56] = 0.5  # four in a row
    soft = round_steps(field, field, 4)
    assert soft[16:20, 20:24].max() == pytest.approx(0.9)
    assert soft[32:36, 40:56].max() == pytest.approx(0.5)
    assert soft.max() == pytest.approx(0.9)
    # Halfway between two corners of a token the edge is farther out than at them.
    assert soft[18, 24] > 1.2 * soft[20, 24]
    # A form that is lower is raised to the height.
    np.testing.assert_allclose(round_steps(0.3 * field, field, 4), soft, atol=1e-6)
    even = np.full((48, 64), 0.3, np.float32)
    np.testing.assert_allclose(round_steps(even, even, 4), 0.3, atol=1e-6)


def test_where_next_to_nothing_is_seen_nothing_is_made_of_it():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    ways = [moved(0.0), moved(0.5)]
    faint = np.full((ROWS, COLS), 0.02, np.float32)
    field = compute_touched_field(
        [Observation(faint, ways, [make_view(w, canvas) for w in ways])], canvas, EnergySettings()
    )
    assert field.shape == canvas.shape
    assert field == pytest.approx(0.02)
