"""Identity: one defect keeps one id, whatever the masks do for a moment."""

import numpy as np
import pytest

from tests.helpers.linking import FRAME_S, GRID, Scene, ids
from vidconcept.errors import UsageError
from vidconcept.live.events import EventWatch
from vidconcept.pipelines.waiting import FrameRef
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.tracks.rle import decode
from vidconcept.types import Origin, Region


class TestIdentity:
    def test_a_small_fast_defect_keeps_its_id_by_flow(self) -> None:
        # 3 px wide, 9 px a frame: consecutive masks never overlap.
        scene = Scene(reach_frac=0.0, min_area_px=1)
        seen = [ids(scene.step((140 - 9 * i, 40, 3, 3), flow_x=-9.0)) for i in range(15)]
        assert seen == [[1]] * 15

    def test_motion_alone_links_where_flow_is_blind(self) -> None:
        scene = Scene()
        seen = [ids(scene.step((10 + 6 * i, 40, 12, 12), flow_x=0.0)) for i in range(15)]
        assert seen == [[1]] * 15

    def test_two_defects_that_move_side_by_side_do_not_swap(self) -> None:
        scene = Scene(merge_frac=0.0)
        rows = [scene.step((130 - 8 * i, 30, 10, 8), (130 - 8 * i, 44, 10, 8), flow_x=-8.0) for i in range(15)]
        upper = {row.tracker_id for frame in rows for row in frame if row.box_px[1] == 30}
        lower = {row.tracker_id for frame in rows for row in frame if row.box_px[1] == 44}
        assert (len(upper), len(lower)) == (1, 1)
        assert upper != lower

    def test_neighbours_in_a_row_keep_their_ids(self) -> None:
        # Each one's next place is where the other one stands now: overlap without motion would hand the ids on.
        scene = Scene(merge_frac=0.0)
        first = {row.tracker_id: row.box_px[0] for row in scene.step((120, 40, 6, 6), (130, 40, 6, 6))}
        for i in range(1, 10):
            rows = scene.step((120 - 10 * i, 40, 6, 6), (130 - 10 * i, 40, 6, 6), flow_x=-10.0)
            assert {row.tracker_id: row.box_px[0] + 10 * i for row in rows} == first

    def test_concepts_have_identities_of_their_own(self) -> None:
        scene = Scene(concepts=2)
        first = scene.step((20, 20, 20, 20), concept=0)
        second = scene.step((20, 20, 20, 20), concept=1)
        assert first[0].tracker_id != second[0].tracker_id
        assert (first[0].class_id, second[0].class_id) == (0, 1)


class TestGaps:
    def test_a_short_occlusion_is_bridged(self) -> None:
        scene = Scene(max_gap_s=0.4)
        for i in range(8):
            scene.step((20 + 4 * i, 40, 12, 12), flow_x=4.0)
        for _ in range(8):
            scene.step(flow_x=0.0)  # the occluder stands still
        assert ids(scene.step((20 + 4 * 16, 40, 12, 12), flow_x=4.0)) == [1]

    def test_confidence_forgets_while_a_track_is_out_of_sight(self) -> None:
        masks = np.zeros((1, *GRID), bool)
        masks[0, 40:60, 40:60] = True
        linker, rows = Scene().linker, []
        for i, score in enumerate([0.9, 0.9, None, None, None, None, 0.5]):
            seen = masks & (score is not None)
            rows += linker.step(FrameRef(i, i, i * FRAME_S), seen, seen * np.float32(score or 0.0), None, Origin(0, 0))
        # Five frames of 0.04 s since it was seen, time constant 0.2 s.
        assert rows[-1].confidence == pytest.approx(0.5 + 0.4 * np.exp(-1), abs=1e-6)

    @pytest.mark.parametrize(("frame_s", "longest"), [(0.04, 10), (0.1, 4), (1 / 15, 6)])
    @pytest.mark.parametrize("begins_at", range(0, 40, 3))
    def test_the_longest_one_does_not_hang_on_the_rounding_of_times(self, frame_s, longest, begins_at) -> None:
        for unseen, found in ((longest, [1]), (longest + 1, [2])):
            scene = Scene(frame_s=frame_s, max_gap_s=0.4)
            for _ in range(begins_at):
                scene.step()
            scene.step((60, 40, 12, 12), flow_x=0.0)
            for _ in range(unseen):
                scene.step(flow_x=0.0)
            assert ids(scene.step((60, 40, 12, 12), flow_x=0.0)) == found

    def test_a_long_one_is_not(self) -> None:
        scene = Scene(max_gap_s=0.2)
        for _ in range(5):
            scene.step((60, 40, 12, 12), flow_x=0.0)
        for _ in range(8):
            scene.step(flow_x=0.0)
        assert ids(scene.step((60, 40, 12, 12), flow_x=0.0)) == [2]

    def test_nothing_outlives_a_scene_cut(self) -> None:
        scene = Scene()
        scene.step((60, 40, 12, 12))
        assert ids(scene.step((60, 40, 12, 12), reset=True)) == [2]

    def test_what_left_the_picture_does_not_come_back_as_what_enters(self) -> None:
        scene = Scene()
        for i in range(6):
            scene.step((20 - 8 * i, 40, 20, 12), flow_x=-8.0)
        assert ids(scene.step((140, 40, 20, 12), flow_x=-8.0)) == [2]

    def test_unless_one_part_is_one_defect(self) -> None:
        scene = Scene(reentry_s=0.5)
        for i in range(6):
            scene.step((20 - 8 * i, 40, 20, 12), flow_x=-8.0)
        assert ids(scene.step((140, 40, 20, 12), flow_x=-8.0)) == [1]


