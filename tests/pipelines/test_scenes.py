"""Footage in which nothing lasts long enough to be an event says so."""

import numpy as np
import pytest

from vidconcept.pipelines.scenes import SceneCount, measure_move


def count(begins: set[int], *, frames: int = 50, unread: range = range(0), moved: float = 0.0) -> SceneCount:
    scenes = SceneCount()
    for n in range(frames):
        scenes.add(n / 25, begins=n in begins, read=n not in unread, moved=moved)
    return scenes


def test_usual_footage_says_nothing():
    assert count({0}).describe(0.12, 4) is None
    assert count({0, 25}).describe(0.12, 4) is None
    assert count({0}, moved=0.15).describe(0.12, 4) is None
    assert count({0}, moved=0.3).describe(0.12, 1) is None


def test_frames_of_short_scenes_are_counted():
    remark = count({0, 25, 26}).describe(0.12, 4)
    assert remark is not None
    assert remark.level == "remark"
    assert "1 of 50 frames lie in scenes shorter than 0.12 s" in remark.message
    assert "not read" not in remark.message
    many = count(set(range(20))).describe(0.12, 4)
    assert many is not None
    assert (many.level, many.message.split(" ")[0]) == ("warning", "19")


def test_frames_of_scenes_that_the_model_did_not_read_are_counted():
    remark = count({0, 25, 28}, unread=range(25, 28)).describe(0.12, 4)
    assert remark is not None
    assert "3 of 50 frames lie in scenes that were not read, and score 0" in remark.message
    assert "`stride=1`" in remark.message


@pytest.mark.parametrize(
    ("moved", "says"),
    [
        (0.55, "50 of 50 frames moved on so far that a place is in view for less than 0.12 s"),
        # In view for 2.5 frames of 0.04 s.
        (0.4, "50 of 50 frames moved on so far that a place is in view for less than 0.12 s"),
        (0.55, "`min_duration_s=0.04`"),
        (0.2, "50 of 50 frames moved on so far that masks may lie a frame or two beside"),
    ],
)
def test_a_line_that_moves_too_far_between_two_frames_says_so(moved, says):
    remark = count({0}, moved=moved).describe(0.12, 4)
    assert remark is not None
    assert remark.level == "warning"
    assert says in remark.message


def test_a_single_leap_is_no_fast_line():
    scenes = count({0})
    scenes.add(2.0, begins=False, read=True, moved=0.6)
    assert scenes.describe(0.12, 4) is None


@pytest.mark.parametrize(("flow", "share"), [(None, 0.0), ((20.0, -5.0), 0.2), ((0.0, -30.0), 0.6)])
def test_the_motion_of_most_of_the_picture(flow, share):
    field = None if flow is None else np.broadcast_to(np.array(flow), (6, 12, 2))
    assert measure_move(field, 100, 50) == pytest.approx(share)


def test_with_a_stride_one_map_stands_for_more_frames_and_a_smaller_one_is_advised():
    # A twentieth of the picture a frame: 3 frames of it are not far, 39 are.
    assert count({0}, moved=0.05).describe(0.12, 4) is None
    remark = count({0}, moved=0.05).describe(0.12, 40, stride=13)
    assert remark is not None
    assert "one map for 40 frames" in remark.message
    assert "a smaller `stride`" in remark.message
