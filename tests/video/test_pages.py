"""Several pictures in one file: pages of TIFF, animations."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin

from tests.helpers.clips import paint, write_clip
from tests.helpers.footage import deep
from tests.helpers.reading import numbers, read, remarks_about
from vidconcept.errors import UsageError
from vidconcept.video.probe import examine, probe
from vidconcept.video.reading import Reading
from vidconcept.video.sequence import Page, split_name

ANIMATIONS = {
    "stack.tif": {"compression": "tiff_lzw"},
    "anim.webp": {"lossless": True, "duration": 40},
    "anim.png": {"duration": 40},
    "anim.gif": {"duration": 40},
}


def animated(path: Path, count: int = 5) -> Path:
    pictures = [Image.fromarray(paint(number)) for number in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], **ANIMATIONS[path.name])
    return path


class TestFarApart:
    @pytest.mark.parametrize("last", ["1000000000", "9" * 200])
    def test_numbers_that_count_no_frames(self, tmp_path, last):
        for name in ("1", "2", "3", "4", "5", last):
            Image.fromarray(paint(1)).save(tmp_path / f"{name}.png")
        assert "count no frames: time is their order" in remarks_about(tmp_path, "names", fps=25)
        assert [frame.pts for frame in read(tmp_path, fps=25)] == list(range(6))


class TestPages:
    @pytest.mark.parametrize("name", ANIMATIONS)
    def test_a_folder_of_them_gives_every_page(self, name, tmp_path):
        folder = tmp_path / "lot"
        folder.mkdir()
        animated(folder / name)
        frames = read(folder, fps=10)
        assert numbers(frames) == list(range(5))
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
        assert frames[2].name == f"{name}#3"
        assert examine(folder, 10).frames == 5

    @pytest.mark.parametrize("name", [name for name in ANIMATIONS if name != "stack.tif"])
    def test_an_animation_keeps_its_times(self, name, tmp_path):
        frames = read(animated(tmp_path / name))
        assert numbers(frames) == list(range(5))
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])
        with pytest.raises(UsageError, match="leave `fps` out"):
            read(tmp_path / name, fps=10)

    @pytest.mark.parametrize("name", ["cam#0.png", "part.png#7.png", "a.tif", "st#2.tif", "12.tif"])
    def test_a_name_comes_apart_as_it_was_made(self, name):
        assert split_name(Page(Path(name), 0, 1, 0).name) == (name, None)
        assert split_name(Page(Path(name), 2, 5, 0).name) == (name, 3)

    def test_a_stack_of_pages_needs_a_rate(self, tmp_path):
        stack = animated(tmp_path / "stack.tif")
        with pytest.raises(UsageError, match="`fps="):
            read(stack)
        assert numbers(read(stack, fps=10)) == list(range(5))

    def test_a_deep_stack_has_one_scale(self, tmp_path):
        pages = [Image.fromarray(deep(number, 12)) for number in range(20)]
        pages[0].save(tmp_path / "deep.tif", save_all=True, append_images=pages[1:])
        assert numbers(read(tmp_path / "deep.tif", fps=10)) == list(range(20))
        assert probe(tmp_path / "deep.tif", 10).bits == 12

    def test_a_small_copy_of_a_page_is_no_frame(self, tmp_path):
        pages = [Image.fromarray(paint(number)) for number in range(3)]
        small = TiffImagePlugin.ImageFileDirectory_v2()
        small[254] = 1
        pages[1].encoderinfo = {"tiffinfo": small}
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
        assert numbers(read(tmp_path / "a.tif", fps=10)) == [0, 2]

    def test_what_an_animated_png_shows_elsewhere_is_no_frame(self, tmp_path):
        pictures = [Image.fromarray(paint(number)) for number in range(5)]
        options = {"save_all": True, "default_image": True, "duration": 50}
        pictures[0].save(tmp_path / "a.png", append_images=pictures[1:], **options)
        frames = read(tmp_path / "a.png")
        assert numbers(frames) == [1, 2, 3, 4]
        assert [frame.time_s for frame in frames] == pytest.approx([0, 0.05, 0.1, 0.15])
        assert examine(tmp_path / "a.png").frames == 4


class TestTimesOfAnimations:
    @pytest.mark.parametrize("suffix", [".webp", ".png", ".gif"])
    def test_they_are_measured_as_those_of_a_video(self, suffix, tmp_path):
        """Ten pictures a second, six seconds of the tenth, and ten more."""
        shown_ms = [100] * 9 + [6000] + [100] * 10
        pictures = [Image.fromarray(paint(number)) for number in range(20)]
        still = tmp_path / f"slow{suffix}"
        lossless = {"lossless": True} if suffix == ".webp" else {}
        pictures[0].save(still, save_all=True, append_images=pictures[1:], duration=shown_ms, **lossless)
        stamps_ms = [sum(shown_ms[:number]) for number in range(20)]
        film = write_clip(tmp_path / "slow.mkv", count=20, rate=Fraction(10), stamps_ms=stamps_ms).path
        reports = examine(still), examine(film)
        assert reports[0].hole_s == pytest.approx(reports[1].hole_s)
        assert reports[0].rate_fps == pytest.approx(10) == reports[1].rate_fps
        assert reports[0].measured_fps == pytest.approx(reports[1].measured_fps)
        assert (reports[0].first_s, reports[0].last_s) == pytest.approx((reports[1].first_s, reports[1].last_s))
        holes = [[remark for remark in report.remarks if remark.about == "holes"] for report in reports]
        assert holes[0] == holes[1] != []
        for report, path in zip(reports, (still, film), strict=True):
            frames = read(path, reading=report.settle_reading(Reading()))
            assert [frame.index for frame in frames if frame.after_hole] == [10]

    def test_a_variable_rate_is_said(self, tmp_path):
        pictures = [Image.fromarray(paint(number)) for number in range(6)]
        pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[40, 80] * 3)
        assert "variable frame rate" in remarks_about(tmp_path / "a.gif", "rate")
