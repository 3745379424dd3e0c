"""Recordings that were glued together in one file follow one another: nothing is lost, nothing invented."""

import numpy as np
import pytest

from tests.helpers.clips import glue, packet_places, write_clip
from tests.helpers.reading import numbers, read
from vidconcept.video.probe import examine
from vidconcept.video.reading import Reading

X265 = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=3"}


def test_recordings_glued_together_go_on_in_time(tmp_path):
    truth = write_clip(tmp_path / "a.ts", count=40, options={"bf": "0"})
    truth.path.write_bytes(truth.path.read_bytes() * 2)
    problems = []
    frames = read(truth.path, problems)
    assert numbers(frames) == [*range(40), *range(40)]
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx(1 / 25)
    assert [(p.kind, p.first_frame, p.count) for p in problems] == [("time-jump", 40, 1)]


@pytest.mark.parametrize("back_s", [10, 95, 7200])
@pytest.mark.parametrize(("codec", "options"), [("libx264", {"bf": "2"}), ("libx265", X265)])
def test_a_clock_that_starts_again_is_no_hole_and_costs_no_picture(back_s, codec, options, tmp_path):
    """The decoder still holds pictures when the first packets of the second recording come."""
    path = glue(tmp_path, 8000, 8000 - back_s, codec=codec, options=options)
    problems = []
    frames = read(path, problems)
    assert numbers(frames) == [*range(20), *range(20)]
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(40) / 25)
    assert [(p.kind, p.first_frame, p.first_time_s) for p in problems] == [("time-jump", 20, pytest.approx(0.8))]
    assert f"back by {back_s + 0.76:.3f} s" in problems[0].message


def test_nothing_is_followed_into_another_recording(tmp_path):
    path = glue(tmp_path, 50, 20)
    assert [frame.index for frame in read(path) if frame.after_hole] == [20]
    frames = read(path, stride=7)
    assert [frame.index for frame in frames] == [0, 7, 14, 20, 27, 34]
    assert [frame.index for frame in frames if frame.after_hole] == [20]
    assert not any(frame.after_hole for frame in read(path, start_s=0.8))


def test_what_is_lost_in_a_later_recording_has_its_time_there(tmp_path):
    intra = {"preset": "ultrafast", "x265-params": "log-level=error:keyint=1"}
    path = glue(tmp_path, 50, 20, codec="libx265", options=intra)
    data = bytearray(path.read_bytes())
    first, size = packet_places(path)[28]
    data[first + size // 2 : first + size // 2 + 60] = bytes(60)
    path.write_bytes(data)
    problems = []
    frames = read(path, problems)
    lost = [problem for problem in problems if problem.kind == "undecodable"]
    assert [(p.first_frame, p.first_time_s) for p in lost] == [(28, pytest.approx(28 / 25))]
    assert frames[28].time_s == pytest.approx(29 / 25)


def test_a_recording_that_begins_between_key_frames_is_not_built_on_the_one_before(tmp_path):
    open_gops = {"x264-params": "open-gop=1:keyint=8:min-keyint=4:bframes=3:b-adapt=0:scenecut=0"}
    path = glue(tmp_path, 20, count=60, options=open_gops)
    places, second = packet_places(path), path.read_bytes()
    first = write_clip(tmp_path / "a.ts", count=60, stamps_ms=range(50_000, 52_400, 40)).path.read_bytes()
    path.write_bytes(first + second[places[20][0] :])
    problems = []
    frames = read(path, problems)
    painted = numbers(frames)
    assert painted[:60] == list(range(60))
    assert painted[60:] == list(range(painted[60], 60))
    assert painted[60] < 32
    assert np.diff([frame.time_s for frame in frames[60:]]) == pytest.approx(1 / 25)
    assert {problem.kind for problem in problems} == {"time-jump", "undecodable"}
    assert [frame.index for frame in frames if frame.after_hole] == [60]


def test_a_recording_with_sound_between_two_without(tmp_path):
    """The library finds streams at the start and at the end of a file."""
    rate = {"b": "8M", "minrate": "8M", "maxrate": "8M", "bufsize": "1M", "nal-hrd": "cbr", "preset": "ultrafast"}
    silent = write_clip(tmp_path / "a.ts", count=200, options={"bf": "0", **rate}).path.read_bytes()
    heard = write_clip(tmp_path / "b.ts", count=50, options={"bf": "0"}, audio="aac").path.read_bytes()
    path = tmp_path / "glued.ts"
    path.write_bytes(silent + heard + silent)
    assert [frame.index for frame in read(path) if frame.after_hole] == [200, 250]
    assert examine(path).frames == 450


def test_a_slow_recording_whose_clock_goes_back_by_a_few_pictures(tmp_path):
    path = write_clip(tmp_path / "a.ts", count=9, stamps_ms=range(50_000, 59_000, 1000), options={"bf": "2"}).path
    path.write_bytes(path.read_bytes() * 2)
    report = examine(path)
    frames = read(path, reading=report.settle_reading(Reading()))
    assert [frame.time_s for frame in frames] == pytest.approx(range(18))
    assert [frame.index for frame in frames if frame.after_hole] == [9]
    assert report.last_s - report.first_s == pytest.approx(17)
    assert report.rate_fps == pytest.approx(1)


def test_recordings_of_one_picture_each(tmp_path):
    frames = read(glue(tmp_path, 50, 20, 10, 5, count=1))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])


def test_recordings_that_overlap_a_little_lose_no_picture(tmp_path):
    problems = []
    frames = read(glue(tmp_path, 50, 50), problems)
    assert numbers(frames) == [*range(20), *range(20)]
    assert {problem.kind for problem in problems} == {"non-monotonic-pts"}


def test_a_clock_that_counts_round_goes_on(tmp_path):
    """The clock of a transport stream has 33 bits: it starts again after 26.5 hours."""
    stamps = range(95_443_300, 95_444_900, 40)
    path = write_clip(tmp_path / "a.ts", count=40, stamps_ms=stamps, options={"bf": "2"}).path
    problems = []
    frames = read(path, problems)
    assert numbers(frames) == list(range(40))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(40) / 25)
    assert (problems, [frame for frame in frames if frame.after_hole]) == ([], [])
    report = examine(path)
    assert report.timestamps_trusted
    assert report.last_s - report.first_s == pytest.approx(39 / 25)
    assert report.info.duration_s == pytest.approx(40 / 25, abs=0.05)