class TestMergeAndSplit:
    def test_near_fragments_are_one_defect(self) -> None:
        rows = Scene().step((20, 40, 10, 4), (33, 40, 10, 4))
        assert len(rows) == 1
        assert rows[0].box_px == (20, 40, 43, 44)
        assert rows[0].area_px == 80

    def test_far_ones_are_two(self) -> None:
        assert len(Scene().step((20, 40, 10, 4), (60, 40, 10, 4))) == 2

    def test_a_piece_that_breaks_off_stays_while_it_is_near(self) -> None:
        scene = Scene()
        scene.step((20, 40, 60, 6), flow_x=0.0)
        # The gap of 11 px is more than fragments may have, and less than twice that.
        rows = scene.step((20, 40, 30, 6), (61, 40, 19, 6), flow_x=0.0)
        assert ids(rows) == [1]
        assert rows[0].area_px == 30 * 6 + 19 * 6

    def test_a_piece_that_breaks_off_far_away_is_a_new_defect(self) -> None:
        scene = Scene()
        scene.step((20, 40, 100, 6), flow_x=0.0)
        rows = scene.step((20, 40, 40, 6), (90, 40, 30, 6), flow_x=0.0)
        assert ids(rows) == [1, 2]

    def test_two_that_touch_for_a_moment_part_with_the_ids_they_had(self) -> None:
        scene = Scene(merge_frac=0.0)
        for i in range(6):
            before = scene.step((20 + 4 * i, 40, 14, 14), (90 - 4 * i, 40, 14, 14))
        for i in range(6, 10):
            scene.step((20 + 4 * i, 40, 14, 14), (90 - 4 * i, 40, 14, 14))
        for i in range(10, 16):
            after = scene.step((20 + 4 * i, 40, 14, 14), (90 - 4 * i, 40, 14, 14))
        assert len(before) == len(after) == 2
        assert set(ids(before)) == set(ids(after))


