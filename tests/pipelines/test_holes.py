"""A hole in time cuts windows, flow and tracks, and is said."""

import base64

import cv2
import numpy as np
import pytest

from tests.helpers.clips import glue, paint, write_clip
from tests.helpers.reading import read
from tests.helpers.small_runs import small_run
from vidconcept.holes import hole_length_s
from vidconcept.manifest import read_run
from vidconcept.pipelines.describe import remember_motion
from vidconcept.pipelines.maps import cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.rarity.memory import Memory
from vidconcept.writers.review.data import collect_review_data

# Twenty frames, ten minutes of nothing, twenty frames.
WITH_HOLE_MS = [*range(0, 800, 40), *range(600_000, 600_800, 40)]


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clips") / "gap.mkv", count=40, stamps_ms=WITH_HOLE_MS).path


@pytest.fixture(scope="module")
def small(tiny_model):
    return {"concepts": ("dent",), "model": str(tiny_model), "window_frames": 13, "overlap_frames": 5}


@pytest.fixture(scope="module")
def run(broken_off, small, tmp_path_factory):
    warnings = []
    # The floor under every threshold: noise makes tracks that last.
    low = {"threshold": 0.02, "floor": 0.01, "hysteresis": 1.0, "min_area_px": 1}
    run = track(
        broken_off, out=tmp_path_factory.mktemp("runs") / "run", monitor=Monitor(warn=warnings.append), **small | low
    )
    return run, warnings


class TestRun:
    def test_no_window_spans_the_hole(self, broken_off, small):
        windows = list(cut_source_windows(make_plan(broken_off, small), Monitor()))
        assert [(w.index, w.begins_at, w.start) for w in windows] == [
            *((0, 0, 0), (1, 0, 8)),
            *((2, 20, 0), (3, 20, 8)),
        ]
        assert [w.real_frames for w in windows] == [13, 12, 13, 12]

    def test_no_track_lives_across_it(self, run):
        finished, _ = run
        assert finished.events
        assert max(event.end_s - event.start_s for event in finished.events) < 1
        assert {event.start_s > 500 for event in finished.events} == {False, True}

    def test_it_is_listed_and_said(self, run):
        finished, warnings = run
        assert 20 in finished.manifest["cuts"]
        (remark,) = [r for r in finished.manifest["remarks"] if r["about"] == "holes"]
        assert "599.240 s after 0.760 s" in remark["message"]
        assert any(remark["message"] in line for line in warnings)

    def test_every_frame_has_its_row_and_rising_latent_steps(self, run):
        finished, _ = run
        rows = list(finished.frames())
        assert [row.frame_index for row in rows] == list(range(40))
        latents = [row.origin.latent_index for row in rows]
        assert latents == sorted(latents)
        assert latents[20] == latents[19] + 1

    def test_what_is_remembered_counts_the_frames_that_no_window_has(self, broken_off):
        few = {"concepts": ("dent",), "window_frames": 5, "overlap_frames": 1, "looks": 1}
        memory, ends = Memory(), {}
        for window in cut_source_windows(make_plan(broken_off, few), Monitor()):
            remember_motion(memory, window)
            ends[window.begins_at] = window.start + window.real_frames
        assert ends[0] < 20, "or there is nothing to count"
        assert [position for _, position, _ in memory.parts] == [0, 20]

    def test_the_stride_counts_anew(self, broken_off, small, tmp_path):
        finished = track(broken_off, out=tmp_path / "run", **small, stride=3)
        seen = [row.frame_index for row in finished.frames() if not row.origin.interpolated]
        assert seen == [*range(0, 20, 3), *range(20, 40, 3)]


def test_a_recording_that_was_glued_on_is_a_cut(small, tmp_path):
    low = {"threshold": 0.02, "floor": 0.01, "hysteresis": 1.0, "min_area_px": 1}
    finished = track(glue(tmp_path, 50, 20), out=tmp_path / "run", **small | low)
    assert finished.manifest["cuts"] == [20]
    assert finished.manifest["video"]["rate_fps"] == 25
    remarks = {remark["about"]: remark["message"] for remark in finished.manifest["remarks"]}
    assert "nothing is followed across" in remarks["timestamps"]
    assert not {"holes", "rate"} & set(remarks)
    assert [row.time_s for row in finished.frames()] == pytest.approx(np.arange(40) / 25)
    assert all((event.start_s < 0.79) == (event.end_s < 0.79) for event in finished.events)


