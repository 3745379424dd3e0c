"""Thresholds for a wished rate of false alarms: the statistics on candidates whose true rate is known."""

from pathlib import Path

import numpy as np
import pytest

from vidconcept.evaluation.alarms import (
    Candidate,
    choose,
    describe_choice,
    find_strengths,
    measure_clustering,
)
from vidconcept.evaluation.shares import LOWEST
from vidconcept.models.folder import find_preset
from vidconcept.pipelines.calibrate import find_floors
from vidconcept.pipelines.findings import FrameRef
from vidconcept.pipelines.plan import make_plan
from vidconcept.tracks.decision import Decision
from vidconcept.tracks.link import Linker, LinkSettings
from vidconcept.tracks.masks import MaskSettings
from vidconcept.types import Origin, Region

FRAME_S = 0.04
EXAMPLE = Path(__file__).parents[2] / "examples" / "line_cam.mp4"


class TestStrengths:
    def test_an_event_must_last(self):
        times = [0, 0.04, 0.08, 0.12, 0.16]
        # Three frames last 0.12 s; the third best of the three around the peak decides.
        found = find_strengths(times, [0.1, 0.5, 0.9, 0.6, 0.2], 0.12, 0.4, FRAME_S)
        assert found[0][0] == pytest.approx(0.5)
        assert len(found) == 1

    def test_one_long_track_is_several_events_at_a_higher_level(self):
        times = np.arange(100) * FRAME_S
        scores = np.full(100, 0.1)
        scores[10:15], scores[60:65] = 0.8, 0.7
        found = find_strengths(times, scores, 0.12, 0.4, FRAME_S)
        assert [level for level, _ in found] == pytest.approx([0.8, 0.7])

    def test_an_event_lasts_as_long_as_it_is_followed(self):
        times = np.arange(140) * FRAME_S
        scores = np.full(140, 0.1)
        # Eight single frames above the rest, too far apart to be one run.
        scores[5:105], scores[5:105:13], scores[120:124] = 0.5, 0.8, 0.4
        assert find_strengths(times, scores, 0.12, 0.4, FRAME_S, hysteresis=0.6) == [(0.8, 0.2), (0.4, 4.8)]
        assert find_strengths(times, scores, 0.12, 0.4, FRAME_S, hysteresis=1.0)[0] == (0.5, 0.2)

    def test_a_moment_above_a_level_is_no_event_at_it(self):
        times = np.arange(100) * FRAME_S
        scores = np.full(100, 0.1)
        scores[10:60], scores[20:24] = 0.5, 0.8
        assert find_strengths(times, scores, 0.12, 0.4, FRAME_S, hysteresis=0.6) == [(0.5, 0.4)]

    @pytest.mark.parametrize("hysteresis", [0.6, 1.0])
    def test_track_finds_no_more_than_is_counted(self, hysteresis):
        rng = np.random.default_rng(5)
        counted = found = 0
        for _ in range(10):
            flares = np.exp(-(((np.arange(60) - rng.uniform(0, 60, (4, 1))) / rng.uniform(1, 6, (4, 1))) ** 2))
            scores = np.clip((flares * rng.uniform(0.3, 1, (4, 1))).max(0) + rng.normal(0, 0.03, 60), 0, 1)
            rows = self.linked(scores, LOWEST, hysteresis)[1]
            tracks = {row.tracker_id for row in rows}
            each = [
                find_strengths(*zip(*((r.time_s, r.score_max) for r in rows if r.tracker_id == t), strict=True),
                          0.12, 0.4, FRAME_S, hysteresis) for t in tracks
            ]  # fmt: skip
            for threshold in (0.3, 0.45, 0.6, 0.7, 0.801, 0.9):
                events = len(self.linked(scores, threshold, hysteresis)[0].finish()[0])
                promised = sum(level >= threshold for levels in each for level, _ in levels)
                assert events <= promised
                counted, found = counted + promised, found + events
        assert 0.7 * counted < found

    def linked(self, scores, threshold, hysteresis):
        """One patch whose score goes up and down, decided and linked as `track` does it."""
        decision = Decision(("x",), MaskSettings(threshold, 0.5, 0.15), hysteresis=hysteresis)
        linker, rows = Linker(["x"], Region(0, 0, 48, 32), (48, 32), LinkSettings(16, 0.12)), []
        for number, score in enumerate(scores):
            maps = np.zeros((1, 32, 48), np.float32)
            maps[0, 10:20, 20:30] = score
            decided = decision.decide(maps)
            ref = FrameRef(number, number, number * FRAME_S)
            rows += linker.step(ref, decided.pieces, maps, None, Origin(0, 0), reaches=decided.reaches)
        return linker, rows

    def test_too_short_is_no_event(self):
        assert find_strengths([0.0], [0.9], 0.12, 0.4, FRAME_S) == []