class TestWhatCounts:
    def test_small_masks_and_short_tracks_are_noise(self) -> None:
        scene = Scene(min_area_px=30, min_duration_s=0.12)
        scene.step((10, 10, 5, 5), (60, 60, 8, 8))  # 25 px; 64 px for one frame
        for _ in range(5):
            scene.step((100, 20, 8, 8), flow_x=0.0)
        events = scene.events()
        assert [(e.event_id, e.tracker_id, e.start_frame, e.end_frame) for e in events] == [(1, 1, 1, 5)]

    def test_a_track_is_an_event_from_its_first_mask_where_it_reaches_the_threshold_for_a_quarter_of_it(self) -> None:
        scene = Scene()
        for i in range(9):
            scene.step(*([(60, 40, 8, 8)] if 2 <= i < 8 else []), reaches=i in (4, 6))
        assert [(e.start_frame, e.end_frame) for e in scene.events()] == [(2, 7)]

    @pytest.mark.parametrize(
        ("frames", "reaching", "events"), [(40, 7, 0), (40, 8, 1), (12, 2, 0), (12, 3, 1), (4, 1, 1)]
    )
    def test_a_moment_above_the_threshold_makes_no_event(self, frames: int, reaching: int, events: int) -> None:
        # At 25 frames a second 0.3 s are eight frames; of a short track a quarter is enough.
        scene = Scene()
        for i in range(frames):
            scene.step((60, 40, 8, 8), reaches=i < reaching)
        assert len(scene.events()) == events

    def test_a_track_that_never_reaches_the_threshold_is_none(self) -> None:
        scene = Scene()
        for i in range(20):
            scene.step(*([(60, 40, 8, 8)] if i < 9 else []), reaches=False)
        assert not scene.linker._summaries  # forgotten once it is dead
        assert scene.linker.finish() == ([], {})

    def test_its_peak_is_among_the_frames_that_reach_it(self) -> None:
        # Where scores are lowered at some places before they are judged, a higher one may not reach the threshold.
        scene, mask = Scene(), np.zeros((1, *GRID), bool)
        mask[0, 40:48, 60:68] = True
        for i, score in enumerate((0.95, 0.9, 0.82, 0.85, 0.9)):
            ref = FrameRef(i, i, i * FRAME_S)
            scene.linker.step(ref, mask, mask * np.float32(score), None, Origin(0, 0), reaches=mask & (i in (2, 3)))
        assert [(e.start_frame, e.peak_frame, e.end_frame) for e in scene.events()] == [(0, 3, 4)]

    def test_of_equal_peaks_the_first_one_stays(self) -> None:
        scene = Scene()
        for i in range(8):
            scene.step((60, 40, 8, 8), reaches=i > 2)
        assert [(e.start_frame, e.peak_frame) for e in scene.events()] == [(0, 3)]

    def test_exactly_the_least_duration_is_enough(self) -> None:
        scene = Scene(min_duration_s=0.12)
        for i in range(9):
            scene.step(*([(60, 40, 8, 8)] if 3 <= i < 6 else []))
        assert len(scene.events()) == 1

    def test_one_repaired_stamp_does_not_make_frames_shorter(self) -> None:
        scene, mask = Scene(min_duration_s=0.12), np.zeros((1, *GRID), bool)
        mask[0, 40:48, 60:68] = True
        # A repeated stamp is put half a step after its predecessor.
        for i, time_s in enumerate(
            [*(k * FRAME_S for k in range(9)), 8.5 * FRAME_S, *(k * FRAME_S for k in range(9, 20))]
        ):
            seen = mask & (3 <= i < 6)
            scene.linker.step(FrameRef(i, i, time_s), seen, seen * np.float32(0.8), None, Origin(0, 0))
        assert len(scene.events()) == 1

    @pytest.mark.parametrize(("frame_s", "seen"), [(0.04, 2), (0.1, 1)])
    def test_one_frame_less_than_the_least_duration_is_not(self, frame_s: float, seen: int) -> None:
        scene = Scene(frame_s=frame_s, min_duration_s=0.12)
        for i in range(9):
            scene.step(*([(60, 40, 8, 8)] if 3 <= i < 3 + seen else []))
        assert not scene.events()

    def test_a_video_of_one_frame_has_events(self) -> None:
        scene = Scene(min_duration_s=0.5)
        scene.step((60, 40, 8, 8))
        assert len(scene.events()) == 1

    def test_final_ids_follow_the_start(self) -> None:
        scene = Scene(min_duration_s=0.08)
        scene.step((5, 5, 6, 6))  # dropped: one frame
        for i in range(6):
            scene.step((60, 40, 8, 8), *([(120, 80, 8, 8)] if i > 2 else []))
        events, final = scene.linker.finish()
        assert [e.start_frame for e in events] == sorted(e.start_frame for e in events)
        assert sorted(final.values()) == [1, 2]

    def test_a_frame_without_masks_has_no_rows(self) -> None:
        assert Scene().step() == []

    def test_wrong_settings_are_named(self) -> None:
        with pytest.raises(UsageError, match="max_gap_s must be 0 or more, got -1"):
            LinkSettings(16, 0.12, max_gap_s=-1)


