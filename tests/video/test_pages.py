"""Several pictures in one file: pages of TIFF, animations."""

from pathlib import Path

import pytest
from PIL import Image, TiffImagePlugin

from tests.helpers.clips import paint
from tests.helpers.footage import deep
from tests.helpers.reading import numbers, read, remarks_about
from vidconcept.errors import UsageError
from vidconcept.video.probe import examine, probe

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