USUAL = {"scratch": 0.5, "dent": 0.5}


def good_footage(rng, hours, rate_per_hour):
    """Candidates of two concepts with exponential tails in log-odds."""
    count = rng.poisson(rate_per_hour * hours)
    odds = -2 + rng.exponential(0.8, count)
    return [
        Candidate("scratch" if i % 2 else "dent", float(1 / (1 + np.exp(-v))), float(rng.uniform(0, hours * 3600)))
        for i, v in enumerate(odds)
    ]


def true_rate(thresholds, rate_per_hour):
    """Alarms an hour of `good_footage` at these thresholds."""
    levels = [np.log(t / (1 - t)) for t in thresholds.values()]
    return float(np.mean([rate_per_hour * np.exp(-(level + 2) / 0.8) for level in levels]))


class TestChoose:
    def test_the_promise_holds_on_footage_that_was_not_seen(self):
        """300 candidates an hour, 20 alarms wished: the true rate lies in the promised interval 19 times of 20."""
        rng = np.random.default_rng(0)
        rates, inside = [], 0
        for _ in range(120):
            choice = choose(good_footage(rng, 0.5, 300), USUAL, 0.5, 20)
            rates.append(true_rate(choice.thresholds, 300))
            inside += choice.per_hour_95[0] <= rates[-1] <= choice.per_hour_95[1]
        assert inside >= 0.9 * 120
        assert np.mean(rates) == pytest.approx(20, rel=0.15)

    @pytest.mark.parametrize(("candidates_per_hour", "at_a_time"), [(300, 1), (60, 3)])
    def test_held_out_footage_shows_what_was_promised(self, candidates_per_hour, at_a_time):
        """The number on as much footage again, single alarms or clusters; the rate's interval is not about that."""
        rng = np.random.default_rng(4)
        inside = 0
        for _ in range(150):
            ours, theirs = (
                [c for c in good_footage(rng, 0.5, candidates_per_hour / at_a_time) for _ in range(at_a_time)]
                for _ in range(2)
            )
            choice = choose(ours, USUAL, 0.5, 20)
            seen = sum(c.strength >= choice.thresholds[c.concept] for c in theirs)
            inside += choice.again_95[0] <= seen <= choice.again_95[1]
        assert inside >= 0.92 * 150

    def test_what_is_counted_is_what_track_finds(self):
        # Strengths are rounded down to thousandths: 0.4107 is counted as 0.41, and a threshold between would let it by.
        found = [find_strengths([0.0], [s], 0.0, 0.4, FRAME_S)[0][0] for s in (0.4107, 0.4113, 0.42, 0.43)]
        for per_hour in (2, 4, 6, 8):
            choice = choose([Candidate("dent", s, 0.0) for s in found], {"dent": 0.4}, 0.5, per_hour)
            assert choice.alarms == sum(s >= choice.thresholds["dent"] for s in (0.4107, 0.4113, 0.42, 0.43))

    def test_quiet_footage_of_one_concept_says_so(self):
        choice = choose([Candidate("dent", 0.2, 0.0)], {"dent": 0.5}, 1, 20)
        assert choice.thresholds == {"dent": 0.05}
        assert "lowest possible threshold" in " ".join(describe_choice(choice))

    def test_no_threshold_is_offered_below_what_track_follows_anyway(self):
        candidates = [c for c in good_footage(np.random.default_rng(5), 1, 100) if c.concept == "dent"]
        assert choose(candidates, USUAL, 1, 20).thresholds["scratch"] == 0.05
        choice = choose(candidates, USUAL, 1, 20, lowest={"scratch": 0.3})
        assert choice.thresholds["scratch"] == 0.3
        assert choice.alarms == sum(c.strength >= choice.thresholds[c.concept] for c in candidates)
        assert "scratch 0.3" in " ".join(describe_choice(choice))
        # The clusters below it are still told from single alarms.
        assert choice.dispersion == choose(candidates, USUAL, 1, 20).dispersion

    def test_what_one_concept_leaves_goes_to_the_others(self):
        """Five holes of 0.3 are no alarms where no hole below 0.6 is one."""
        candidates = [Candidate("dent", s, 0.0) for s in (0.9, 0.8)] + [Candidate("hole", 0.3, 0.0)] * 5
        usual = {"dent": 0.5, "hole": 0.5}
        free, floored = (choose(candidates, usual, 1, 1, lowest) for lowest in (None, {"hole": 0.9}))
        assert floored.thresholds["hole"] == 0.9
        assert floored.thresholds["dent"] < free.thresholds["dent"]

    def test_a_concept_with_more_alarms_is_raised_more(self):
        rng = np.random.default_rng(7)
        loud = [Candidate("dent", s, 0.0) for s in rng.uniform(0.45, 0.9, 40)]
        quiet = [Candidate("scratch", s, 0.0) for s in rng.uniform(0.45, 0.9, 4)]
        thresholds = choose([*loud, *quiet], USUAL, 1, 4).thresholds
        assert thresholds["dent"] > thresholds["scratch"] + 0.1
        counts = [sum(c.strength >= thresholds[c.concept] for c in some) for some in (loud, quiet)]
        assert sum(counts) <= 6

    def test_a_concept_without_candidates_stays_near_its_own_threshold(self):
        """Chips reach 0.72 at most; what cracks do is no reason to ask 0.95 of them."""
        cracks = [Candidate("crack", s, 10.0 * k) for k, s in enumerate((0.87, 0.76, 0.7, 0.65, 0.63, 0.63))]
        chips = [Candidate("chip", s, 10.0 * k) for k, s in enumerate((0.72, 0.69, 0.63, 0.63, 0.6, 0.6))]
        thresholds = choose([*cracks, *chips], {"crack": 0.8, "chip": 0.7}, 0.024, 60).thresholds
        assert 0.72 < thresholds["chip"] < 0.85

    def test_the_lowest_follows_the_settings(self):
        asked = {"concepts": ("dent", "hole"), "model": "linecam"}
        preset = find_preset("linecam").settings
        wanted = {name: 0.6 * preset["thresholds"][name] for name in ("dent", "hole")}
        assert find_floors(make_plan(EXAMPLE, asked), 1.0) == pytest.approx(wanted)
        asked["concepts"] = ("dent",)
        assert find_floors(make_plan(EXAMPLE, asked | {"threshold": 0.2, "hysteresis": 0.5}), 1.0) == pytest.approx(
            {"dent": 0.1}
        )
        assert find_floors(make_plan(EXAMPLE, asked | {"threshold": 0.02}), 1.0) == {"dent": LOWEST}

    def test_short_footage_does_not_lower_thresholds(self):
        plan = make_plan(EXAMPLE, {"concepts": ("dent",), "model": "linecam"})
        usual = plan.settings.find_threshold("dent")
        floors = [find_floors(plan, minutes / 60)["dent"] / usual for minutes in (0, 1.5, 15, 30, 600)]
        assert floors == pytest.approx([1, 0.98, 0.8, 0.6, 0.6], abs=1e-3)

    @pytest.mark.parametrize("alarms", range(0, 14, 2))
    def test_a_noisy_concept_is_no_matter_of_the_others(self, alarms):
        """A fixture that flashes far above everything else: dents keep their threshold, however often it does."""
        fixture = [Candidate("fixture", 0.93 + 0.003 * k, 1800 / max(alarms, 1) * k) for k in range(alarms)]
        usual = {"fixture": 0.5, "dent": 0.5}
        quiet, choice = (choose(some, usual, 0.5, 1, {"fixture": 0.3, "dent": 0.3}) for some in ([], fixture))
        assert choice.thresholds["dent"] == pytest.approx(quiet.thresholds["dent"], abs=0.05)
        assert choice.alarms <= 1

    def test_equal_strengths_are_alarms_together_or_not_at_all(self):
        ties = [Candidate("dent", 0.9, 300.0 * k) for k in range(12)]
        lower = [Candidate("dent", 0.5 + 0.01 * k, 120.0 * k) for k in range(30)]
        choice = choose([*ties, *lower], {"dent": 0.5}, 1, 2)
        assert choice.thresholds["dent"] > 0.9

    def test_the_promise_holds_for_many_concepts(self):
        """Fifteen concepts have fifteen thresholds, all chosen on the footage on which the alarms are counted."""
        rng = np.random.default_rng(8)
        usual = dict.fromkeys((f"c{k}" for k in range(15)), 0.5)
        inside, repetitions = 0, 100
        for _ in range(repetitions):
            odds = -1.2 + rng.exponential(0.4, rng.poisson(150))
            names = rng.integers(15, size=len(odds))
            candidates = [
                Candidate(f"c{n}", float(1 / (1 + np.exp(-v))), float(rng.uniform(0, 3600)))
                for n, v in zip(names, odds, strict=True)
            ]
            choice = choose(candidates, usual, 1, 10)
            levels = [np.log(t / (1 - t)) for t in choice.thresholds.values()]
            rate = sum(10 * np.exp(-(level + 1.2) / 0.4) for level in levels)
            inside += choice.per_hour_95[0] <= rate <= choice.per_hour_95[1]
        assert inside >= 0.9 * repetitions

    def test_a_target_that_a_capped_concept_may_still_reach_is_not_given_up(self):
        """Candidates above the highest threshold, but no more than chance would put there."""
        loud = [Candidate("a", float(s), 30.0 * k) for k, s in enumerate([*np.linspace(0.9, 0.989, 49), 0.991])]
        choice = choose(loud, {"a": 0.98, "b": 0.5}, 0.5, 1)
        assert choice.capped == ()
        assert "leave out" not in " ".join(describe_choice(choice))

    def test_a_target_out_of_reach_is_said(self):
        said = " ".join(describe_choice(choose([], USUAL, 0.1, 1e-9)))
        assert "may not be high enough: scratch, dent" in said

    def test_no_threshold_lies_above_the_highest(self):
        choice = choose([], {"a": 0.995}, 0.01, 50, {"a": 0.995})
        assert (choice.thresholds["a"], choice.lowest["a"]) == (0.99, 0.99)

    def test_loud_footage_is_not_told_to_wait(self):
        candidates = [Candidate("dent", 0.995, 60.0 * k) for k in range(60)]
        choice = choose(candidates, {"dent": 0.5}, 1, 2)
        said = " ".join(describe_choice(choice))
        assert (choice.alarms, choice.capped) == (60, ("dent",))
        assert "too little" not in said
        assert "leave out what raises" in said

    def test_ten_seconds_promise_almost_nothing_and_say_so(self):
        choice = choose(good_footage(np.random.default_rng(1), 10 / 3600, 300), USUAL, 10 / 3600, 1)
        assert choice.extrapolated
        assert choice.per_hour_95[1] > 1000
        said = " ".join(describe_choice(choice))
        assert "e+" not in said
        assert "10 seconds" in said
        assert "too little" in said
        assert "3 hours" in said
        assert "rule of thumb" in said

    def test_carried_on_beyond_what_was_seen(self):
        candidates = good_footage(np.random.default_rng(2), 0.5, 300)
        choice = choose(candidates, USUAL, 0.5, 1)
        assert choice.alarms == 0
        assert "from how the number of alarms falls" in " ".join(describe_choice(choice))
        assert max(c.strength for c in candidates) < choice.thresholds["dent"] < 0.99

    def test_without_candidates_the_usual_thresholds_say_where_to_begin(self):
        thresholds = choose([], {"scratch": 0.8, "dent": 0.4}, 0.1, 5).thresholds
        assert thresholds["scratch"] > 0.7 > 0.5 > thresholds["dent"]

    def test_clusters_widen_the_promise(self):
        steady = measure_clustering(np.linspace(0, 3599, 60), 3600)
        bursts = measure_clustering(np.repeat([100.0, 1900.0, 3000.0], 20), 3600)
        assert steady == 1.0
        assert bursts > 5
