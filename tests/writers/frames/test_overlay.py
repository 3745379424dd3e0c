"""The annotated frame: what is drawn where, and that it stays calm."""

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from vidconcept.errors import UsageError
from vidconcept.tracks import rle
from vidconcept.types import Event, Origin, Region, TrackMask
from vidconcept.video.planes import Planes
from vidconcept.writers.frames.labels import hold, place_label
from vidconcept.writers.frames.overlay import Annotator
from vidconcept.writers.frames.palette import COLOURS, choose_colour
from vidconcept.writers.frames.text import fit_text, put_text, text_width_px
from vidconcept.writers.frames.thumbs import ThumbWriter, draw_thumbnail, name_thumb

SIZE = (640, 360)
CONCEPTS = ("scratch", "Kratzer/傷", "=1+1")


def track(x: int, y: int, w: int, h: int, tracker_id: int = 1, class_id: int = 0, size=SIZE) -> TrackMask:
    mask = cv2.ellipse(np.zeros((h, w), np.uint8), (w // 2, h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1, -1) > 0
    ys, xs = np.nonzero(mask)
    x_min, y_min, x_max, y_max = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
    crop = mask[y_min:y_max, x_min:x_max]
    return TrackMask(
        frame_index=0,
        pts=0,
        time_s=0.0,
        concept=CONCEPTS[class_id],
        class_id=class_id,
        tracker_id=tracker_id,
        confidence=0.83,
        box_px=(x + x_min, y + y_min, x + x_max, y + y_max),
        area_px=int(crop.sum()),
        score_mean=0.7,
        score_max=0.9,
        origin=Origin(0, 0),
        rle=rle.encode(crop, x + x_min, y + y_min, size),
    )


def grey(size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), 128, np.uint8)


def draw(annotator: Annotator, image: np.ndarray, tracks: list[TrackMask], frame: int = 0, scores=None) -> np.ndarray:
    """The next frame of a film of 25 pictures a second."""
    return annotator.draw(image, annotator.place(tracks, frame / 25, frame), scores)


def test_drawing_on_planes_gives_what_drawing_on_rgb_gives():
    size = (1280, 720)
    planes = Planes(np.full((size[1] * 3 // 2, size[0]), 128, np.uint8))
    whole = np.zeros((size[1], size[0], 3), np.uint8)
    planes.load((0, 0, *size), whole)
    plain, in_places = Annotator(CONCEPTS, size), Annotator(CONCEPTS, size)
    for frame in range(3):
        tracks = [track(100 + 17 * frame, 100, 161, 90, size=size), track(1201, 630, 78, 89, 2, 1, size)]
        drawn = draw(plain, whole, tracks, frame).astype(int)
        own = Planes(planes.values.copy())
        in_places.draw_on(own, in_places.place(tracks, frame / 25, frame))
        shown = np.zeros_like(whole)
        own.load((0, 0, *size), shown)
        # Colour is stored at half the size: thin coloured lines lose some of it.
        assert np.abs(shown - drawn).mean() < 0.5
        light = np.abs(shown.mean(2) - drawn.mean(2))
        assert np.quantile(light, 0.999) < 25
        # The words can be read as before.
        plate = (slice(690, 720), slice(0, 200))
        assert np.abs(shown[plate].mean(2) - drawn[plate].mean(2)).max() < 6


class TestViews:
    @pytest.mark.parametrize(
        ("view", "size"), [("overlay", SIZE), ("heatmap", SIZE), ("side-by-side", (1280, 360)), ("grid", SIZE)]
    )
    def test_their_sizes(self, view: str, size: tuple[int, int]) -> None:
        annotator = Annotator(CONCEPTS, SIZE, view)
        scores = np.random.default_rng(0).random((3, 45, 80)).astype(np.float32)
        image = grey()
        drawn = draw(annotator, image, [track(100, 100, 60, 40)], 25, scores if annotator.needs_scores else None)
        assert annotator.size == size
        assert drawn.shape == (size[1], size[0], 3)
        assert drawn.dtype == np.uint8
        assert (image == 128).all()  # the source frame is left as it is

    def test_the_left_of_side_by_side_is_the_source(self) -> None:
        drawn = draw(Annotator(CONCEPTS, SIZE, "side-by-side"), grey(), [track(100, 100, 60, 40)])
        assert (drawn[:, :640] == 128).all()
        assert (drawn[:, 640:] != 128).any()

    def test_heat_covers_the_region_only(self) -> None:
        annotator = Annotator(CONCEPTS, SIZE, "heatmap", Region(200, 100, 300, 200))
        drawn = draw(annotator, grey(), [], scores=np.ones((3, 20, 30), np.float32))
        assert (drawn[:100] == 128).all()
        assert (drawn[100:300, 200:500] != 128).any(axis=2).all()

    @pytest.mark.parametrize("region", [Region(10, 0, 2, 48), Region(62, 46, 2, 2)])
    def test_a_region_narrower_than_a_pixel_of_its_cell(self, region: Region) -> None:
        words = tuple("abcde")
        image, scores = np.full((48, 64, 3), 128, np.uint8), np.ones((5, 4, 1), np.float32)
        assert draw(Annotator(words, (64, 48), "grid", region), image, [], scores=scores).shape == image.shape

    def test_the_grid_shows_each_concept_in_its_own_cell(self) -> None:
        scores = np.zeros((3, 9, 16), np.float32)
        scores[2] = 1
        drawn = draw(Annotator(CONCEPTS, SIZE, "grid"), grey(), [], scores=scores).astype(int)
        cells = [drawn[90, 160], drawn[90, 480], drawn[270, 160]]
        assert (cells[0] == cells[1]).all()
        assert cells[2][1] - cells[0][1] > 40  # the bright end of viridis

    def test_a_view_that_nobody_knows_is_named(self) -> None:
        with pytest.raises(UsageError, match=r"no view 'x-ray'\. Next: one of overlay, heatmap, side-by-side, grid"):
            Annotator(CONCEPTS, SIZE, "x-ray")

    def test_scores_are_asked_for(self) -> None:
        with pytest.raises(ValueError, match="draws scores, got none"):
            draw(Annotator(CONCEPTS, SIZE, "grid"), grey(), [])


class TestMask:
    def test_the_defect_shines_through_and_only_the_mask_is_tinted(self) -> None:
        one = track(200, 100, 200, 120)
        drawn = draw(Annotator(CONCEPTS, SIZE), grey(), [one]).astype(int)
        inside = drawn[160, 300]
        assert (np.abs(inside - (128 * 0.65 + np.array(choose_colour(0)) * 0.35)) < 2).all()
        assert (drawn[230:330, 300] == 128).all()

    def test_a_concept_keeps_its_colour_and_neighbours_differ(self) -> None:
        assert choose_colour(1) == choose_colour(1 + len(COLOURS))
        assert len(set(COLOURS)) == len(COLOURS)


class TestLabels:
    def boxes(self, *tracks: TrackMask) -> list[tuple[int, int, int, int]]:
        """Where the labels of one frame lie."""
        taken = [t.box_px for t in tracks]
        found = []
        for one in tracks:
            box, _ = place_label(hold(None, "x", one.box_px, 0.0), (120, 20), SIZE, taken)
            taken.append(box)
            found.append(box)
        return found

    def test_they_cover_no_defect_and_no_other_label(self) -> None:
        tracks = [
            track(10, 0, 50, 40),  # no room above
            track(580, 320, 60, 40, 2),  # a corner
            track(300, 100, 40, 30, 3),
            track(300, 140, 40, 30, 4),  # below its neighbour, closer than a label is high
        ]
        boxes = self.boxes(*tracks)
        for number, (x_min, y_min, x_max, y_max) in enumerate(boxes):
            assert 0 <= x_min < x_max <= 640
            assert 0 <= y_min < y_max <= 360
            others = [t.box_px for t in tracks] + boxes[:number]
            assert not any(x_min < b[2] and b[0] < x_max and y_min < b[3] and b[1] < y_max for b in others)

    def test_a_trembling_outline_does_not_move_its_label_much(self) -> None:
        state, xs = None, []
        for frame in range(40):
            jitter = 4 if frame % 2 else -4
            state = hold(state, "x", (300 + jitter, 100 + jitter, 360 + jitter, 140 + jitter), frame * 0.04)
            xs.append(place_label(state, (120, 20), SIZE, [])[0][0])
        assert np.abs(np.diff(xs[5:])).max() <= 4

    def test_a_label_goes_with_its_part(self) -> None:
        state = None
        for frame in range(40):
            box = (20 + 12 * frame, 40 + 5 * frame, 60 + 12 * frame, 80 + 5 * frame)
            state = hold(state, "x", box, frame * 0.04)
            label, _ = place_label(state, (120, 20), (2000, 2000), [box])
            if frame > 12:
                assert abs(label[0] - box[0]) <= 1
                assert abs(label[3] - (box[1] - 6)) <= 1  # just above

    @pytest.mark.parametrize("place", [(0, 0, 640, 360), (0, 200, 400, 160), (0, 0, 300, 340), (4, 330, 40, 30)])
    def test_none_lies_under_the_time_code(self, place: tuple[int, int, int, int]) -> None:
        tracks = [track(*place), track(*place, 2, 1)]
        drawing = Annotator(CONCEPTS, SIZE).place(tracks, 1.0, 20)
        assert drawing.time_code is not None
        code = drawing.time_code.box
        assert len(drawing.labels) == 2
        for x_min, y_min, x_max, y_max in (label.box for label in drawing.labels):
            assert not (x_min < code[2] and code[0] < x_max and y_min < code[3] and code[1] < y_max)

    def test_the_side_stays_while_it_is_free(self) -> None:
        state = hold(None, "x", (300, 14, 360, 52), 0.0)  # too near to the upper edge
        box, side = place_label(state, (120, 20), SIZE, [(300, 14, 360, 52)])
        assert box[1] >= 52
        state = replace(state, side=side)
        for step in range(1, 10):  # it comes down slowly; above would soon be free again
            now = (300, 14 + 3 * step, 360, 52 + 3 * step)
            state = hold(state, "x", now, 0.04 * step)
            assert place_label(state, (120, 20), SIZE, [now])[1] == side

    def test_the_number_can_be_read(self) -> None:
        state, texts = None, []
        for frame in range(50):
            state = hold(state, f"scratch #1 0.{frame:02d}", (300, 100, 360, 140), frame * 0.04)
            texts.append(state.text)
        changes = [frame for frame in range(1, 50) if texts[frame] != texts[frame - 1]]
        assert len(changes) == 3  # every half second in two seconds
        assert min(np.diff(changes)) >= 12


class TestText:
    def test_scripts_beyond_latin_have_glyphs(self) -> None:
        pictures = []
        for text in ("傷", "錆", "Ж", "ä"):
            image = np.zeros((40, 40, 3), np.uint8)
            put_text(image, text, 4, 30, 24, (255, 255, 255))
            assert image.any()
            pictures.append(image.tobytes())
        assert len(set(pictures)) == 4  # a missing glyph would be the same box each time

    def test_long_names_are_cut(self) -> None:
        text = fit_text("scratch " * 40, 12, 100)
        assert text.endswith("…")
        assert text_width_px(text, 12) <= 100
        assert fit_text("line\nbreak", 12, 500) == "line break"


class TestThumbs:
    def event(self, one: TrackMask) -> Event:
        return Event(7, one.tracker_id, one.concept, 0, 9, 0.0, 0.4, 5, 0.9, one.area_px, one.box_px)

    @pytest.mark.parametrize(
        ("place", "share"),
        [
            ((0, 0, 30, 20), 30 * 20 / (96 * 72)),
            ((610, 340, 30, 20), 30 * 20 / (96 * 72)),
            ((300, 100, 4, 4), 4 * 4 / (96 * 72)),
            ((200, 100, 80, 60), 0.25),
            ((10, 20, 620, 330), 330 / 360),  # wider than a crop of the frame's height
        ],
    )
    def test_they_show_the_whole_defect_wherever_it_is(self, place: tuple[int, int, int, int], share: float) -> None:
        image = grey()
        x, y, w, h = place
        image[y : y + h, x : x + w] = 250
        drawn = draw_thumbnail(image, (x, y, x + w, y + h), None)
        assert drawn.shape == (192, 256, 3)
        assert (drawn > (128 + 250) / 2).all(axis=2).mean() == pytest.approx(share, rel=0.15)

    def test_one_jpeg_an_event_at_its_peak(self, tmp_path: Path) -> None:
        one = track(200, 100, 100, 60)
        writer = ThumbWriter(tmp_path, [self.event(one)])
        writer.frame(4, grey(), [one])
        assert not list(tmp_path.iterdir())
        writer.frame(5, grey(), [one])
        picture = cv2.imread(str(tmp_path / name_thumb(7)))
        assert picture is not None
        assert picture.shape == (192, 256, 3)
        orange = np.abs(picture.astype(int) - np.array(choose_colour(0))[::-1]).sum(axis=2) < 90
        assert orange.sum() > 100  # the contour


@pytest.mark.slow
def test_720p_takes_less_than_8_ms() -> None:
    size = (1280, 720)
    tracks = [track(200 + 200 * i, 200 + 40 * i, 80, 50, i + 1, i % 3, size) for i in range(4)]
    annotator, image, took_s = Annotator(CONCEPTS, size), grey(size), []
    for frame in range(60):
        start = time.process_time()
        draw(annotator, image, tracks, frame)
        took_s.append(time.process_time() - start)
    assert float(np.median(took_s)) < 0.008
