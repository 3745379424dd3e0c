"""The reader delivers every decodable frame, once, upright, under its own number and time."""

import gc
import os
import subprocess
import sys
import textwrap

import av
import numpy as np
import pytest
from PIL import Image

from tests.helpers.bad_clips import BAD
from tests.helpers.clips import GOOD, paint, read_barcode
from tests.helpers.reading import digest, numbers, read
from vidconcept.errors import InputError, UsageError, VidconceptError
from vidconcept.video.probe import probe
from vidconcept.video.reader import read_frames


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
            ({"start_s": 0.05, "end_s": 0.07}, r"nearest are at 0\.040 and 0\.080 s"),
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
