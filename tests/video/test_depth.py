"""Pictures of more than eight bits."""

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import paint, read_barcode, write_clip
from tests.helpers.footage import deep, deep_film, deep_folder
from tests.helpers.reading import numbers, read, remarks_about
from vidconcept.errors import UsageError
from vidconcept.video.levels import Levels
from vidconcept.video.probe import probe
from vidconcept.video.reading import Reading


class TestDepth:
    @pytest.mark.parametrize("bits", [10, 12, 14, 16])
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_images_of_any_depth_keep_their_contrast(self, suffix, bits, tmp_path):
        folder = deep_folder(tmp_path / "lot", suffix, bits)
        frames = read(folder, fps=25)
        assert numbers(frames) == [0, 1, 2]
        assert np.abs(frames[1].image.astype(int) - paint(1)[:, :, :1]).max() <= 2
        assert probe(folder, 25).bits == bits
        assert f"0 to {2**bits - 1} ({bits} bits)" in remarks_about(folder, "depth", fps=25)

    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_films_of_any_depth_keep_their_contrast(self, bits, tmp_path):
        film = deep_film(tmp_path / "film.mkv", bits)
        frames = read(film)
        assert numbers(frames) == list(range(12))
        assert np.abs(frames[3].image.astype(int) - paint(3)[:, :, :1]).max() <= 2
        assert (probe(film).bits, probe(film).levels) == (bits, (0, 2**bits - 1))

    def test_colour_of_sixteen_bits(self, tmp_path):
        cv2.imwrite(str(tmp_path / "a.png"), paint(9)[:, :, ::-1].astype(np.uint16) << 4)
        (frame,) = read(tmp_path / "a.png")
        assert np.abs(frame.image.astype(int) - paint(9)).max() <= 2

    def test_one_scale_serves_for_all(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 12, count=30)
        # Every second one is looked at from here on.
        Image.fromarray(deep(1, 16)).save(folder / "9.png")
        problems = []
        frames = read(folder, problems, fps=25)
        assert np.array_equal(frames[1].image, read(folder / "1.png", reading=Reading(bits=12))[0].image)
        (problem,) = [p for p in problems if p.kind == "over-range"]
        assert "4095 is white" in problem.message

    def test_given_bits_are_taken(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 10)
        dark = read(folder, fps=25, reading=Reading(bits=16))
        assert max(frame.image.max() for frame in dark) < 8
        assert "only levels" in remarks_about(folder, "range", fps=25, bits=16)
        assert remarks_about(folder, "range", fps=25) == ""

    def test_levels_that_probe_found_are_used_as_they_are(self, tmp_path):
        folder = deep_folder(tmp_path / "lot", ".png", 12)
        bright = read(folder, fps=25, reading=Reading(levels=Levels(0, 2**11 - 1, None)))
        assert (bright[0].image == 255).any()

    @pytest.mark.parametrize(("top", "white"), [(1.0, 1), (255.0, 255), (4095.0, 4095)])
    def test_fractions_reach_to_a_usual_white(self, top, white, tmp_path):
        Image.fromarray(paint(3)[:, :, 0].astype(np.float32) / 255 * top).save(tmp_path / "a.tif")
        (frame,) = read(tmp_path / "a.tif")
        assert np.abs(frame.image.astype(int) - paint(3)[:, :, :1]).max() <= 1
        assert probe(tmp_path / "a.tif").levels == (0, white)

    def test_fractions_below_zero_and_no_numbers(self, tmp_path):
        values = paint(3)[:, :, 0].astype(np.float32) - 300
        values[0, 0] = np.nan
        Image.fromarray(values).save(tmp_path / "a.tif")
        (frame,) = read(tmp_path / "a.tif")
        assert read_barcode(frame.image) == 3
        assert frame.image[0, 0, 0] == 0

    def test_bits_of_what_has_eight_is_an_error(self, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=2)
        with pytest.raises(UsageError, match="leave `bits` out"):
            read(clip.path, reading=Reading(bits=12))
        Image.fromarray(paint(0)).save(tmp_path / "a.png")
        with pytest.raises(UsageError, match="leave `bits` out"):
            read(tmp_path / "a.png", reading=Reading(bits=12))
