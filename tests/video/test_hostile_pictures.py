"""Pictures and videos of strangers: never waited for, never gigabytes, and one bad one among good ones costs itself."""

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import image_folder, paint, write_clip
from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import read_labels
from vidconcept.video.identity import hash_source
from vidconcept.video.probe import examine, probe
from vidconcept.video.reader import read_frames
from vidconcept.video.reading import Reading
from vidconcept.video.source import list_images


def write_claim(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size; its data is a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b""))
    return path


class TestSizes:
    @pytest.mark.parametrize("size", [(65_535, 65_535), (16_000, 16_000)])
    def test_one_among_good_ones_is_left_out_and_said(self, tmp_path, size):
        truth = image_folder(tmp_path / "images")
        write_claim(tmp_path / "images" / "part2.png", *size)
        said = []
        frames = list(read_frames(truth.path, fps=25, on_problem=said.append))
        assert len(frames) == truth.frame_count - 1
        said = [problem for problem in said if problem.kind == "unreadable-image"]
        assert [f"claims {size[0]}x{size[1]} pixels" in problem.message for problem in said] == [True]

    def test_the_limit_can_be_lifted(self, tmp_path):
        picture = tmp_path / "wide.png"
        cv2.imwrite(str(picture), np.zeros((64, 20_000), np.uint8))
        for limit in (1, float("nan")):
            with pytest.raises(InputError, match=r"claims 20000x64 .*`max_megapixels=2`$"):
                probe(picture, reading=Reading(max_megapixels=limit))
            with pytest.raises(InputError, match="claims 20000x64"):
                read_labels(picture, limit)
        assert probe(picture, reading=Reading(max_megapixels=2)).width_px == 20_000
        assert read_labels(picture, 2).shape == (64, 20_000)

    @pytest.mark.parametrize("name", ["film.mp4", "pages.tif", "moving.gif", "images"])
    def test_it_holds_for_every_kind_of_source(self, tmp_path, name):
        source, pages = tmp_path / name, [Image.fromarray(paint(number)) for number in range(3)]
        if name == "film.mp4":
            write_clip(source, count=3)
        elif name == "images":
            image_folder(source)
        else:
            pages[0].save(source, save_all=True, append_images=pages[1:])
        fps = None if name in ("film.mp4", "moving.gif") else 25
        with pytest.raises(InputError, match=r"0\.0\d+ megapixels where 0\.001 are allowed"):
            examine(source, fps, decode=True, reading=Reading(max_megapixels=0.001))
        assert examine(source, fps, decode=True, reading=Reading(max_megapixels=0.1)).frames >= 3

    def test_alone_in_a_folder_it_is_named(self, tmp_path):
        (tmp_path / "images").mkdir()
        write_claim(tmp_path / "images" / "a.png", 60_000, 60_000)
        with pytest.raises(InputError, match=r"none of its 1 images can be read.*claims 60000x60000"):
            probe(tmp_path / "images", 25)


class TestOtherKinds:
    def test_what_is_no_picture_is_called_so(self, tmp_path):
        (tmp_path / "a.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        with pytest.raises(InputError, match=r"a\.png is not a picture of a known kind\. Next: "):
            probe(tmp_path / "a.png")

    def test_a_list_of_films_is_no_film(self, tmp_path):
        (tmp_path / "a.mp4").write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
        with pytest.raises(InputError, match=r"a\.mp4 is not a video \(its content is text\)"):
            probe(tmp_path / "a.mp4")

    def test_a_picture_without_one_number_is_black_and_quiet(self, tmp_path):
        Image.fromarray(np.full((64, 96), np.nan, np.float32)).save(tmp_path / "a.tif")
        (frame,) = read_frames(tmp_path / "a.tif", on_problem=lambda problem: pytest.fail(problem.message))
        assert frame.image.max() == 0


class TestNeverEnding:
    @pytest.mark.parametrize("name", ["a.mp4", "a.png"])
    def test_a_pipe(self, tmp_path, name):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="is a pipe, not a file"):
            probe(tmp_path / name)

    def test_a_device(self):
        with pytest.raises(InputError, match="is a device"):
            probe("/dev/zero")

    def test_a_pipe_among_pictures(self, tmp_path):
        truth = image_folder(tmp_path / "images")
        os.mkfifo(truth.path / "part99.png")
        with pytest.raises(InputError, match=r"part99\.png is a pipe"):
            hash_source(truth.path)


class TestNames:
    def test_raised_digits_are_no_numbers(self, tmp_path):
        for name in ("10.png", "²3.png", "٣.png", "2.png"):
            (tmp_path / name).touch()
        assert [path.name for path in list_images(tmp_path)][:2] == ["2.png", "10.png"]
        assert [path.name for path in list_images(tmp_path / "%d.png")] == ["2.png", "10.png"]

    def test_names_that_are_no_text(self, tmp_path):
        (tmp_path / os.fsdecode(b"1\xff.png")).touch()
        with pytest.raises(InputError, match=r"1\\xff\.png' is not UTF-8\. Next: rename it"):
            list_images(tmp_path)
