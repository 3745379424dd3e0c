"""The reader delivers every decodable frame, once, upright, under its own number and time."""

import gc
import os
import subprocess
import sys
import textwrap
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.bad_clips import BAD
from tests.helpers.clips import FRAMES, GOOD, glue, packet_places, paint, read_barcode, rewrite_pts, write_clip
from tests.helpers.reading import digest, numbers, read
from vidconcept.errors import InputError, UsageError, VidconceptError
from vidconcept.video.clock import Clock
from vidconcept.video.packets import scan_packets
from vidconcept.video.probe import examine, probe
from vidconcept.video.reader import read_frames
from vidconcept.video.reading import Reading

X265 = {"preset": "ultrafast", "x265-params": "log-level=error:bframes=3"}


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_each_frame_its_number_time_and_size(name, tmp_path):
    truth = GOOD[name](tmp_path)
    problems = []
    frames = read(truth.path, problems, fps=truth.fps)
    painted = numbers(frames)
    assert [f.index for f in frames] == list(range(len(frames)))
    for frame, number in zip(frames, painted, strict=True):
        assert frame.image.shape == (truth.size_px[1], truth.size_px[0], 3)
        if number is not None:
            assert frame.time_s == pytest.approx(truth.times_s[number], abs=truth.tolerance_s)
    if truth.damaged:
        assert set(truth.intact) <= set(painted)
        assert len(frames) < truth.frame_count
        assert problems
    else:
        assert painted == list(range(truth.frame_count))
        assert problems == []


@pytest.mark.parametrize("name", GOOD)
def test_probe_agrees_with_what_was_written(name, tmp_path):
    truth = GOOD[name](tmp_path)
    info = probe(truth.path, truth.fps)
    assert (info.width_px, info.height_px) == truth.size_px
    assert info.rotation_deg == truth.rotation_deg
    assert info.has_audio == truth.has_audio
    frames = read(truth.path, fps=truth.fps)
    for frame in frames:
        assert frame.time_s == pytest.approx(float((frame.pts - frames[0].pts) * info.time_base), abs=1e-9)


@pytest.mark.parametrize("name", GOOD)
def test_two_passes_give_the_same_frames(name, tmp_path):
    truth = GOOD[name](tmp_path)
    assert digest(read(truth.path, fps=truth.fps)) == digest(read(truth.path, fps=truth.fps))


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_one_or_two_clear_lines(name, tmp_path):
    bad = BAD[name](tmp_path)
    for refuse in (lambda: probe(bad.path, bad.fps), lambda: read(bad.path, fps=bad.fps)):
        with pytest.raises(VidconceptError) as caught:
            refuse()
        message = str(caught.value)
        assert caught.value.exit_code == bad.exit_code
        assert bad.words in message.lower()
        assert str(bad.path) in message
        assert message.count("\n") <= 1


class TestRange:
    """`start_s <= time < end_s`, then every `stride`-th; the index stays that of the whole file."""

    @pytest.mark.parametrize("name", ["h264_open_gop", "mpeg_ts", "vfr_mkv", "ntsc", "image_folder"])
    def test_a_range_is_cut_out_of_the_whole(self, name, tmp_path):
        truth = GOOD[name](tmp_path)
        whole = read(truth.path, fps=truth.fps)
        start_s, end_s = whole[5].time_s, whole[19].time_s
        part = read(truth.path, fps=truth.fps, start_s=start_s, end_s=end_s, stride=3)
        assert digest(part) == digest(whole[5:19:3])
        assert numbers(part) == [5, 8, 11, 14, 17]

    def test_decimal_options_hit_the_frame_they_name(self, tmp_path):
        truth = GOOD["ntsc"](tmp_path)
        part = read(truth.path, start_s=round(truth.times_s[4], 6), end_s=round(truth.times_s[6], 6))
        assert numbers(part) == [4, 5]

    @pytest.mark.parametrize("name", ["flipped_bytes", "cut_off"])
    def test_a_range_in_a_damaged_file_keeps_the_indices(self, name, tmp_path):
        truth = GOOD[name](tmp_path)
        whole = read(truth.path)
        part = read(truth.path, start_s=whole[-3].time_s)
        assert digest(part) == digest(whole[-3:])

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"start_s": 60.0}, "`start_s=60` s"),
            ({"start_s": 0.5, "end_s": 0.5}, "`end_s=0.5`"),
            ({"end_s": 0.0}, "`end_s=0`"),
            ({"stride": 0}, "`stride=0`"),
        ],
    )
    def test_an_empty_range_is_a_usage_error(self, options, words, tmp_path):
        truth = GOOD["five_frames"](tmp_path)
        with pytest.raises(UsageError, match=words):
            read(truth.path, **options)

    def test_a_reader_left_early_lets_go_of_the_file(self, tmp_path):
        truth = GOOD["h264"](tmp_path)
        frames = read_frames(truth.path, on_problem=lambda problem: None)
        assert next(frames).index == 0
        frames.close()
        truth.path.unlink()


