"""`examine` says in plain sentences what a file is, and tells sound timestamps from others."""

import json
from dataclasses import asdict

import av
import numpy as np
import pytest

from tests.helpers.bad_clips import BAD
from tests.helpers.clips import FRAMES, GOOD, glue, rewrite_pts, write_clip
from tests.helpers.reading import read
from vidconcept.errors import VidconceptError
from vidconcept.video.probe import examine
from vidconcept.video.reading import Reading


def sentences(examination, about=None):
    return " | ".join(f.message for f in examination.findings if about in (None, f.about))


@pytest.mark.parametrize("name", GOOD)
def test_counts_times_and_trust(name, tmp_path):
    truth = GOOD[name](tmp_path)
    report = examine(truth.path, truth.fps)
    if not truth.damaged:
        assert report.frames == truth.frame_count
        assert report.last_s - report.first_s == pytest.approx(truth.times_s[-1], abs=2 * truth.tolerance_s)
    # AVI stores no times of B-frames.
    assert report.timestamps_trusted == (name != "h264_avi")
    assert "variable frame rate" in sentences(report) or not name.startswith("vfr")
    json.dumps(asdict(report), default=str)
    assert all(name and value for name, value in report.list_rows())


@pytest.mark.parametrize(
    ("name", "about", "words"),
    [
        ("h264_open_gop", "order", "open GOP"),
        ("h264", "order", "B-frames: pictures"),
        ("vfr_mkv", "rate", "variable frame rate: usually"),
        ("vfr_mkv", "rate", "declared 25.000"),
        ("vfr_mp4", "holes", "1 hole in the recording, the longest 0.500 s"),
        ("mpeg_ts", "start", "the first picture is at"),
        ("rotated_90", "rotation", "90 degrees clockwise"),
        ("hevc_10bit", "depth", "10 bits"),
        ("mjpeg_avi", "colour", "full colour range"),
        ("ffv1", "colour", "read as BT.601"),
        ("with_audio", "sound", "aac, 48000 Hz"),
        ("cut_off", "damage", f"the index promises {FRAMES} pictures"),
        ("image_folder", "time", "24 images"),
    ],
)
def test_findings(name, about, words, tmp_path):
    truth = GOOD[name](tmp_path)
    assert words in sentences(examine(truth.path, truth.fps), about)


def test_a_plain_file_has_nothing_to_warn_of(tmp_path):
    report = examine(write_clip(tmp_path / "a.mp4", options={"bf": "0"}).path)
    assert {finding.level for finding in report.findings} == {"note"}
    assert [finding.about for finding in report.findings] == ["colour"]


def test_the_length_ends_when_the_last_picture_has_been_shown(tmp_path):
    report = examine(write_clip(tmp_path / "a.mp4", count=9).path)
    assert report.length_s == pytest.approx(9 / 25)
    assert dict(report.list_rows())["frames"].startswith("9, 0.360 s")


def test_damage_inside_packets_is_found_by_decoding(tmp_path):
    truth = GOOD["flipped_bytes"](tmp_path)
    assert "damage" not in {f.about for f in examine(truth.path).findings}
    report = examine(truth.path, decode=True)
    assert report.frames == truth.frame_count - 1
    assert "no picture could be decoded" in sentences(report, "damage")


def test_repeated_timestamps_are_not_trusted(tmp_path):
    path = rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": "0"}).path, {7: 240, 11: 400})
    report = examine(path)
    assert not report.timestamps_trusted
    assert "2 timestamps of 24 used twice" in sentences(report, "timestamps")
    assert report.list_rows()[0][1].startswith("not all sound")


def test_recordings_glued_together_are_not_trusted(tmp_path):
    path = write_clip(tmp_path / "a.ts", count=40, options={"bf": "0"}).path
    path.write_bytes(path.read_bytes() * 2)
    report = examine(path)
    assert not report.timestamps_trusted
    assert "time runs backward in 1 place" in sentences(report, "timestamps")


@pytest.mark.parametrize("second_s", [20, 49, 50.02])
def test_glued_recordings_are_measured_as_the_tables_give_them(second_s, tmp_path):
    """The clock of the second begins long before that of the first, right before it, and amid it."""
    path = glue(tmp_path, 50, second_s, count=60)
    report = examine(path)
    assert (report.first_s, report.last_s) == pytest.approx((50, 50 + 119 / 25))
    assert (report.measured_fps, report.rate_fps) == pytest.approx((25, 25))
    assert report.info.duration_s >= 119 / 25
    assert sentences(report, "start") == "the first picture is at 50.000 s; times are given relative to it"
    assert "time runs backward in 1 place" in sentences(report, "timestamps")
    assert "nothing is followed across" in sentences(report, "timestamps")
    assert not {"holes", "rate"} & {finding.about for finding in report.findings}
    frames = read(path, reading=report.settle_reading(Reading()))
    assert [frame.time_s for frame in frames] == pytest.approx(np.arange(120) / 25)
    assert [frame.index for frame in frames if frame.after_hole] == [60]


@pytest.mark.parametrize("b_frames", ["0", "2"])
def test_a_wild_timestamp_is_no_hole(b_frames, tmp_path):
    report = examine(rewrite_pts(write_clip(tmp_path / "a.mkv", options={"bf": b_frames}).path, {9: 2_000_000}))
    assert "holes" not in {finding.about for finding in report.findings}
    assert report.last_s == pytest.approx((FRAMES - 1) / 25)


def test_hdr_is_a_warning(tmp_path):
    path = tmp_path / "hdr.mp4"
    bt2020, pq = 9, 16  # ITU-T H.273
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = bt2020, pq, bt2020
        frame = av.VideoFrame.from_ndarray(np.full((128, 192, 3), 90, np.uint8)).reformat(format="yuv420p10le")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    findings = {finding.about: finding for finding in examine(path).findings}
    assert findings["colour"].level == "warning"
    assert "HDR (PQ)" in findings["colour"].message


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_as_elsewhere(name, tmp_path):
    bad = BAD[name](tmp_path)
    with pytest.raises(VidconceptError) as caught:
        examine(bad.path, bad.fps)
    assert caught.value.exit_code == bad.exit_code
