"""The short ways from decoded planes: smaller pictures, and drawing in places, beside the plain ways over RGB."""

import numpy as np
import pytest

from tests.helpers.clips import write_clip
from tests.helpers.reading import read
from tests.helpers.writing import info_of
from vidconcept.geometry import crop, resize
from vidconcept.types import Region
from vidconcept.video.planes import Planes
from vidconcept.video.reader import read_pictures
from vidconcept.video.writer import open_writer

HD = (1280, 720)


def pictures_of(path):
    return list(read_pictures(path, on_problem=lambda problem: pytest.fail(str(problem))))


class TestSmallPictures:
    @pytest.mark.parametrize(
        ("size", "small", "options"),
        [
            (HD, (256, 448), {}),
            ((640, 360), (180, 321), {}),
            ((192, 128), (128, 192), {}),
            ((192, 128), (60, 90), {"turn_ccw_deg": 90}),
        ],
    )
    def test_planes_shrunk_look_like_rgb_shrunk(self, size, small, options, tmp_path):
        path = tmp_path / "clip.mp4"
        write_clip(path, size_px=size, count=3, **options)
        for picture in pictures_of(path):
            plain = picture.rgb()
            whole = Region(0, 0, plain.shape[1], plain.shape[0])
            short = picture.shrink(whole, *small)
            assert short.light
            assert short.shape == (*small, 3)
            away = np.asarray(short).astype(int) - resize(plain, *small)
            assert np.abs(away).mean() < 1
            assert np.abs(away.mean((0, 1))).max() < 0.7

    def test_what_planes_cannot_give_is_made_of_rgb(self, tmp_path):
        path = tmp_path / "clip.mp4"
        write_clip(path, size_px=(192, 128), count=2)
        for region, size in ((Region(10, 20, 101, 77), (40, 50)), (Region(0, 0, 192, 128), (256, 384))):
            picture = pictures_of(path)[1]
            made = picture.shrink(region, *size)
            assert not made.light
            np.testing.assert_array_equal(np.asarray(made), resize(crop(picture.rgb(), region), *size))


class TestDrawingInPlaces:
    def test_only_the_box_changes_and_little_of_it_is_lost(self, tmp_path):
        path = tmp_path / "clip.mp4"
        write_clip(path, size_px=HD, count=1)
        (picture,) = pictures_of(path)
        planes, untouched = picture.copy_planes(), picture.copy_planes()
        canvas = np.zeros((HD[1], HD[0], 3), np.uint8)
        box = (101, 51, 400, 350)
        planes.load(box, canvas)
        inside = (slice(52, 350), slice(102, 400))
        assert np.abs(canvas[inside].astype(int) - picture.rgb()[inside]).mean() < 2
        assert not canvas[400:].any()
        planes.store(box, canvas)
        y, before = planes.values[: HD[1]], untouched.values[: HD[1]]
        assert np.abs(y.astype(int) - before)[inside].max() <= 2
        y[50:350, 100:400] = before[50:350, 100:400]
        np.testing.assert_array_equal(y, before)

    def test_boxes_beyond_the_picture_are_cut(self):
        planes = Planes(np.full((96, 128), 120, np.uint8))
        canvas = np.zeros((64, 128, 3), np.uint8)
        for box in ((-20, -9, 5, 7), (120, 60, 300, 300), (200, 10, 220, 30), (30, -30, 40, -10)):
            planes.load(box, canvas)
            planes.store(box, canvas)
        assert np.abs(planes.values.astype(int) - 120).max() <= 1

    @pytest.mark.parametrize("size", [(640, 360), (1281, 720)])
    def test_other_colours_and_odd_sides_go_the_long_way(self, size, tmp_path):
        # Untagged pictures of fewer than 720 lines are BT.601.
        path = tmp_path / "clip.mkv"
        write_clip(path, size_px=size, count=1, codec="ffv1")
        assert pictures_of(path)[0].copy_planes() is None

    @pytest.mark.parametrize("height", [2, 4, 6, 10, 486, 718, 720])
    def test_planes_of_any_even_height_become_a_frame_as_they_are(self, height):
        values = np.random.default_rng(0).integers(0, 256, (height * 3 // 2, 64), np.uint8)
        frame = Planes(values).to_frame()
        assert (frame.width, frame.height) == (64, height)
        np.testing.assert_array_equal(frame.to_ndarray(), values)

    def test_a_film_of_planes_shows_what_a_film_of_rgb_shows(self, tmp_path):
        source = tmp_path / "clip.mp4"
        write_clip(source, size_px=HD, count=3)
        shown = []
        for name in ("rgb", "planes"):
            with open_writer(tmp_path / f"{name}.mp4", info_of(HD)) as film:
                for picture in pictures_of(source):
                    film.write(picture.rgb() if name == "rgb" else picture.copy_planes().to_frame(), picture.index)
            shown.append([frame.image.astype(int) for frame in read(tmp_path / f"{name}.mp4")])
        for long, short, original in zip(*shown, (p.rgb().astype(int) for p in pictures_of(source)), strict=True):
            assert np.abs(long - short).mean() < 2
            assert np.abs(short - original).mean() < np.abs(long - original).mean()
