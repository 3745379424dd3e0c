"""Scored frames of a clip against its truth: what is counted when not every frame is annotated."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.helpers.clips import image_folder
from tests.helpers.films import write_video
from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.pipelines.evaluate import evaluate, measure_frames, resize_truth
from vidconcept.pipelines.findings import FrameRef, ScoredFrame
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.workspace import Workspace
from vidconcept.types import Origin
from vidconcept.writers.reports.evaluation import list_event_rows

H, W, FRAMES = 64, 96, 12


@pytest.fixture
def plan(tmp_path, tiny_model):
    path = tmp_path / "line.mp4"
    write_video(path, np.random.default_rng(0).integers(90, 160, (FRAMES, H, W, 3), dtype=np.uint8))
    return make_plan(path, {"concepts": ("dent",), "model": str(tiny_model), "threshold": 0.3})


def quiet_frames(fps=25, names=("",) * FRAMES):
    """Scored frames in which nothing is found."""
    scores = np.full((1, H, W), 0.05, np.float32)
    still = np.zeros((8, 12, 2), np.float32)
    for k, name in enumerate(names):
        yield ScoredFrame(FrameRef(k, k, k / fps, name), Origin(-(-k // 4), 0), False, scores, still)


def test_a_few_annotated_frames_are_enough(plan):
    """Every fourth frame has a truth, none of them the first of a latent step; the defect is in view all the time."""
    mask = np.zeros((H, W), bool)
    mask[20:36, 40:60] = True
    scores = np.where(mask, 0.8, 0.05).astype(np.float32)[None]
    frames = [
        ScoredFrame(FrameRef(k, k, k / 25), Origin(-(-k // 4), 0), False, scores, np.zeros((8, 12, 2), np.float32))
        for k in range(FRAMES)
    ]
    truth = FrameTruth(mask[None], ("dent",), (1,))
    clip = Clip("line", plan.source, ("dent",), lambda index: truth if index in (2, 6) else None)
    figures = measure_frames(plan, clip, frames)
    assert figures.curves["dent"].positive.sum() == 2 * mask.sum()
    assert figures.curves["dent"].average_precision == pytest.approx(1)
    # 0.12 s are three frames, of which hardly one is annotated.
    assert (figures.events.objects, figures.events.found, figures.events.false_events) == (1, 1, 0)


def test_minutes_are_those_of_the_annotated_stretch(plan):
    """Three of twelve frames are annotated, one after the other: 0.12 s of footage, whatever the clip's length."""
    scores = np.full((1, H, W), 0.05, np.float32)
    scores[0, 20:36, 40:60] = 0.8
    frames = [
        ScoredFrame(FrameRef(k, k, k / 25), Origin(-(-k // 4), 0), False, scores, np.zeros((8, 12, 2), np.float32))
        for k in range(FRAMES)
    ]
    nothing = FrameTruth(np.zeros((0, H, W), bool), (), ())
    clip = Clip("line", plan.source, ("dent",), lambda index: nothing if index in (4, 5, 6) else None)
    figures = measure_frames(plan, clip, frames)
    events = figures.events.figures()
    assert (events["frames_with_truth"], events["frames"]) == (3, FRAMES)
    assert events["minutes"] == pytest.approx(0.12 / 60)
    assert events["false_alarms_per_minute"] == pytest.approx(60 / 0.12)
    rows = dict(list_event_rows({"events": events}))
    assert rows["frames with truth"] == f"3 of {FRAMES}, 0.1 s of footage"


def test_truth_of_the_first_and_last_frame_makes_the_footage_no_longer(plan):
    nothing = FrameTruth(np.zeros((0, H, W), bool), (), ())
    clip = Clip("line", plan.source, (), lambda index: nothing if index in (0, FRAMES - 1) else None)
    assert measure_frames(plan, clip, quiet_frames()).events.minutes == pytest.approx(FRAMES / 25 / 60)


@pytest.mark.parametrize(("shown", "minutes"), [((), FRAMES / 25 / 60), ((3,), 0)])
def test_a_clip_is_good_where_no_frame_shows_a_defect(plan, shown, minutes):
    """Whatever it might show: all clips of a line may share one list of objects."""
    there = np.ones((1, H, W), bool)
    clip = Clip(
        "line", plan.source, ("dent",), lambda index: FrameTruth(there if index in shown else ~there, ("dent",), (1,))
    )
    assert measure_frames(plan, clip, quiet_frames()).good.minutes == pytest.approx(minutes)


def test_a_clip_with_ignored_pixels_is_no_good_footage(plan):
    unknown = np.zeros((H, W), bool)
    unknown[20:36, 40:60] = True
    for ignore, minutes in ((unknown, 0), (unknown & False, FRAMES / 25 / 60)):
        truth = FrameTruth(np.zeros((0, H, W), bool), (), (), ignore)
        clip = Clip("line", plan.source, (), lambda index, truth=truth: truth)
        assert measure_frames(plan, clip, quiet_frames()).good.minutes == pytest.approx(minutes)


@pytest.mark.parametrize(
    ("annotated", "shown", "objects"),
    [
        (range(12), (3, 4), 0),
        (range(5), (3, 4), 0),
        (range(5), (2, 3, 4), 1),
        (range(0, 12, 3), (6,), 1),
        # Nobody knows how long it is in view.
        (range(2), (0, 1), 1),
        (range(2), (1,), 0),
    ],
)
def test_a_defect_that_is_in_view_for_less_than_an_event_is_not_missed(plan, annotated, shown, objects):
    """An event lasts 0.12 s, which are three frames."""
    there = np.ones((1, H, W), bool)
    truths = {k: FrameTruth(there if k in shown else ~there, ("dent",), (1,)) for k in annotated}
    clip = Clip("line", plan.source, ("dent",), truths.get)
    assert measure_frames(plan, clip, quiet_frames()).events.objects == objects


@pytest.mark.parametrize(("fps", "frames"), [(10, 2), (20, 3), (24, 3), (25, 3), (50, 6), (60, 8)])
def test_a_defect_counts_from_as_many_frames_on_as_an_event_has(plan, fps, frames):
    """An event lasts 0.12 s, less what timestamps are rounded by."""
    there = np.ones((1, H, W), bool)

    def count(shown):
        clip = Clip("line", plan.source, ("dent",), lambda k: FrameTruth(there & (k < shown), ("dent",), (1,)))
        return measure_frames(plan, clip, quiet_frames(fps)).events.objects

    assert (count(frames - 1), count(frames)) == (0, 1)


def test_truth_goes_by_the_name_of_the_picture(plan):
    """The second of three pictures could not be read, so the third is frame 1."""
    nothing = FrameTruth(np.zeros((0, H, W), bool), (), ())
    places = {"a.png": 0, "b.png": 1, "c.png": 2}
    clip = Clip("line", plan.source, ("dent",), lambda k: nothing if k == 2 else None, places=places)
    figures = measure_frames(plan, clip, quiet_frames(names=("a.png", "c.png")))
    assert (figures.events.frames_with_truth, figures.events.frames) == (1, 2)
    assert figures.curves["dent"].negative.sum() == H * W


class TestShape:
    """Of the film: 96x64 pixels."""

    def resize(self, plan, height, width):
        truth = FrameTruth(np.ones((1, height, width), bool), ("dent",), (1,))
        return resize_truth(truth, plan, (H, W)).masks.shape

    def test_truth_of_another_shape_is_refused(self, plan):
        with pytest.raises(InputError, match=r"truth is 64x96, its pictures are 96x64\. Next: "):
            self.resize(plan, W, H)
        turned = replace(plan, info=replace(plan.info, rotation_deg=90))
        with pytest.raises(InputError, match="96x64, turned by 90 degrees"):
            self.resize(turned, W, H)

    @pytest.mark.parametrize("size", [(32, 48), (640, 960), (7, 10)])
    def test_truth_of_another_size_is_scaled(self, plan, size):
        assert self.resize(plan, *size) == (1, H, W)

    def test_pixels_that_are_not_square_may_be_drawn_as_they_are_stored_or_shown(self, plan):
        wide = replace(plan, info=replace(plan.info, pixel_aspect=Fraction(4, 3)))
        for size in ((64, 96), (64, 128)):
            assert self.resize(wide, *size) == (1, H, W)
        with pytest.raises(InputError, match="its truth is 72x64"):
            self.resize(wide, 64, 72)


def test_truth_after_the_end_of_the_film_is_refused(plan, tmp_path):
    settings = {"concepts": ("dent",), "model": plan.settings.model}
    clip = Clip("line", plan.source, ("dent",), lambda index: None, last_annotated=FRAMES - 1)
    assert Workspace(tmp_path).plan_clip(clip, settings).info == plan.info
    with pytest.raises(InputError, match="has 12 frames, and truth of frame 12"):
        Workspace(tmp_path).plan_clip(replace(clip, last_annotated=FRAMES), settings)


def test_a_data_set_without_any_truth_is_refused(plan, tmp_path):
    settings = {"concepts": ("dent",), "model": plan.settings.model}
    data = Dataset("line", "clips", (Clip("line", plan.source, ("dent",), lambda index: None),))
    with pytest.raises(InputError, match=r"line: none of the 12 frames that were read has a truth\. Next: "):
        evaluate(data, settings, Workspace(tmp_path / "work"))


def test_the_rate_of_a_data_set_of_pictures_is_what_was_asked_for(plan, tmp_path, monkeypatch):
    settings, config = {"concepts": ("dent",), "model": plan.settings.model}, tmp_path / "a.toml"
    config.write_text("fps = 12.5\n")
    pictures = image_folder(tmp_path / "images").path
    clip = Clip("line", pictures, ("dent",), lambda index: None, fps=6)
    workspace = Workspace(tmp_path / "work")
    assert workspace.plan_clip(clip, settings).rate_fps == pytest.approx(6)
    assert workspace.plan_clip(clip, {**settings, "fps": 25}).rate_fps == pytest.approx(25)
    assert replace(workspace, config=config).plan_clip(clip, settings).rate_fps == pytest.approx(12.5)
    monkeypatch.setenv("VIDCONCEPT_FPS", "50")
    assert workspace.plan_clip(clip, settings).rate_fps == pytest.approx(50)


@pytest.mark.parametrize("row", [301, 302])
def test_a_thin_scratch_counts_wherever_it_lies(row, tmp_path, tiny_model):
    """720 rows are decided on 384: between two of those lies a line of one pixel."""
    path = tmp_path / "large.mp4"
    write_video(path, np.full((FRAMES, 720, 1280, 3), 120, np.uint8))
    plan = make_plan(path, {"concepts": ("scratch",), "model": str(tiny_model), "smooth": "flow", "threshold": 0.3})
    height, width = plan.work_size_px
    assert height < 720
    mask = np.zeros((720, 1280), bool)
    mask[row, 300:600] = True
    scores = np.full((1, height, width), 0.05, np.float32)
    at = row * height // 720
    scores[0, at - 1 : at + 2, 300 * width // 1280 : 600 * width // 1280] = 0.8
    still = np.zeros((height // 8, width // 8, 2), np.float32)
    frames = [ScoredFrame(FrameRef(k, k, k / 25), Origin(-(-k // 4), 0), False, scores, still) for k in range(FRAMES)]
    truth = FrameTruth(mask[None], ("scratch",), (1,))
    clip = Clip("large", path, ("scratch",), lambda index: truth)
    figures = measure_frames(plan, clip, frames)
    assert figures.curves["scratch"].positive.sum() > 0
    assert (figures.events.objects, figures.events.found, figures.events.false_events) == (1, 1, 0)
    # A mask that is as wide as the scores is several times as large as a line of one pixel.
    assert figures.area_ratios["scratch"][0] > 2
