"""What rarity took back, followed along the motion: one mark is one occurrence, however it is seen."""

import numpy as np
import pytest

from vidconcept.rarity.features import A_PIECE, pick_strongest_tokens
from vidconcept.rarity.recurring import Piece, find_removed_pieces, follow_pieces
from vidconcept.rarity.surface import Travel

ROWS, COLS, STEPS, FRAMES_A_STEP = 32, 48, 8, 4


def travel(shift_x: float, cut_at: int | None = None) -> Travel:
    frames = STEPS * FRAMES_A_STEP
    shifts, cuts = np.zeros((frames, 2), np.float32), np.zeros(frames, bool)
    shifts[1:, 0] = shift_x / COLS
    if cut_at is not None:
        cuts[cut_at] = True
    return Travel(shifts, cuts)


def piece(step: int, left: float, width: int = 10, concept: int = 0) -> Piece:
    box = (10, round(left), 11, round(left) + width - 1)
    extent = (left / COLS, 10 / ROWS, (left + width) / COLS, 12 / ROWS)
    return Piece(step, step * FRAMES_A_STEP, concept, 0.9, box, extent, np.zeros((3, 2), np.float32))


def test_a_mark_that_moves_with_the_surface_is_one():
    pieces = [piece(step, 35 - step * FRAMES_A_STEP) for step in range(STEPS)]
    (own,) = follow_pieces(pieces, travel(-1.0))
    assert own.pieces == pieces


def test_two_marks_one_behind_the_other_stay_two():
    both = [piece(step, left - step * FRAMES_A_STEP, width=6) for step in range(STEPS) for left in (25, 37)]
    found = follow_pieces(both, travel(-1.0))
    assert sorted(len(own.pieces) for own in found) == [STEPS, STEPS]
    assert all(np.ptp([p.extent[0] * COLS + p.latent * FRAMES_A_STEP for p in own.pieces]) < 0.01 for own in found)


@pytest.mark.parametrize(("cut_at", "count"), [(None, 1), (16, 2)])
def test_nothing_is_followed_across_a_cut(cut_at, count):
    assert len(follow_pieces([piece(step, 20) for step in range(STEPS)], travel(0.0, cut_at))) == count


@pytest.mark.parametrize(("steps", "count"), [((0, 1, 3, 4), 1), ((0, 1, 4, 5), 2)])
def test_one_step_may_be_missing_and_no_more(steps, count):
    assert len(follow_pieces([piece(step, 20) for step in steps], travel(0.0))) == count


def test_what_surface_elsewhere_shows_is_another():
    far = [piece(step, 2 if step % 2 else 36, width=3) for step in range(STEPS)]
    assert all(len({p.box for p in own.pieces}) == 1 for own in follow_pieces(far, travel(0.0)))


def test_where_places_are_lifted_less_is_removed():
    scores = np.zeros((8, 8))
    scores[2, 2:5] = scores[6, 6] = 0.8
    assert len(find_removed_pieces(scores, np.full((8, 8), 0.1), 0.7)) == 2
    lifted = np.full((8, 8), 0.7)
    lifted[:4] = 0.95
    ((at, box),) = find_removed_pieces(scores, np.full((8, 8), 0.1), lifted)
    assert (at, box.tolist()) == ((6, 6), [6, 6, 6, 6])


def test_a_piece_is_described_however_large_the_others_are():
    scores = np.zeros((2, 20, 20), np.float32)
    scores[0, :10] = 0.9
    scores[1, 15:17, 3:12] = 0.8
    few = pick_strongest_tokens(scores, 0.1, 64)
    assert few[:, 0].max() < 10
    more = pick_strongest_tokens(scores, 0.1, 64, threshold=0.7)
    assert (more[:64] == few).all()
    assert len(more) == 64 + A_PIECE
    assert set(more[64:, 0]) <= {15, 16}
    assert len(pick_strongest_tokens(scores, 0.1, 64, threshold=0.85)) == 64