def test_pictures_are_let_go_without_waiting_for_the_garbage_collector(tmp_path):
    truth = GOOD["rotated_90"](tmp_path)
    gc.collect()
    gc.disable()
    try:
        for frame in read_frames(truth.path, on_problem=lambda problem: None):
            if frame.index == truth.frame_count - 1:
                alive = sum(isinstance(thing, av.VideoFrame) for thing in gc.get_objects())
    finally:
        gc.enable()
    # Of 24 pictures: the last, a few in the generators, and the first, whose side data ties it into a cycle.
    assert alive <= 6


class TestTime:
    """Timestamps always rise; the repair is reported and leaves sound ones alone."""

    def test_a_timestamp_used_twice_moves_one_frame(self, tmp_path):
        path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, {7: 6 * 40})
        problems = []
        frames = read(path, problems)
        assert numbers(frames) == list(range(FRAMES))
        times = [frame.time_s for frame in frames]
        assert times[7] == pytest.approx(0.26)
        assert times[:7] + times[8:] == pytest.approx([n / 25 for n in range(FRAMES) if n != 7])
        assert [(p.kind, p.first_frame, p.count) for p in problems] == [("non-monotonic-pts", 7, 1)]

    def test_recordings_glued_together_go_on_in_time(self, tmp_path):
        truth = write_clip(tmp_path / "a.ts", count=40, options={"bf": "0"})
        truth.path.write_bytes(truth.path.read_bytes() * 2)
        problems = []
        frames = read(truth.path, problems)
        assert numbers(frames) == [*range(40), *range(40)]
        assert np.diff([frame.time_s for frame in frames]) == pytest.approx(1 / 25)
        assert [(p.kind, p.first_frame, p.count) for p in problems] == [("time-jump", 40, 1)]

    @pytest.mark.parametrize("back_s", [10, 95, 7200])
    @pytest.mark.parametrize(("codec", "options"), [("libx264", {"bf": "2"}), ("libx265", X265)])
    def test_a_clock_that_starts_again_is_no_hole_and_costs_no_picture(self, back_s, codec, options, tmp_path):
        """The decoder still holds pictures when the first packets of the second recording come."""
        path = glue(tmp_path, 8000, 8000 - back_s, codec=codec, options=options)
        problems = []
        frames = read(path, problems)
        assert numbers(frames) == [*range(20), *range(20)]
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(40) / 25)
        assert [(p.kind, p.first_frame, p.first_time_s) for p in problems] == [("time-jump", 20, pytest.approx(0.8))]
        assert f"back by {back_s + 0.76:.3f} s" in problems[0].message

    def test_nothing_is_followed_into_another_recording(self, tmp_path):
        path = glue(tmp_path, 50, 20)
        assert [frame.index for frame in read(path) if frame.after_hole] == [20]
        frames = read(path, stride=7)
        assert [frame.index for frame in frames] == [0, 7, 14, 20, 27, 34]
        assert [frame.index for frame in frames if frame.after_hole] == [20]
        assert not any(frame.after_hole for frame in read(path, start_s=0.8))

    def test_what_is_lost_in_a_later_recording_has_its_time_there(self, tmp_path):
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

    def test_a_recording_that_begins_between_key_frames_is_not_built_on_the_one_before(self, tmp_path):
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

    def test_a_recording_with_sound_between_two_without(self, tmp_path):
        """The library finds streams at the start and at the end of a file."""
        rate = {"b": "8M", "minrate": "8M", "maxrate": "8M", "bufsize": "1M", "nal-hrd": "cbr", "preset": "ultrafast"}
        silent = write_clip(tmp_path / "a.ts", count=200, options={"bf": "0", **rate}).path.read_bytes()
        heard = write_clip(tmp_path / "b.ts", count=50, options={"bf": "0"}, audio="aac").path.read_bytes()
        path = tmp_path / "glued.ts"
        path.write_bytes(silent + heard + silent)
        assert [frame.index for frame in read(path) if frame.after_hole] == [200, 250]
        assert examine(path).frames == 450

    def test_a_slow_recording_whose_clock_goes_back_by_a_few_pictures(self, tmp_path):
        path = write_clip(tmp_path / "a.ts", count=9, stamps_ms=range(50_000, 59_000, 1000), options={"bf": "2"}).path
        path.write_bytes(path.read_bytes() * 2)
        report = examine(path)
        frames = read(path, reading=report.settle_reading(Reading()))
        assert [frame.time_s for frame in frames] == pytest.approx(range(18))
        assert [frame.index for frame in frames if frame.after_hole] == [9]
        assert report.last_s - report.first_s == pytest.approx(17)
        assert report.rate_fps == pytest.approx(1)

    def test_recordings_of_one_picture_each(self, tmp_path):
        frames = read(glue(tmp_path, 50, 20, 10, 5, count=1))
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12])

    def test_recordings_that_overlap_a_little_lose_no_picture(self, tmp_path):
        problems = []
        frames = read(glue(tmp_path, 50, 50), problems)
        assert numbers(frames) == [*range(20), *range(20)]
        assert {problem.kind for problem in problems} == {"non-monotonic-pts"}

    def test_a_clock_that_counts_round_goes_on(self, tmp_path):
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

    def test_a_single_timestamp_that_is_early_moves_no_other(self, tmp_path):
        stamps = {40: 100, 50: 5}
        path = rewrite_pts(write_clip(tmp_path / "a.mkv", count=60, options={"bf": "0"}).path, stamps)
        problems = []
        frames = read(path, problems)
        expected = [n / 25 - (0.02 if n in stamps else 0) for n in range(60)]
        assert [frame.time_s for frame in frames] == pytest.approx(expected)
        assert {problem.kind for problem in problems} == {"non-monotonic-pts"}

    def test_a_single_wild_timestamp_is_put_back_in_order(self, tmp_path):
        path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, {9: 2_000_000})
        problems = []
        frames = read(path, problems)
        assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(FRAMES)])
        assert [(p.kind, p.first_frame) for p in problems] == [("time-jump", 9)]

    def test_a_first_picture_without_a_timestamp_belongs_to_its_successor(self):
        """A recorder's clock may be hours on when the recording starts."""
        clock = Clock(Fraction(1, 90_000), Fraction(25))
        raw = [None, *(3_600 * 90_000 + 3_600 * n for n in range(1, 5)), None]
        stamped = [clock.stamp(*pair) for pair in pairwise(raw)]
        assert [pts - stamped[0][0] for pts, _ in stamped] == [3_600 * n for n in range(5)]
        assert [fault and fault.kind for _, fault in stamped] == ["missing-pts", None, None, None, None]

    def test_a_hole_says_nothing_of_where_a_faulty_timestamp_belongs(self):
        clock = Clock(Fraction(1, 1000), Fraction(25))
        raw = [0, 40, 80, 9080, 9080, 9120, 9160, None]
        assert [clock.stamp(*pair)[0] for pair in pairwise(raw)] == [0, 40, 80, 9080, 9100, 9120, 9160]

    def test_a_first_timestamp_far_ahead_moves_the_others_after_it(self):
        clock = Clock(Fraction(1, 1000), Fraction(25))
        stamped = [clock.stamp(*pair) for pair in pairwise([400_000, 40, 80, 120, None])]
        assert [pts for pts, _ in stamped] == [400_000, 400_040, 400_080, 400_120]
        assert [bool(fault and fault.begins_anew) for _, fault in stamped] == [False, True, False, False]

    def test_leading_pictures_without_timestamps_are_counted_back(self):
        clock = Clock(Fraction(1, 1000), Fraction(25))
        arguments = (None, 5000, 2), (None, 5000, 1), (5000, 5040, 1)
        assert [clock.stamp(*each)[0] for each in arguments] == [4920, 4960, 5000]

    def test_pictures_without_timestamps_at_the_start_belong_before_the_first_that_has_one(self, tmp_path):
        """Matroska stores no times below zero, so pictures before it lose theirs."""
        early = {number: 40 * number - 400 for number in range(FRAMES)}
        path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, early)
        problems = []
        frames = read(path, problems)
        assert numbers(frames) == list(range(FRAMES))
        assert [frame.time_s for frame in frames] == pytest.approx(np.arange(FRAMES) / 25)
        assert [(p.kind, p.first_frame, p.count) for p in problems] == [("missing-pts", 0, 10)]

    def test_frames_that_an_edit_list_hides_do_not_count(self, tmp_path):
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


