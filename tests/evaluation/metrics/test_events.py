"""What a line cares about: defects found, events that are false; and the intervals around them."""

from dataclasses import replace

import numpy as np
import pytest

from vidconcept.evaluation.datasets.dataset import FrameTruth
from vidconcept.evaluation.metrics.events import EventCounts, EventLedger, Found
from vidconcept.evaluation.metrics.figures import Figures, MaskPass
from vidconcept.evaluation.statistics import exposure_for_bound, poisson_interval, predicted_count, share_interval
from vidconcept.tracks.events import measure_footage_s

SHAPE = (60, 80)


def at(y, x):
    mask = np.zeros(SHAPE, bool)
    mask[y : y + 6, x : x + 6] = True
    return mask


def truth(*objects):
    masks = [at(*place) for _, _, place in objects]
    return FrameTruth(
        np.stack(masks) if masks else np.zeros((0, *SHAPE), bool),
        tuple(word for word, _, _ in objects),
        tuple(number for _, number, _ in objects),
    )


class TestLedger:
    def test_found_missed_and_false(self):
        ledger = EventLedger()
        for _ in range(4):
            found = [Found(1, "scratch", at(10, 10)), Found(2, "dent", at(40, 60))]
            ledger.add(found, truth(("scratch", 7, (11, 12)), ("scratch", 8, (10, 50))))
        counts = ledger.counts(["scratch", "dent"], minutes=0.5)
        assert counts == EventCounts(
            events=2, false_events=1, objects=2, found=1, found_as_any=1, minutes=0.5, located=1
        )
        assert counts.figures()["false_alarms_per_minute"] == 2.0

    def test_the_wrong_name_is_found_only_as_any(self):
        ledger = EventLedger()
        ledger.add([Found(1, "dent", at(10, 10))], truth(("scratch", 7, (10, 10))))
        counts = ledger.counts(["scratch", "dent"], 1)
        assert (counts.found, counts.found_as_any, counts.false_events, counts.misnamed) == (0, 1, 1, 1)
        # The part is rejected all the same: nobody was alarmed for nothing.
        assert counts.false_alarms == 0

    def test_a_brush_in_passing_is_no_meeting(self):
        ledger = EventLedger()
        ledger.add([Found(1, "scratch", at(10, 10))], truth(("scratch", 7, (10, 10))))
        for _ in range(5):
            ledger.add([Found(1, "scratch", at(40, 60))], truth(("scratch", 7, (10, 10))))
        assert ledger.counts(["scratch"], 1).found == 0

    @pytest.mark.parametrize(("on", "met"), [(2, 1), (1, 0)])
    def test_half_of_the_frames_are_a_meeting(self, on, met):
        ledger = EventLedger()
        for frame in range(4):
            place = (10, 10) if frame < on else (40, 60)
            ledger.add([Found(1, "scratch", at(*place))], truth(("scratch", 7, (10, 10))))
        assert ledger.counts(["scratch"], 1).found == met

    @pytest.mark.parametrize("turned", [False, True])
    def test_a_finding_is_as_near_in_each_direction(self, turned):
        """2 % of the diagonal are two pixels; these are two apart one way and one the other."""
        defect, found = np.zeros((2, *SHAPE), bool)
        defect[30, 30], found[31, 32] = True, True
        if turned:
            defect, found = defect.T, found.T
        ledger = EventLedger()
        ledger.add([Found(1, "dent", found)], FrameTruth(defect[None], ("dent",), (1,)))
        assert ledger.counts(["dent"], 1).found == 0

    def test_what_is_too_short_or_of_no_concern_is_not_missed(self):
        ledger = EventLedger(min_frames=3)
        for frame in range(4):
            objects = [("dent", 1, (5, 5))] + ([("scratch", 2, (30, 30))] if frame == 0 else [])
            ledger.add([], truth(*objects))
        assert ledger.counts(["scratch"], 1).objects == 0
        assert ledger.counts(["dent"], 1).objects == 1

    def test_what_is_found_of_a_defect_too_small_to_count_is_no_false_alarm(self):
        ledger = EventLedger(min_area_px=50)
        for _ in range(3):
            ledger.add([Found(1, "dent", at(10, 10)), Found(2, "dent", at(40, 60))], truth(("dent", 7, (10, 10))))
        counts = ledger.counts(["dent"], 1)
        assert (counts.objects, counts.events, counts.false_events) == (0, 2, 1)

    def test_located_asks_for_the_time_and_the_place_of_the_peak(self):
        def seen(frames, scores, places):
            ledger = EventLedger()
            for frame in range(10):
                found = [Found(1, "scratch", at(*places[frame]), scores[frame])] if frame in frames else []
                ledger.add(found, truth(("scratch", 7, (10, 10))))
            return ledger.counts(["scratch"], 1)

        on, off = (11, 12), (40, 60)
        # On the defect for three of ten frames, strongest there.
        assert seen(range(3), [0.5] * 10, [on] * 10).located == 1
        # Too short a share of the time that it is in view.
        short = seen(range(2), [0.5] * 10, [on] * 10)
        assert (short.found, short.located) == (1, 0)
        # On it for most of the time, but strongest elsewhere.
        strayed = seen(range(10), [0.5] * 9 + [0.9], [on] * 9 + [off])
        assert (strayed.found, strayed.located) == (1, 0)

    def test_sums(self):
        one = EventCounts(1, 0, 1, 1, 1, 2.0)
        assert one + one == EventCounts(2, 0, 2, 2, 2, 4.0)


