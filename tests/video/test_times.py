"""Timestamps always rise; the repair is reported and leaves sound ones alone."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from tests.helpers.clips import FRAMES, rewrite_pts, write_clip
from tests.helpers.reading import numbers, read
from vidconcept.video.clock import Clock
from vidconcept.video.packets import scan_packets


def test_a_timestamp_used_twice_moves_one_frame(tmp_path):
    path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, {7: 6 * 40})
    problems = []
    frames = read(path, problems)
    assert numbers(frames) == list(range(FRAMES))
    times = [frame.time_s for frame in frames]
    assert times[7] == pytest.approx(0.26)
    assert times[:7] + times[8:] == pytest.approx([n / 25 for n in range(FRAMES) if n != 7])
    assert [(p.kind, p.first_frame, p.count) for p in problems] == [("non-monotonic-pts", 7, 1)]


def test_a_single_timestamp_that_is_early_moves_no_other(tmp_path):
    stamps = {40: 100, 50: 5}
    path = rewrite_pts(write_clip(tmp_path / "a.mkv", count=60, options={"bf": "0"}).path, stamps)
    problems = []
    frames = read(path, problems)
    expected = [n / 25 - (0.02 if n in stamps else 0) for n in range(60)]
    assert [frame.time_s for frame in frames] == pytest.approx(expected)
    assert {problem.kind for problem in problems} == {"non-monotonic-pts"}


def test_a_single_wild_timestamp_is_put_back_in_order(tmp_path):
    path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, {9: 2_000_000})
    problems = []
    frames = read(path, problems)
    assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(FRAMES)])
    assert [(p.kind, p.first_frame) for p in problems] == [("time-jump", 9)]


def test_a_first_picture_without_a_timestamp_belongs_to_its_successor():
    """A recorder's clock may be hours on when the recording starts."""
    clock = Clock(Fraction(1, 90_000), Fraction(25))
    raw = [None, *(3_600 * 90_000 + 3_600 * n for n in range(1, 5)), None]
    stamped = [clock.stamp(*pair) for pair in pairwise(raw)]
    assert [pts - stamped[0][0] for pts, _ in stamped] == [3_600 * n for n in range(5)]
    assert [fault and fault.kind for _, fault in stamped] == ["missing-pts", None, None, None, None]


def test_a_hole_says_nothing_of_where_a_faulty_timestamp_belongs():
    clock = Clock(Fraction(1, 1000), Fraction(25))
    raw = [0, 40, 80, 9080, 9080, 9120, 9160, None]
    assert [clock.stamp(*pair)[0] for pair in pairwise(raw)] == [0, 40, 80, 9080, 9100, 9120, 9160]


def test_a_first_timestamp_far_ahead_moves_the_others_after_it():
    clock = Clock(Fraction(1, 1000), Fraction(25))
    stamped = [clock.stamp(*pair) for pair in pairwise([400_000, 40, 80, 120, None])]
    assert [pts for pts, _ in stamped] == [400_000, 400_040, 400_080, 400_120]
    assert [bool(fault and fault.begins_anew) for _, fault in stamped] == [False, True, False, False]


def test_leading_pictures_without_timestamps_are_counted_back():
    clock = Clock(Fraction(1, 1000), Fraction(25))
    arguments = (None, 5000, 2), (None, 5000, 1), (5000, 5040, 1)
    assert [clock.stamp(*each)[0] for each in arguments] == [4920, 4960, 5000]


def test_pictures_without_timestamps_at_the_start_belong_before_the_first_that_has_one(tmp_path):
    """Matroska stores no times below zero, so pictures before it lose theirs."""
    early = {number: 40 * number - 400 for number in range(FRAMES)}
    path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, early)
    problems = []
    frames = read(path, problems)
    assert numbers(frames) == list(range(FRAMES))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(FRAMES) / 25)
    assert [(p.kind, p.first_frame, p.count) for p in problems] == [("missing-pts", 0, 10)]


def test_frames_that_an_edit_list_hides_do_not_count(tmp_path):
    """Remuxing from a later point gives an MP4 whose edit list starts between key frames."""
    source = write_clip(tmp_path / "a.mp4", options={"bf": "0", "g": "8"}).path
    path = tmp_path / "trimmed.mp4"
    with av.open(str(source)) as whole, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                step = packet.duration
                packet.pts -= 3 * step
                packet.dts -= 3 * step
                packet.stream = stream
                out.mux(packet)
    assert scan_packets(path).hidden == 3
    problems = []
    frames = read(path, problems)
    assert numbers(frames) == list(range(3, FRAMES))
    assert frames[0].time_s == 0.0
    assert problems == []