def test_a_bar_code_survives_resizing_and_a_blank_picture_has_none():
    import cv2

    for number in (0, 1, 511, 1023):
        assert read_barcode(cv2.resize(paint(number), (333, 97))) == number
    with pytest.raises(ValueError, match="no bar code"):
        read_barcode(np.full((128, 192, 3), 90, np.uint8))


def test_a_pattern_in_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"folder .* does not exist"):
        read(tmp_path / "no_such_folder" / "img_%04d.png", fps=25)


def test_two_images_of_one_number_are_refused_by_name(tmp_path):
    for name in ("f1.png", "f2.png", "f01.png"):
        Image.new("L", (32, 24)).save(tmp_path / name)
    with pytest.raises(InputError, match=r"f0?1.png and f0?1.png have the same number. Next: "):
        read(tmp_path / "f%d.png", fps=25)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs user ids")
def test_what_may_not_be_read_is_refused_by_name(tmp_path):
    """In a child without root's rights, for root may read everything."""
    film, folder = GOOD["two_frames"](tmp_path).path, GOOD["image_folder"](tmp_path).path
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    film.chmod(0)
    folder.chmod(0)
    script = """
        import os, sys
        from vidconcept.errors import InputError
        from vidconcept.video.probe import probe
        if os.geteuid() == 0:
            os.setgid(65534), os.setuid(65534)
        for path in sys.argv[1:]:
            try:
                probe(path, fps=25)
            except InputError as error:
                print(error)
    """
    command = [sys.executable, "-B", "-c", textwrap.dedent(script), str(film), str(folder)]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    finally:
        folder.chmod(0o755)
    assert f"no permission to read {film}" in lines[0]
    assert f"no permission to read the folder {folder}" in lines[1]
