"""The pooling operator: a token is the mean of the field over its area and frames, however they move."""

import cv2
import numpy as np
import pytest

from vidconcept.temporal.carry import HERE, Carry
from vidconcept.temporal.pooling import Canvas, Observation, compute_footprints, make_view
from vidconcept.temporal.regularize import EnergySettings, average_tokens, solve
from vidconcept.temporal.unpool import Guide, carry_field, find_boxes

ROWS, COLS = 6, 9


def observed(tokens: np.ndarray, ways: list[Carry], canvas: Canvas) -> Observation:
    return Observation(tokens.astype(np.float32), ways, [make_view(ways[len(ways) // 2], canvas, block=2)])


def moved(dx: float, dy: float = 0.0) -> Carry:
    """Normalised displacement given in tokens."""
    return Carry(np.array([[1.0, 0.0, dx / COLS], [0.0, 1.0, dy / ROWS]]))


def dense(way: Carry, canvas: Canvas) -> Carry:
    """The same displacement, written as a field."""
    shift = np.zeros((canvas.rows, canvas.cols, 2), np.float32) + way.matrix[:, 2].astype(np.float32)
    return Carry(None, shift, np.ones(shift.shape[:2], np.float32))


def predicted(field: np.ndarray, ways: list[Carry], canvas: Canvas) -> np.ndarray:
    """Tokens that the operator predicts for a field; NaN where it reaches beyond the canvas."""
    rows = compute_footprints(observed(np.zeros((ROWS, COLS)), ways, canvas), canvas, np.ones(canvas.shape, bool))
    tokens = np.full(ROWS * COLS, np.nan)
    tokens[rows.tokens] = (rows.coefficients * field.ravel()[rows.cells]).sum(1)
    return tokens.reshape(ROWS, COLS)


@pytest.mark.parametrize("spread", [0.0, 0.8])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.2), (-0.85, 0.4)])
def test_translated_and_sampled_footprints_agree(spread, shift):
    canvas = Canvas(ROWS * 4, COLS * 4, 4, spread)
    field = cv2.GaussianBlur(np.random.default_rng(0).random(canvas.shape).astype(np.float32), (0, 0), 1.0)
    ways = [moved(*shift), HERE]
    one = predicted(field, ways, canvas)
    two = predicted(field, [dense(w, canvas) for w in ways], canvas)
    both = np.isfinite(one) & np.isfinite(two)
    assert both.sum() > ROWS * COLS / 2
    np.testing.assert_allclose(one[both], two[both], atol=1e-4)


def test_at_rest_a_token_is_the_mean_of_its_cells():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    field = np.random.default_rng(1).random(canvas.shape).astype(np.float32)
    m = canvas.margin
    expected = field[m:-m, m:-m].reshape(ROWS, 4, COLS, 4).mean((1, 3))
    np.testing.assert_allclose(predicted(field, [HERE, HERE], canvas), expected, atol=1e-5)


def test_footprints_sum_to_one():
    canvas = Canvas(ROWS * 4, COLS * 4, 4, 0.7)
    turned = Carry(np.array([[0.999, -0.02, 0.01], [0.02, 0.999, -0.01]]))
    rows = compute_footprints(
        observed(np.zeros((ROWS, COLS)), [turned, HERE], canvas), canvas, np.ones(canvas.shape, bool)
    )
    np.testing.assert_allclose(rows.coefficients.sum(1), 1.0, atol=1e-5)


def test_motion_resolves_what_a_token_cannot():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    truth = np.zeros(canvas.shape, np.float32)
    truth[16:28, 25:27] = 0.8
    ways = [[moved(dx), moved(dx + 0.1)] for dx in np.linspace(-1.2, 1.2, 9)]
    seen = [observed(np.nan_to_num(predicted(truth, w, canvas)), w, canvas) for w in ways]
    settings = EnergySettings()
    mean = average_tokens(seen, canvas, settings)
    found = solve(seen, mean, canvas, np.full(canvas.shape, 128.0, np.float32), settings)
    assert np.abs(found - truth).mean() < 0.75 * np.abs(mean - truth).mean()
    assert found[20, 25:27].mean() > 1.3 * mean[20, 25:27].mean()


def test_a_known_point_spread_is_undone():
    canvas = Canvas(ROWS * 4, COLS * 4, 4, 0.8)
    truth = np.zeros(canvas.shape, np.float32)
    truth[24:32, 30:36] = 0.9
    ways = [[moved(dx), moved(dx + 0.1)] for dx in np.linspace(-1.2, 1.2, 9)]
    seen = [observed(np.nan_to_num(predicted(truth, w, canvas)), w, canvas) for w in ways]
    grey = np.full(canvas.shape, 128.0, np.float32)
    knows = solve(seen, average_tokens(seen, canvas, EnergySettings()), canvas, grey, EnergySettings())
    plain = Canvas(ROWS * 4, COLS * 4, 4)
    crop = canvas.margin - plain.margin
    unaware_seen = [observed(o.tokens, list(o.carries), plain) for o in seen]
    mean = average_tokens(unaware_seen, plain, EnergySettings())
    unaware = solve(unaware_seen, mean, plain, np.full(plain.shape, 128.0, np.float32), EnergySettings())
    error = np.abs(knows - truth).mean() / np.abs(unaware - truth[crop:-crop, crop:-crop]).mean()
    assert error < 0.8


def test_the_guide_follows_an_edge_and_leaves_flat_surface_alone():
    grey = np.full((64, 96), 0.5, np.float32)
    grey[:, 42:45] = 0.1
    guide = Guide(grey, 8, 1e-4)
    box = (slice(0, 64), slice(0, 96))
    scores = cv2.GaussianBlur((np.arange(96) // 3 == 14).astype(np.float32)[None].repeat(64, 0), (0, 0), 5.0)
    sharp = guide.filter(np.ascontiguousarray(scores[guide.find_coarse_box(box)]))
    assert sharp[32, 43] / sharp[32, 40] > 1.2 * scores[32, 43] / scores[32, 40]
    flat = guide.filter(np.full_like(scores[guide.find_coarse_box(box)], 0.3))
    np.testing.assert_allclose(flat, 0.3, atol=1e-4)


def test_boxes_hold_all_cells_and_do_not_overlap():
    rng = np.random.default_rng(3)
    for _ in range(20):
        cells = rng.random((12, 18)) > 0.95
        count = np.zeros((192, 288), int)
        for box in find_boxes(cells, 192, 288, 8):
            count[box] += 1
        assert count.max(initial=0) <= 1
        assert (count > 0)[np.kron(cells, np.ones((16, 16))).astype(bool)].all()


def test_a_field_is_carried_as_a_whole_or_in_part():
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    field = cv2.GaussianBlur(np.random.default_rng(4).random(canvas.shape).astype(np.float32), (0, 0), 1.5)
    way = moved(0.4, 0.1)
    whole = carry_field(field, canvas, way, 96, 144, (slice(0, 96), slice(0, 144)))
    part = carry_field(field, canvas, way, 96, 144, (slice(31, 80, 2), slice(17, 120, 2)))
    np.testing.assert_allclose(part, whole[31:80:2, 17:120:2], atol=2e-2)
    np.testing.assert_allclose(
        carry_field(field, canvas, dense(way, canvas), 96, 144, (slice(0, 96), slice(0, 144))), whole, atol=3e-2
    )


@pytest.mark.parametrize("matrix", [[[1, 0, 0.37], [0, 1, -0.11]], [[1.1, 0, -0.2], [0, 0.9, 0.05]]])
def test_the_quick_view_of_upright_motion_is_that_of_any_motion(matrix):
    canvas = Canvas(ROWS * 4, COLS * 4, 4)
    tokens = np.random.default_rng(3).random((ROWS, COLS)).astype(np.float32)
    # So small a turn moves nothing, and takes the way of all motions.
    turn = np.array([[0, 1e-9, 0], [0, 0, 0]])
    quick, general = (make_view(Carry(np.array(matrix) + own), canvas) for own in (np.zeros((2, 3)), turn))
    assert quick.x.shape == (1, canvas.shape[1])
    assert general.x.shape == canvas.shape
    np.testing.assert_allclose(np.broadcast_to(quick.x, canvas.shape), general.x, atol=1e-5)
    np.testing.assert_allclose(np.broadcast_to(quick.y, canvas.shape), general.y, atol=1e-5)
    np.testing.assert_array_equal(quick.inside, general.inside)
    np.testing.assert_array_equal(*(view.sample(tokens, cv2.INTER_NEAREST) for view in (quick, general)))
    # OpenCV interpolates in steps of 1/32.
    np.testing.assert_allclose(*(view.sample(tokens, cv2.INTER_LINEAR) for view in (quick, general)), atol=1 / 32)
