"""The reader in damaged files, and the colours that it gives."""

from itertools import pairwise

import av
import numpy as np
import pytest

from tests.helpers.clips import FRAMES, GOOD, GOP, SIZE_PX, write_clip
from tests.helpers.reading import digest, numbers, read


class TestDamage:
    """What cannot be decoded is skipped and reported, and reading goes on to the end."""

    def test_the_report_says_what_is_gone_and_where(self, tmp_path):
        truth = GOOD["flipped_bytes"](tmp_path)
        problems = []
        frames = read(truth.path, problems)
        kinds = {problem.kind: problem for problem in problems}
        assert kinds["undecodable"].first_time_s == pytest.approx(truth.times_s[2 * GOP + 3])
        assert kinds["corrupt-frame"].first_frame == GOP // 2
        assert len(frames) == truth.frame_count - 1

    def test_a_cut_off_file_says_how_much_is_missing(self, tmp_path):
        truth = GOOD["cut_off"](tmp_path)
        problems = []
        read(truth.path, problems)
        assert any(p.kind == "cut-off" and str(truth.frame_count) in p.message for p in problems)

    @pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("libx264", ".ts"), ("mjpeg", ".avi")])
    def test_random_bit_flips_never_stop_or_unsettle_the_reader(self, codec, suffix, tmp_path):
        pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        truth = write_clip(tmp_path / f"a{suffix}", codec=codec, pix_fmt=pix_fmt)
        sound = truth.path.read_bytes()
        for seed in range(8):
            rng = np.random.default_rng(seed)
            data = bytearray(sound)
            for at in rng.integers(len(data) // 4, len(data) * 3 // 4, 12):
                data[at] ^= 1 << int(rng.integers(8))
            truth.path.write_bytes(data)
            frames = read(truth.path)
            assert len(frames) > FRAMES // 2
            assert all(b.pts > a.pts for a, b in pairwise(frames))
            assert digest(frames) == digest(read(truth.path))

    def test_no_hevc_picture_is_built_on_a_damaged_one(self, tmp_path):
        params = {"preset": "ultrafast", "x265-params": "log-level=error:keyint=8:min-keyint=8:bframes=0:scenecut=0"}
        truth = write_clip(tmp_path / "a.mp4", codec="libx265", options=params)
        with av.open(str(truth.path)) as container:
            place = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size][10]
        data = bytearray(truth.path.read_bytes())
        data[place[0] : place[0] + 4] = b"\xff\xff\xff\xff"
        truth.path.write_bytes(data)
        problems = []
        assert numbers(read(truth.path, problems)) == [*range(10), *range(16, FRAMES)]
        assert [(p.kind, p.first_frame, p.count) for p in problems] == [("undecodable", 10, 6)]

    def test_an_image_that_cannot_be_read_leaves_a_gap_in_time(self, tmp_path):
        truth = GOOD["image_folder"](tmp_path)
        (truth.path / "part6.png").write_bytes(b"no image")
        problems = []
        frames = read(truth.path, problems, fps=20)
        assert numbers(frames) == [n for n in range(FRAMES) if n != 6]
        assert [f.index for f in frames] == list(range(FRAMES - 1))
        assert frames[6].time_s == pytest.approx(7 / 20)
        assert [(p.kind, p.first_frame) for p in problems] == [("unreadable-image", 6)]

    def test_a_change_of_size_is_resized_to_the_first_and_reported(self, tmp_path):
        small = write_clip(tmp_path / "a.ts", count=10, options={"bf": "0"})
        large = write_clip(tmp_path / "b.ts", count=10, options={"bf": "0"}, size_px=(320, 240))
        path = tmp_path / "both.ts"
        path.write_bytes(small.path.read_bytes() + large.path.read_bytes())
        problems = []
        frames = read(path, problems)
        assert {frame.image.shape for frame in frames} == {(SIZE_PX[1], SIZE_PX[0], 3)}
        assert numbers(frames) == [*range(10), *range(10)]
        assert "size-change" in {problem.kind for problem in problems}

    def test_names_with_percent_and_colon_are_ordinary(self, tmp_path):
        for name in ("50% done.mp4", "line:3.mp4"):
            assert len(read(write_clip(tmp_path / name, count=3).path)) == 3


class TestColour:
    """Four flat patches come back as they were painted, whatever the matrix, range and depth of the stream."""

    PATCHES = np.array([[220, 30, 40], [30, 200, 60], [40, 60, 210], [200, 130, 60]], np.uint8)

    @pytest.mark.parametrize(
        ("pix_fmt", "matrix", "full", "tagged", "size_px"),
        [
            ("yuv420p", "itu601", False, True, (192, 128)),
            ("yuv420p", "itu709", False, True, (192, 128)),
            ("yuv420p", "itu709", True, True, (192, 128)),
            ("yuv444p", "itu601", True, True, (192, 128)),
            ("yuv420p10le", "itu709", False, True, (192, 128)),
            ("yuv420p", "itu601", False, False, (192, 128)),
            ("yuv420p", "itu709", False, False, (1280, 720)),
        ],
    )
    def test_patches(self, pix_fmt, matrix, full, tagged, size_px, tmp_path):
        path = tmp_path / "colour.mp4"
        image = np.repeat(np.repeat(self.PATCHES.reshape(2, 2, 3), size_px[1] // 2, 0), size_px[0] // 2, 1)
        levels = "JPEG" if full else "MPEG"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
            stream.width, stream.height, stream.pix_fmt = *size_px, pix_fmt
            if tagged:
                stream.codec_context.colorspace = {"itu709": 1, "itu601": 6}[matrix]
                stream.codec_context.color_range = 2 if full else 1
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=matrix, src_color_range="JPEG", dst_color_range=levels
            )
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        read_back = read(path)[0].image
        height, width = read_back.shape[:2]
        rows, columns = [height // 4, height // 4, 3 * height // 4, 3 * height // 4], [width // 4, 3 * width // 4] * 2
        error = np.abs(read_back[rows, columns].astype(int) - self.PATCHES)
        assert error.max() <= 4, error

    def test_a_grey_stream_is_full_range(self, tmp_path):
        path = tmp_path / "grey.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
            frame = av.VideoFrame.from_ndarray(np.full((64, 64), 200, np.uint8), format="gray")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert np.abs(read(path)[0].image.astype(int) - 200).max() <= 1