@pytest.mark.parametrize(
    ("usual_s", "is_hole", "is_none"), [(0.04, 0.24, 0.2), (1.0, 6, 5), (0.001, 0.026, 0.02), (1 / 30, 0.21, 0.2)]
)
def test_more_than_a_few_frame_times_is_a_hole(usual_s, is_hole, is_none):
    assert is_none <= hole_length_s(usual_s) < is_hole


def images(folder, names):
    folder.mkdir()
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), paint(number)[:, :, ::-1])
    return folder


class TestNumbers:
    def run(self, folder, small, tmp_path):
        return track(folder, out=tmp_path / "run", **small, fps=25)

    def test_a_missing_number_leaves_its_time_empty(self, small, tmp_path):
        folder = images(tmp_path / "lot", [f"img{n}.png" for n in range(1, 13) if n != 7])
        finished = self.run(folder, small, tmp_path)
        times = [row.time_s for row in finished.frames()]
        assert times == pytest.approx([(n - 1) / 25 for n in range(1, 13) if n != 7])
        (remark,) = finished.manifest["remarks"]
        assert remark["message"].startswith("1 number is missing among the names (7)")

    def test_many_missing_numbers_are_a_hole(self, small, tmp_path):
        folder = images(tmp_path / "lot", [f"img{n:04d}.png" for n in (*range(10), *range(50, 60))])
        finished = self.run(folder, small, tmp_path)
        assert 10 in finished.manifest["cuts"]
        about = {remark["about"] for remark in finished.manifest["remarks"]}
        assert about == {"missing images", "holes"}

    def test_every_fifth_number_is_no_hole(self, small, tmp_path):
        folder = images(tmp_path / "lot", [f"img_{n}.png" for n in range(0, 60, 5)])
        finished = self.run(folder, small, tmp_path)
        assert [row.time_s for row in finished.frames()] == pytest.approx([n / 25 for n in range(12)])
        assert finished.manifest["remarks"] == []

    def test_times_of_day_in_names_are_an_order_only(self, small, tmp_path):
        folder = images(tmp_path / "lot", [f"cam_{n}.png" for n in (101500, 101507, 101512, 101601, 102259)])
        assert [row.time_s for row in self.run(folder, small, tmp_path).frames()] == pytest.approx(np.arange(5) / 25)

    def test_a_copy_is_left_out_and_said(self, small, tmp_path):
        folder = images(tmp_path / "lot", [f"IMG{n}.png" for n in range(1, 7)])
        (folder / "IMG3(1).png").write_bytes((folder / "IMG3.png").read_bytes())
        finished = self.run(folder, small, tmp_path)
        assert finished.manifest["frames"] == 6
        (remark,) = finished.manifest["remarks"]
        assert "IMG3(1).png of IMG3.png" in remark["message"]

    def test_another_picture_that_is_named_as_a_copy_stays_and_is_said(self, small, tmp_path):
        folder = images(tmp_path / "lot", ["IMG1.png", "IMG2.png", "IMG3.png", "IMG3(1).png", "IMG4.png", "IMG5.png"])
        finished = self.run(folder, small, tmp_path)
        assert finished.manifest["frames"] == 6
        (remark,) = finished.manifest["remarks"]
        assert "IMG3(1).png" in remark["message"]


def test_years_are_in_the_tables_and_not_in_the_film(tiny_model, tmp_path):
    years_ms = 3 * 365 * 86_400_000
    stamps = [*range(0, 200, 40), *range(years_ms, years_ms + 200, 40)]
    clip = write_clip(tmp_path / "clock.mkv", count=10, stamps_ms=stamps, size_px=(96, 64)).path
    finished = small_run(clip, tiny_model, tmp_path / "run")
    assert [row.time_s for row in finished.frames()][::2] == pytest.approx([stamp / 1000 for stamp in stamps])
    film = read(finished.path / "annotated.mp4")
    assert np.diff([frame.time_s for frame in film]) == pytest.approx([*[0.04] * 4, 1, *[0.04] * 4], abs=2e-3)
    (remark,) = [remark for remark in finished.manifest["remarks"] if remark["about"] == "film"]
    assert "before its picture 5" in remark["message"]
    page = collect_review_data(finished.path, read_run(finished.path))
    ticks = np.frombuffer(base64.b64decode(page["times"]["base64"]), "<u4")
    assert ticks * page["times"]["tick_s"] == pytest.approx([frame.time_s for frame in film], abs=2e-3)
    ((position, skipped_s),) = page["times"]["skips"]
    assert (position, ticks[5] * page["times"]["tick_s"] + skipped_s) == (5, pytest.approx(years_ms / 1000))
