"""Footage that a stress test perturbs: its size, its colours, and where its truth goes."""

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from tests.helpers.clips import GOOD, image_folder, paint
from tests.helpers.films import write_video
from tests.helpers.footage import raw_stream, two_streams
from tests.helpers.reading import numbers, read
from vidconcept.errors import UsageError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.perturb import PERTURBATIONS, perturb
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.stress import _write, open_perturbed, stress
from vidconcept.pipelines.workspace import Workspace
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames


@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
def test_perturbed_footage_keeps_its_size(tmp_path, size):
    """Regions and areas are given in its pixels; fewer pixels' worth of detail is what low resolution means."""
    noise = np.random.default_rng(0).integers(0, 255, (6, *size, 3), dtype=np.uint8)
    _write(tmp_path / "clip.nut", iter((frame, k / 25) for k, frame in enumerate(noise)), 4)
    clip = Clip("clip", tmp_path / "clip.nut", (), lambda index: None)
    low = next(p for p in PERTURBATIONS if p.scale)
    with open_perturbed(clip, low, 0.5, tmp_path, Monitor(), 0) as changed:
        before, images = ([f.image for f in read_frames(c.source, on_problem=print)] for c in (clip, changed))
    assert {image.shape for image in images} == {(*size, 3)}
    assert images[0].std() < 0.7 * before[0].std()


def test_perturbed_footage_keeps_the_shape_of_its_pixels(tmp_path):
    """Truth may be drawn on the pictures as players show them."""
    made = GOOD["h264"](tmp_path)
    clip = Clip("clip", made.path, (), lambda index: None)
    noise, wide = next(p for p in PERTURBATIONS if p.name == "sensor noise"), Fraction(16, 15)
    with open_perturbed(clip, noise, 4, tmp_path, Monitor(), 0, pixel_aspect=wide) as changed:
        assert examine(changed.source).info.pixel_aspect == wide


def test_nothing_of_a_copy_stays_where_the_test_fails(tmp_path):
    made = GOOD["h264"](tmp_path)
    clip = Clip("clip", made.path, (), lambda index: None)
    noise = next(p for p in PERTURBATIONS if p.name == "sensor noise")
    with pytest.raises(KeyError), open_perturbed(clip, noise, 4, tmp_path / "work", Monitor(), 0):
        raise KeyError
    with pytest.raises(UsageError), open_perturbed(clip, noise, 4, tmp_path / "work", Monitor(), 0, fps=25):
        pass
    assert not list((tmp_path / "work").iterdir())


@pytest.mark.parametrize(
    ("layer", "key", "value"),
    [("call", "stream", 1), ("config", "stream", 1), ("environment", "stream", 1), ("call", "fps", 12.5)],
)
def test_a_copy_is_a_plain_film_wherever_the_reading_was_asked_for(
    tmp_path, monkeypatch, tiny_model, layer, key, value
):
    raw = key == "fps"
    film = raw_stream(tmp_path / "film.h264", count=8) if raw else two_streams(tmp_path / "film.mkv", default=0)
    settings = {"concepts": ("dent",), "model": str(tiny_model), "window_frames": 9}
    (tmp_path / "a.toml").write_text(f"{key} = {value}\n" if layer == "config" else "")
    if layer == "environment":
        monkeypatch.setenv(f"VIDCONCEPT_{key.upper()}", str(value))
    given = settings | ({key: value} if layer == "call" else {})
    data = Dataset("line", "video", (Clip("film", film, (), lambda index: None),))
    workspace = Workspace(tmp_path / "work", config=tmp_path / "a.toml")
    stress(data, given, workspace, names=["sensor noise"], severities=[1], has_truth=False)
    runs = [json.loads(path.read_text()) for path in (tmp_path / "work").rglob("run.json")]
    assert sorted(key in run["maps_from"] for run in runs) == [False, True]
    assert [run["video"]["rate_fps"] for run in runs] == pytest.approx([12.5 if raw else 25] * 2)


@pytest.mark.parametrize("fps", [25, 2000, 90_000])
def test_perturbed_footage_keeps_the_times_of_a_fast_camera(tmp_path, fps):
    for number in range(6):
        Image.fromarray(paint(number, (192, 128))).save(tmp_path / f"{number}.png")
    clip = Clip("clip", tmp_path, (), lambda index: None)
    noise, problems = next(p for p in PERTURBATIONS if p.name == "sensor noise"), []
    with open_perturbed(clip, noise, 4, tmp_path / "work", Monitor(), 0, fps=fps) as changed:
        times_s = [frame.time_s for frame in read_frames(changed.source, on_problem=problems.append)]
    assert times_s == pytest.approx(np.arange(6) / fps, abs=1e-6)
    assert not problems


