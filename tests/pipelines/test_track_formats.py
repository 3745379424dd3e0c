"""`track` on footage that nobody prepared: every frame that can be decoded is in the tables and in the video."""

import json
from collections import defaultdict
from fractions import Fraction
from xml.etree import ElementTree

import av
import cv2
import numpy as np
import pytest
from pycocotools import mask as coco

from tests.helpers.bad_clips import BAD
from tests.helpers.clips import GOOD, read_barcode, write_clip
from vidconcept.errors import InputError, VidconceptError
from vidconcept.pipelines import maps as first_pass
from vidconcept.pipelines.track import track
from vidconcept.types import VideoInfo
from vidconcept.video.reader import read_frames, read_pictures
from vidconcept.video.writer import open_writer
from vidconcept.writers.exchange.export import export


def run_track(path, tiny_model, out, **settings):
    # Random weights find everything everywhere at a low threshold, so tracks and masks are written too.
    return track(path, ["scratch", "dent"], model=str(tiny_model), out=out, threshold=0.01, **settings)


def decoded(path, fps=None):
    return [(frame.index, frame.time_s) for frame in read_frames(path, fps=fps, on_problem=lambda problem: None)]


def video_times(path):
    with av.open(str(path)) as container:
        stamps = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    return [float(stamp - stamps[0]) for stamp in stamps]


@pytest.mark.parametrize("height", [70, 72])
def test_a_film_in_the_colours_of_its_source_keeps_every_even_height(height, tmp_path, tiny_model):
    source = write_clip(tmp_path / "a.mp4", size_px=(96, height), count=5, options={"colorspace": "bt709"}).path
    (picture, *_) = read_pictures(source, on_problem=pytest.fail)
    assert picture.copy_planes() is not None
    run = run_track(source, tiny_model, tmp_path / "run")
    (frame, *others) = read_frames(run.path / "annotated.mp4", on_problem=pytest.fail)
    assert frame.image.shape == (height, 96, 3)
    assert len(others) == 4


@pytest.mark.parametrize("name", GOOD)
def test_frames_of_the_file_the_tables_and_the_video_agree(name, tmp_path, tiny_model):
    truth = GOOD[name](tmp_path)
    run = run_track(truth.path, tiny_model, tmp_path / "run", fps=truth.fps)
    expected = decoded(truth.path, truth.fps)
    if not truth.damaged:
        assert len(expected) == truth.frame_count
    rows = defaultdict(list)
    for row in run.frames():
        rows[row.frame_index].append(row)
    assert [(index, row[0].time_s) for index, row in rows.items()] == [
        (index, pytest.approx(time_s, abs=2e-6)) for index, time_s in expected
    ]
    assert all([r.concept for r in row] == ["scratch", "dent"] for row in rows.values())
    assert video_times(run.path / "annotated.mp4") == [pytest.approx(time_s, abs=1.1e-3) for _, time_s in expected]
    assert run.manifest["done"]
    assert bool(run.manifest["gaps"]) == truth.damaged
    assert not list(run.path.glob("*.partial*"))
    for mask_row in run.tracks():
        mask = coco.decode({"size": list(truth.size_px[::-1]), "counts": mask_row.rle})
        assert mask.sum() == mask_row.area_px


