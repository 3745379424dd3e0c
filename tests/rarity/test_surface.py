"""Which frames may speak about a place: those that do not show its surface any more."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidconcept.rarity.surface import MARGIN, SHORTEST_SCENE, Travel


def line(frames: int, speed: float, cuts: tuple[int, ...] = ()) -> Travel:
    """Surface that moves to the left by `speed` of the picture's width a frame."""
    shifts = np.zeros((frames, 2), np.float32)
    shifts[1:, 0] = -speed
    cut = np.zeros(frames, bool)
    cut[list(cuts)] = True
    shifts[cut] = 0
    return Travel(shifts, cut)


def allowed(travel: Travel, x: float, position: int) -> np.ndarray:
    """Frames that show other surface than a place at x, in the middle of the height."""
    others = np.arange(len(travel.cuts))
    return travel.shows_other_surface(np.array([[x, 0.5]]), np.array([position]), others)[0]


class TestTravel:
    def test_the_own_surface_is_never_among_the_evidence(self):
        travel = line(200, 0.02)
        found = allowed(travel, 0.5, 100)
        seen_at = 0.5 - 0.02 * (np.arange(200) - 100)
        in_view = (seen_at >= -MARGIN + 1e-6) & (seen_at <= 1 + MARGIN - 1e-6)
        assert not found[in_view].any()
        assert found[(seen_at < -MARGIN - 1e-6) | (seen_at > 1 + MARGIN + 1e-6)].all()

    @given(st.floats(0, 1), st.floats(0, 1), st.integers(0, 79))
    def test_a_still_camera_gives_no_evidence(self, x: float, y: float, position: int):
        travel = Travel(np.zeros((80, 2), np.float32), np.zeros(80, bool))
        assert not travel.shows_other_surface(np.array([[x, y]]), np.array([position]), np.arange(80)).any()

    def test_other_scenes_are_evidence_but_not_right_behind_a_cut(self):
        travel = line(120, 0.0, cuts=(40, 80))
        found = allowed(travel, 0.5, 39)
        assert not found[:40].any(), "nothing moves within the scene"
        assert not found[40:79].any(), "a cut may be a flash"
        assert found[80:].all()

    def test_after_a_flash_on_a_moving_line_the_same_surface_is_no_evidence(self):
        travel = line(300, 0.02, cuts=(150,))
        found = allowed(travel, 0.9, 149)
        assert not found[150:195].any()
        assert found[230:].all()

    def test_a_run_of_cuts_is_motion_that_could_not_be_followed(self):
        short = tuple(range(1, 60, SHORTEST_SCENE - 1))
        assert not allowed(line(60, 0.0, cuts=short), 0.5, 30).any()

    def test_views_are_counted_by_how_far_the_surface_moved(self):
        assert len(set(line(201, 0.01).views(np.arange(201)).tolist())) in (4, 5)
        assert set(line(50, 0.0).views(np.arange(50)).tolist()) == {0}