def test_the_first_frame_is_never_dropped():
    """The copy would begin later than the film, and a range of seconds would mean other frames."""
    drop, times_s = next(p.sequence for p in PERTURBATIONS if p.name == "dropped frames"), np.arange(8) / 25
    kept = [drop(times_s, level, np.random.default_rng(seed)) for level in (0.5, 1.0) for seed in range(8)]
    assert {frames[0] for frames, _ in kept} == {0}
    assert all((np.diff(frames) > 0).all() and (shown_s == times_s[frames]).all() for frames, shown_s in kept)


def test_the_same_frames_give_the_same_file(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (6, 64, 96, 3), dtype=np.uint8)
    for name in ("a.nut", "b.nut"):
        _write(tmp_path / name, iter((frame, k / 25) for k, frame in enumerate(frames)), 4)
    assert (tmp_path / "a.nut").read_bytes() == (tmp_path / "b.nut").read_bytes()


@pytest.mark.parametrize("size_px", [(448, 256), (1280, 720)])
@pytest.mark.parametrize("write", ["stress", "generated"])
def test_writing_adds_no_colour_of_its_own(size_px, write, tmp_path):
    """A reader takes large pictures that do not say otherwise for BT.709, small ones for BT.601."""
    image = np.empty((size_px[1], size_px[0], 3), np.uint8)
    image[:, : size_px[0] // 2], image[:, size_px[0] // 2 :] = (200, 60, 40), (40, 170, 60)
    path = tmp_path / ("a.nut" if write == "stress" else "a.mkv")
    if write == "stress":
        _write(path, iter([(image, 0.0), (image, 0.04)]), 4)
    else:
        write_video(path, np.stack([image, image]), crf=4)
    (first, _) = read_frames(path, on_problem=print)
    for column in (size_px[0] // 4, size_px[0] * 3 // 4):
        assert first.image[50, column].astype(int) == pytest.approx(image[50, column].astype(int), abs=3)


@pytest.mark.parametrize("name", ["dropped frames", "duplicated frames", "line stop"])
def test_truth_goes_where_its_frame_goes(tmp_path, name):
    """Each frame shows its number as a bar code, and its truth has that number for an id."""
    made = GOOD["h264"](tmp_path)
    width, height = made.size_px
    masks = np.zeros((1, height, width), bool)
    clip = Clip("clip", made.path, ("dent",), lambda index: FrameTruth(masks, ("dent",), (index,)))
    what = next(p for p in PERTURBATIONS if p.name == name)
    with open_perturbed(clip, what, 0.25, tmp_path, Monitor(), 0) as changed:
        shown = numbers(read(changed.source))
    assert shown != list(range(made.frame_count))
    assert [changed.truth(index).ids for index in range(len(shown))] == [(number,) for number in shown]
    assert changed.truth(len(shown)) is None


@pytest.mark.parametrize(("name", "level"), [("dropped frames", 0.25), ("sensor noise", 4)])
def test_truth_goes_by_the_picture_where_one_cannot_be_read(tmp_path, name, level):
    made = image_folder(tmp_path / "images")
    (made.path / "part3.png").write_bytes(b"broken")
    masks = np.zeros((1, *made.size_px[::-1]), bool)
    places = {f"part{number}.png": number for number in range(made.frame_count)}
    clip = Clip("clip", made.path, ("dent",), lambda k: FrameTruth(masks, ("dent",), (k,)), places=places)
    what = next(p for p in PERTURBATIONS if p.name == name)
    with open_perturbed(clip, what, level, tmp_path, Monitor(), 0, fps=25) as changed:
        shown = numbers(read(changed.source))
    assert [changed.find_truth(index, "").ids for index in range(len(shown))] == [(number,) for number in shown]


def test_a_line_that_stops_goes_on_later(tmp_path):
    made = GOOD["h264"](tmp_path)
    clip = Clip("clip", made.path, ("dent",), lambda index: None)
    what = next(p for p in PERTURBATIONS if p.name == "line stop")
    before = [frame.time_s for frame in read_frames(made.path, on_problem=print)]
    with open_perturbed(clip, what, 0.5, tmp_path, Monitor(), 0) as changed:
        frames = list(read_frames(changed.source, on_problem=print))
    more = round(0.5 / (before[1] - before[0]))
    assert len(frames) == len(before) + more
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx(before[1] - before[0], abs=0.002)
    standing = [frame.image.astype(float) for frame in frames[len(before) // 2 :][: more + 1]]
    changes = [np.abs(a - b).mean() for a, b in pairwise(standing)]
    assert all(0 < change < 2 for change in changes)


def test_an_overlay_leaves_the_picture_between_its_bars(tmp_path):
    image = np.full((240, 320, 3), 90, np.uint8)
    what = next(p for p in PERTURBATIONS if p.name == "burnt-in overlay")
    first, second = (perturb(image, what, 0.05, index, index / 25, 0) for index in (0, 25))
    assert not first[[*range(12), *range(228, 240)]][:, :150].any()
    assert (first[40:110, 20:150] == 90).all()
    assert (first != second)[:40].any()
    assert (first == second)[40:].all()
