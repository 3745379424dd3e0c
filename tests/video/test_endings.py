"""Recordings that broke off are said to have, in every container that states how long it should be."""

import re

import pytest

from tests.helpers.clips import FRAMES, write_clip
from tests.helpers.reading import read
from vidconcept.video.probe import examine

KINDS = {
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "ffv1.avi": {"codec": "ffv1"},
    "h264.avi": {"options": {"bf": "0"}},
    "film.flv": {"options": {"bf": "0"}},
    "old.flv": {"codec": "flv1"},
    "film.mpg": {"codec": "mpeg2video", "options": {"bf": "0"}},
    "film.mkv": {"options": {"bf": "0"}},
    "film.ts": {"options": {"bf": "0"}},
    "film.mp4": {"options": {"bf": "0"}, "container_options": {"movflags": "faststart"}},
}


def cut_offs(problems):
    return [problem.message for problem in problems if problem.kind == "cut-off"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.61, 0.9])
def test_a_cut_is_said(name, share, tmp_path):
    path = write_clip(tmp_path / name, count=2 * FRAMES, **KINDS[name]).path
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    problems = []
    read(path, problems)
    assert cut_offs(problems)


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_is_not_called_cut_off(name, tmp_path):
    path = write_clip(tmp_path / name, count=2 * FRAMES, **KINDS[name]).path
    problems = []
    frames = read(path, problems)
    assert (len(frames), cut_offs(problems)) == (2 * FRAMES, [])
    assert not [finding for finding in examine(path).findings if finding.about == "damage"]


@pytest.mark.parametrize("name", ["mjpeg.avi", "ffv1.avi", "film.flv", "film.mpg"])
def test_probe_says_it_without_decoding(name, tmp_path):
    path = write_clip(tmp_path / name, count=2 * FRAMES, **KINDS[name]).path
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 61 // 100])
    messages = [finding.message for finding in examine(path).remarks if finding.about == "damage"]
    assert any("cut off" in message for message in messages)


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_a_program_stream_that_ends_between_two_packs(tmp_path, codec):
    options = {"bf": "0", "qmin": "1", "qmax": "1"}
    path = write_clip(tmp_path / "film.mpg", count=2 * FRAMES, codec=codec, options=options).path
    (said,) = [finding.message for finding in examine(path).findings if finding.about == "end"]
    assert "whether it was cut off cannot be known" in said
    data = path.read_bytes()
    packs = [match.start() for match in re.finditer(rb"\x00\x00\x01\xba", data)]
    found = 0
    for pack in packs[4:]:
        path.write_bytes(data[:pack])
        problems = []
        read(path, problems)
        found += cut_offs(problems) == ["its last picture is not whole: it was cut off"]
        remarks = examine(path, decode=True).remarks
        assert [remark.message for remark in remarks if "cut off" in remark.message] == cut_offs(problems)
    # By chance a picture ends where a pack does.
    assert found >= 5
    path.write_bytes(data + b"\x00\x00\x01\xb9")
    assert not [finding for finding in examine(path).findings if finding.about in ("end", "damage")]


def test_a_recording_that_was_never_ended(tmp_path):
    path = write_clip(tmp_path / "mjpeg.avi", **KINDS["mjpeg.avi"]).path
    data = bytearray(path.read_bytes())
    data[4:8] = bytes(4)
    path.write_bytes(data)
    problems = []
    assert len(read(path, problems)) == FRAMES
    assert "not ended properly" in cut_offs(problems)[0]