@pytest.mark.parametrize("name", ["h264_open_gop", "vfr_mp4", "rotated_90", "image_folder"])
def test_each_map_belongs_to_its_frames(name, tmp_path, tiny_model, monkeypatch):
    """What the model was shown is read back by bar code and compared with the positions that its maps claim."""
    truth = GOOD[name](tmp_path)
    shown = {}
    original = first_pass.compute_window_maps

    def spy(plan, model, window, tiles=None):
        codes = [read_barcode(image) for image in window.frames[: window.real_frames]]
        shown[window.index] = window.begins_at, codes
        return original(plan, model, window, tiles)

    monkeypatch.setattr(first_pass, "compute_window_maps", spy)
    run = run_track(truth.path, tiny_model, tmp_path / "run", fps=truth.fps, window_frames=9, overlap_frames=5)
    for index, (begins_at, codes) in shown.items():
        maps = run_folder_maps(run, index)
        start = begins_at + int(maps.positions[0, 0])
        assert codes == list(range(start, start + maps.real_frames))
    for row in run.frames():
        # The first latent step of a part without holes covers one frame, later ones four.
        begins_at, codes = shown[row.origin.window_index]
        earlier = 1 - (-(begins_at - 1) // 4) if begins_at else 0
        assert row.origin.latent_index == earlier - (-(row.frame_index - begins_at) // 4)
        assert row.frame_index in codes


def run_folder_maps(run, index):
    from vidconcept.runs import RunFolder

    return RunFolder(run.path, run.manifest).load_maps(index)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_and_leaves_nothing(name, tmp_path, tiny_model):
    bad = BAD[name](tmp_path)
    with pytest.raises(VidconceptError) as caught:
        run_track(bad.path, tiny_model, tmp_path / "run", fps=bad.fps)
    assert caught.value.exit_code == bad.exit_code
    assert bad.words in str(caught.value).lower()
    assert len(str(caught.value).splitlines()) <= 2
    left = {p.name for p in (tmp_path / "run").glob("*")} if (tmp_path / "run").exists() else set()
    assert not left & {"annotated.mp4", "frames.csv", "tracks.csv", "events.csv", "masks.json", "review.html"}


class TestRanges:
    def test_start_end_keep_the_files_own_indices_and_times(self, tmp_path, tiny_model):
        truth = GOOD["vfr_mp4"](tmp_path)
        inside = [(i, t) for i, t in enumerate(truth.times_s) if 0.3 <= t < 1.0]
        run = run_track(truth.path, tiny_model, tmp_path / "run", start_s=0.3, end_s=1.0)
        rows = [(r.frame_index, r.time_s) for r in run.frames() if r.concept == "dent"]
        assert rows == [(i, pytest.approx(t, abs=1e-3)) for i, t in inside]
        assert len(video_times(run.path / "annotated.mp4")) == len(inside)

    @pytest.mark.parametrize("stride", [2, 5])
    def test_stride_marks_what_the_model_did_not_see(self, tmp_path, tiny_model, stride):
        truth = GOOD["h264"](tmp_path)
        run = run_track(truth.path, tiny_model, tmp_path / "run", stride=stride)
        rows = [r for r in run.frames() if r.concept == "dent"]
        assert [r.frame_index for r in rows] == list(range(truth.frame_count))
        assert [r.origin.interpolated for r in rows] == [i % stride != 0 for i in range(truth.frame_count)]
        assert len(video_times(run.path / "annotated.mp4")) == truth.frame_count

    def test_between_seen_frames_a_new_scene_begins_where_its_scores_do(self, tmp_path, tiny_model):
        rng = np.random.default_rng(0)
        scenes = [cv2.resize(rng.integers(0, 256, (12, 18, 3), np.uint8), (192, 128)) for _ in "ab"]
        path = tmp_path / "cut.mp4"
        with open_writer(path, VideoInfo(path, 192, 128, "h264", "", Fraction(1, 25), 25.0, None, None)) as video:
            for number in range(21):
                video.write(scenes[number >= 10], number)
        run = run_track(path, tiny_model, tmp_path / "run", stride=4, smooth="flow")
        # Frames 8 and 12 are seen; 10 is the first that takes its scores from 12.
        assert run.manifest["cuts"] == [10]

    def test_roi_keeps_masks_inside(self, tmp_path, tiny_model):
        truth = GOOD["h264"](tmp_path)
        run = run_track(truth.path, tiny_model, tmp_path / "run", roi=(40, 20, 96, 64))
        boxes = np.array([row.box_px for row in run.tracks()])
        assert len(boxes)
        assert boxes[:, :2].min(0).tolist() >= [40, 20]
        assert (boxes[:, 2:].max(0) <= [136, 84]).all()

    def test_tiles_cover_the_frame(self, tmp_path, tiny_model):
        truth = GOOD["five_frames"](tmp_path)
        run = run_track(truth.path, tiny_model, tmp_path / "run", tile=(2, 2))
        assert run.manifest["model"]["tiles"] == 4
        assert {row.frame_index for row in run.frames()} == set(range(5))

    @pytest.mark.parametrize("end_s", [None, 1.0, 1.97, 2.0, 60.0])
    def test_an_export_names_no_frame_that_the_video_does_not_have(self, tmp_path, tiny_model, end_s):
        """The clip has 50 frames, the last at 1.96 s; CVAT refuses a whole file for one frame too many."""
        truth = write_clip(tmp_path / "line.mp4", count=50)
        run = run_track(truth.path, tiny_model, tmp_path / "run", end_s=end_s)
        export(run.path, "cvat", tmp_path / "out.xml")
        root = ElementTree.parse(tmp_path / "out.xml").getroot()
        # What is alive at an earlier end is told that it ends there.
        assert int(root.findtext(".//stop_frame") or -1) == (25 if end_s == 1.0 else 49)
        named = [int(shape.get("frame", -1)) for track in root.iter("track") for shape in track]
        assert named
        assert max(named) <= 49

    def test_what_an_unfinished_decision_left_is_not_exported(self, tmp_path, tiny_model):
        truth = GOOD["five_frames"](tmp_path)
        run = run_track(truth.path, tiny_model, tmp_path / "run")
        path = run.path / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"done": False}))
        with pytest.raises(InputError, match=r"not finished.*`existing=resume`"):
            export(run.path, "coco", tmp_path / "out.json")
        assert not (tmp_path / "out.json").exists()