def test_a_finding_where_nothing_counts_is_no_false_alarm():
    figures = Figures.empty(["dent"])
    clip = MaskPass(figures, "clip", True, EventLedger())
    for _ in range(3):
        ignore = at(10, 10)
        clip.add([Found(1, "dent", at(10, 10)), Found(2, "dent", at(40, 60))], replace(truth(), ignore=ignore))
    clip.finish(1.0, good=False)
    assert (figures.events.events, figures.events.false_events) == (1, 1)


def measure_beside_ignored(columns, shown=()):
    """Figures of a finding, 6x6 pixels, of which so many columns lie on ignored pixels: a number for each frame."""
    figures = Figures.empty(["dent"])
    clip = MaskPass(figures, "clip", True, EventLedger())
    for count in columns:
        ignore = np.zeros(SHAPE, bool)
        ignore[:, : 10 + count] = True
        clip.add([Found(1, "dent", at(10, 10), 0.5)], replace(truth(*shown), ignore=ignore))
    clip.finish(1.0, good=False)
    return figures


class TestIgnoredPixels:
    @pytest.mark.parametrize(("columns", "events"), [([5, 5, 5], 0), ([3, 3, 3], 0), ([2, 2, 2], 1)])
    def test_a_finding_of_which_half_lies_there_is_no_event(self, columns, events):
        counts = measure_beside_ignored(columns).events
        assert (counts.events, counts.false_events) == (events, events)

    @pytest.mark.parametrize(("columns", "events"), [([5, 5, 0, 0], 0), ([5, 0, 0, 0], 1)])
    def test_a_finding_that_is_there_half_of_its_time_is_no_event(self, columns, events):
        assert measure_beside_ignored(columns).events.false_alarms == events

    def test_a_defect_beside_them_is_found_by_a_mask_that_is_too_large(self):
        counts = measure_beside_ignored([4, 4, 4], [("dent", 7, (10, 14))]).events
        assert (counts.events, counts.false_events, counts.found, counts.located) == (1, 0, 1, 1)

    def test_a_defect_of_another_concept_beside_them_is_not_misnamed(self):
        assert measure_beside_ignored([4, 4, 4], [("hole", 7, (10, 14))]).events.events == 0

    def test_the_rest_of_a_finding_there_is_no_wrong_pixel_and_no_wrong_identity(self):
        figures = measure_beside_ignored([5, 5, 5])
        assert figures.confusion.pixel_accuracy == 1
        assert not any(pairing.found_ids for pairing in figures.pairings)


def test_masks_of_a_concept_are_measured_where_its_scores_are_not():
    figures = Figures.empty(["dent", "hole"])
    clip = MaskPass(figures, "clip", True, EventLedger())
    clip.add([Found(1, "dent", at(10, 10))], truth(("dent", 1, (10, 10)), ("hole", 2, (40, 60))))
    clip.finish(1.0, good=False)
    masks = figures.summary()["masks"]
    assert (masks["dent"]["j"], masks["hole"]["j"], masks["mean"]["j"]) == (1, 0, 0.5)


def test_objects_outside_of_the_region_are_not_missed_by_the_identities():
    """Perfect tracking of the one object that is in view; the mask of the other lies outside and comes out empty."""
    figures = Figures.empty(["dent"])
    clip = MaskPass(figures, "clip", True, EventLedger())
    seen = truth(("dent", 1, (10, 10)), ("dent", 2, (40, 60)))
    seen.masks[1] = False
    for _ in range(3):
        clip.add([Found(1, "dent", at(10, 10)), Found(2, "dent", np.zeros(SHAPE, bool))], seen)
    clip.finish(1.0, good=False)
    assert figures.summary()["identities"]["hota"] == pytest.approx(1)
    assert figures.summary()["identities"]["idf1"] == pytest.approx(1)


class TestFootage:
    def test_a_rate_that_changes_is_counted_as_it_is(self):
        times = np.concatenate([np.arange(0, 600, 1 / 30), np.arange(600, 1200, 1 / 15)])
        assert measure_footage_s(times) == pytest.approx(1200, abs=0.1)

    def test_a_hole_counts_as_one_frame(self):
        times = np.concatenate([np.arange(0, 10, 0.04), np.arange(100, 110, 0.04)])
        assert measure_footage_s(times) == pytest.approx(20, abs=0.01)

    def test_a_single_frame_lasts_no_time(self):
        assert measure_footage_s([3.0]) == 0.0


class TestIntervals:
    def test_poisson_by_the_table(self):
        # Garwood's 95 % limits for 10 events: 4.795 and 18.390; for none: 0 and 3.689.
        assert poisson_interval(10, 1) == pytest.approx((4.7954, 18.3904), abs=1e-3)
        assert poisson_interval(0, 2) == pytest.approx((0, 3.6889 / 2), abs=1e-3)

    def test_share(self):
        assert share_interval(0, 0) == (0.0, 1.0)
        assert share_interval(0, 10) == pytest.approx((0, 0.3085), abs=1e-3)

    def test_rule_of_three(self):
        assert exposure_for_bound(1.0) == pytest.approx(3.0, abs=0.01)

    def test_the_predicted_count_holds_what_is_drawn(self):
        rng = np.random.default_rng(0)
        inside = 0
        for rate in rng.uniform(2, 30, 400):
            low, high = predicted_count(int(rng.poisson(rate)), 1, 1)
            inside += low <= rng.poisson(rate) <= high
        assert inside >= 0.93 * 400