class TestSourcePixels:
    def test_the_grid_covers_its_region(self) -> None:
        linker = Linker(["x"], Region(40, 20, 320, 200), (400, 240), LinkSettings(16, 0.12))
        mask = np.zeros((1, *GRID), bool)
        mask[0, 30:50, 80:100] = True
        row = linker.step(FrameRef(0, 0, 0.0), mask, mask * np.float32(0.9), None, Origin(3, 2))[0]
        assert row.box_px == (40 + 160, 20 + 60, 40 + 200, 20 + 100)
        decoded = decode(row.rle, (400, 240))
        assert decoded.sum() == row.area_px
        assert abs(row.area_px - 40 * 40) <= 4  # rounded corners
        assert decoded[20 + 80, 40 + 180]
        assert (row.origin.latent_index, row.origin.window_index) == (3, 2)

    def test_a_mask_at_the_border_reaches_the_border(self) -> None:
        linker = Linker(["x"], Region(0, 0, 320, 200), (320, 200), LinkSettings(16, 0.12))
        mask = np.zeros((1, *GRID), bool)
        mask[0, :10, -8:] = True
        row = linker.step(FrameRef(0, 0, 0.0), mask, mask * np.float32(0.9), None, Origin(0, 0))[0]
        assert row.box_px == (304, 0, 320, 20)

    def test_confidence_is_calm_and_a_share(self) -> None:
        scene = Scene()
        masks = np.zeros((1, *GRID), bool)
        masks[0, 40:60, 40:60] = True
        confidences = []
        for i in range(20):
            scores = masks * np.float32(0.9 if i % 2 else 0.5)
            rows = scene.linker.step(FrameRef(i, i, i * FRAME_S), masks, scores, None, Origin(0, 0))
            confidences += [row.confidence for row in rows]
        assert all(0 <= value <= 1 for value in confidences)
        assert np.abs(np.diff(confidences[5:])).max() < 0.1  # the score itself jumps by 0.4

    def test_masks_of_one_concept_share_no_pixel(self) -> None:
        linker = Linker(["x"], Region(0, 0, 397, 251), (397, 251), LinkSettings(1, 0.12, merge_frac=0.0))
        mask = np.random.default_rng(0).random((1, *GRID)) > 0.8
        rows = linker.step(FrameRef(0, 0, 0.0), mask, mask * np.float32(0.9), None, Origin(0, 0))
        total = sum(decode(row.rle, (397, 251)).astype(int) for row in rows)
        assert len(rows) > 50
        assert np.max(total) == 1


@pytest.mark.parametrize("reset", [True, False])
def test_memory_is_bounded_by_living_tracks_and_events(reset: bool) -> None:
    scene = Scene(min_duration_s=0.12, max_gap_s=0.2)
    for i in range(300):  # noise: somewhere else on every frame
        scene.step(((i * 37) % 150, (i * 61) % 90, 6, 6), reset=reset)
    assert sum(len(live) for live in scene.linker._live) < 10
    assert len(scene.linker._summaries) < 20


class TestHold:
    """A track is an event where it reaches the threshold for 0.3 s or a quarter of its time, by the times of frames."""

    @staticmethod
    def count_events(steps_s: list[float], shown: range, reaching: range) -> int:
        scene = Scene()
        for number, time_s in enumerate(np.cumsum([0.0, *steps_s])):
            scene.frames, scene.frame_s = 1, float(time_s)
            boxes = [(60, 40, 12, 12)] if number in shown else []
            scene.step(*boxes, flow_x=0.0, reaches=number in reaching)
        return len(scene.events())

    @pytest.mark.parametrize(("reached", "events"), [(2, 0), (3, 1), (6, 1)])
    def test_slow_frames_among_fast_ones_count_for_long(self, reached, events) -> None:
        steps_s = [0.02] * 100 + [0.1] * 40
        assert self.count_events(steps_s, range(110, 130), range(112, 112 + reached)) == events

    @pytest.mark.parametrize(("reached", "events"), [(3, 0), (13, 0), (15, 1)])
    def test_fast_frames_among_slow_ones_do_not(self, reached, events) -> None:
        steps_s = [0.1] * 120 + [0.02] * 100
        assert self.count_events(steps_s, range(125, 205), range(130, 130 + reached)) == events

    @pytest.mark.parametrize("goes_on", [0, 25])
    @pytest.mark.parametrize("frames", [5, 8, 12, 16, 20, 24, 28])
    def test_a_quarter_is_enough_whether_or_not_the_video_goes_on(self, frames, goes_on) -> None:
        steps_s = [FRAME_S] * (20 + frames + goes_on - 1)
        assert self.count_events(steps_s, range(20, 20 + frames), range(20, 20 + -(-frames // 4))) == 1

    def test_what_lasts_long_enough_by_the_frames_that_follow_is_kept(self) -> None:
        # Five frames of 0.02 s are no 0.12 s; most frames are longer in the end.
        assert self.count_events([0.02] * 40 + [0.04] * 100, range(5, 10), range(5, 10)) == 1

    @pytest.mark.parametrize("forgets", [True, False])
    def test_what_began_ends_where_the_rate_changes(self, forgets) -> None:
        scene = Scene()
        watch, told = EventWatch(scene.linker, forgets=forgets), []
        times_s = np.cumsum([0.0] + [0.1] * 6 + [1 / 30] * 150)
        for number, time_s in enumerate(times_s):
            scene.frames, scene.frame_s = 1, float(time_s)
            scene.step(*([(60, 40, 12, 12)] if number < 70 else []), flow_x=0.0, reaches=number < 4)
            told += watch.look()
        assert [each.state for each in told] == ["began", "ended"]
        assert len(scene.events()) == (0 if forgets else 1)
