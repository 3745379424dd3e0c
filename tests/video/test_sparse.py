"""Frames picked out of a file are the frames that reading it through gives, or it is read through."""

import sys

import numpy as np
import pytest

from tests.helpers.clips import GOOD, read_barcode, write_clip
from vidconcept.video import sparse
from vidconcept.video.reader import read_frames
from vidconcept.video.sparse import grab_frames


def whole(truth):
    return list(read_frames(truth.path, fps=truth.fps, on_problem=lambda problem: None))


@pytest.fixture
def ways(monkeypatch):
    """Names of the ways that were taken, in order; and jumping counts as worth it in short clips too."""
    monkeypatch.setattr(sparse, "DENSE_STEP", 1)
    taken = []

    def note(name):
        original = getattr(sparse, name)

        def noted(*arguments):
            taken.append(name)
            return original(*arguments)

        monkeypatch.setattr(sparse, name, noted)

    for name in ("_grab_by_decord", "_grab_by_seeking", "_grab_by_reading"):
        note(name)
    return taken


@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_frames_that_reading_gives(name, tmp_path, ways):
    truth = GOOD[name](tmp_path)
    frames = whole(truth)
    wanted = sorted({0, len(frames) // 3, len(frames) - 1})
    pts = {frame.index: frame.pts for frame in frames}
    problems = []
    got = dict(grab_frames(truth.path, wanted, pts=pts, fps=truth.fps, on_problem=problems.append))
    assert sorted(got) == wanted
    for index in wanted:
        assert np.abs(got[index].astype(int) - frames[index].image).mean() < 1
    assert problems == []
    if name in ("h264_open_gop", "mpeg_ts", "cut_off", "flipped_bytes", "image_folder"):
        assert set(ways) == {"_grab_by_reading"}
    if name in ("h264", "vfr_mkv", "vp9", "rotated_90"):
        assert "_grab_by_decord" in ways
        assert "_grab_by_reading" not in ways


def test_without_known_timestamps_the_file_is_read_through(tmp_path, ways):
    truth = GOOD["h264"](tmp_path)
    got = dict(grab_frames(truth.path, [20, 3, 3], on_problem=lambda problem: None))
    assert {index: read_barcode(image) for index, image in got.items()} == {3: 3, 20: 20}
    assert ways == ["_grab_by_reading"]


def test_a_decord_that_gives_the_neighbour_is_not_used(tmp_path, ways, monkeypatch):
    """The child is replaced by one that is off by a frame, as decord is on some files."""
    truth = GOOD["h264"](tmp_path)
    frames = whole(truth)
    script = tmp_path / "off_by_one.py"
    script.write_text(
        "import sys; from vidconcept.video import decord_child as c\n"
        "c.main(sys.argv[1], *(str(min(int(i) + 1, 23)) for i in sys.argv[2:]))\n"
    )
    # A slow scene, in which the neighbour too is within the tolerance for colour.
    monkeypatch.setattr(sparse, "SAME_PICTURE_LEVELS", 255)
    problems = grab_through(script, truth, frames, monkeypatch)
    assert [p.kind for p in problems] == ["slow-access"]
    assert "another picture for frame" in problems[0].message
    assert ways[:2] == ["_grab_by_decord", "_grab_by_seeking"]


@pytest.mark.parametrize("script", ["import time; time.sleep(60)", "raise SystemExit(1)", "print('nonsense')"])
def test_a_decord_that_hangs_or_dies_is_replaced(script, tmp_path, ways, monkeypatch):
    truth = GOOD["h264"](tmp_path)
    path = tmp_path / "child.py"
    path.write_text(script)
    problems = grab_through(path, truth, whole(truth), monkeypatch, deadline_s=0.5)
    assert [p.kind for p in problems] == ["slow-access"]


def grab_through(script, truth, frames, monkeypatch, **options):
    monkeypatch.setattr(sparse, "CHILD", (sys.executable, str(script)))
    problems = []
    pts = {frame.index: frame.pts for frame in frames}
    got = dict(grab_frames(truth.path, [2, 9, 16], pts=pts, on_problem=problems.append, **options))
    assert {index: read_barcode(image) for index, image in got.items()} == {2: 2, 9: 9, 16: 16}
    return problems


def test_an_index_beyond_the_end_is_an_error(tmp_path):
    truth = write_clip(tmp_path / "a.mp4", count=4)
    with pytest.raises(IndexError, match="index 9"):
        list(grab_frames(truth.path, [1, 9], on_problem=lambda problem: None))
