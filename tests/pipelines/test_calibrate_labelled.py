"""Calibration with a few masks: a reading and thresholds are chosen where that helps on clips left out, else kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.metrics.masks import Confusion
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.evaluation.readings import Reading, Sweep, Tally
from vidconcept.pipelines.calibrate_labelled import choose_reading, choose_thresholds, settle_reading
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.sweep import make_base_reading

EXAMPLE = Path(__file__).parents[2] / "examples" / "line_cam.mp4"
BASE = Reading("concept-attention", "preset", (1,), 500, "softmax-mean", 1)
OTHER = replace(BASE, layers_name="all", layers=(0, 1), timestep=20)
CLIPS = 8


def tally(score):
    """A clip with one defect cell of this score and two good ones, of 0.5 and 0.3; None: the good ones alone."""
    curves = Curves()
    curves.add_shares(np.array([score or 0.0, 0.5, 0.3]), np.array([float(score is not None), 0.0, 0.0]))
    return Tally([curves], Confusion(np.eye(2)))


def swept(scores):
    """reading -> score of the defect in each clip."""
    tallies = {r: {f"clip{i}": tally(s) for i, s in enumerate(row)} for r, row in scores.items()}
    return Sweep(("dent",), tallies, BASE, {})


class TestReading:
    def test_a_reading_that_is_better_on_clips_left_out_is_chosen(self):
        worse, foreign = replace(OTHER, timestep=750), replace(OTHER, method="cross-attention")
        scores = {BASE: [0.1] * CLIPS, worse: [0.05] * CLIPS, OTHER: [0.4] * CLIPS, foreign: [0.9] * CLIPS}
        reading, why = choose_reading(swept(scores))
        assert reading == OTHER
        # Ranked second of three against last: AP 1/2 against 1/3, in every clip alike.
        assert why == (
            "Chosen: layers all, timestep 20, softmax-mean (mean AP +0.167 against the preset on clips left out, "
            "95 % +0.167 to +0.167)."
        )

    def test_the_preset_stays_while_the_interval_is_open(self):
        scores = {BASE: [0.4] * CLIPS, OTHER: [0.9, 0.1] * (CLIPS // 2)}
        reading, why = choose_reading(swept(scores))
        assert reading == BASE
        # It is the better one on this sample all the same.
        assert "surely better" in why
        assert "mean AP +0.1" in why
        assert "95 % -0." in why

    @pytest.mark.parametrize(("defective", "chosen"), [(5, BASE), (6, OTHER)])
    def test_good_clips_are_no_reason_to_choose(self, defective, chosen):
        good = [None] * 4
        reading, why = choose_reading(swept({BASE: [0.1] * defective + good, OTHER: [0.9] * defective + good}))
        assert reading == chosen
        assert why.startswith("Chosen" if chosen == OTHER else "too few clips with defects to choose a reading: 5")

    def test_its_settings_make_track_read_so(self):
        asked = {"concepts": ("dent",), "distractors": ("Fleck", "rust")}
        plan = make_plan(EXAMPLE, asked)
        base = make_base_reading(plan)
        assert settle_reading(base, base, plan) == {}
        every = tuple(range(plan.layout.num_layers))
        reading = Reading(base.method, "all", every, 250, "softmax-mean", 2, ("stain", "gap"))
        chosen = settle_reading(reading, base, plan)
        assert chosen["distractors"] == ["rust"]
        again = make_plan(EXAMPLE, {**asked, **chosen})
        assert make_base_reading(again) == replace(reading, layers_name="preset", left_out=())
        assert set(plan.words) - set(again.words) == {"stain", "gap"}


class TestThresholds:
    def counts(self, per_clip):
        return {f"clip{i}": dict(levels) for i, levels in enumerate(per_clip)}

    def test_a_level_that_is_better_on_clips_left_out_is_taken(self):
        clip = {0.2: {"dent": EventCounts(1, 0, 1, 1, 1, 1)}, 0.5: {"dent": EventCounts(0, 0, 1, 0, 0, 1)}}
        thresholds, remarks = choose_thresholds(self.counts([clip] * 6), {"dent": 0.5})
        assert thresholds == {"dent": 0.2}
        assert "clips left out" in remarks[0]

    def test_too_few_defects_are_said_to_be_too_few(self):
        clip = {0.2: {"dent": EventCounts(1, 0, 1, 1, 1, 1)}, 0.5: {"dent": EventCounts(0, 0, 1, 0, 0, 1)}}
        thresholds, remarks = choose_thresholds(self.counts([clip] * 2), {"dent": 0.5})
        assert thresholds == {}
        assert "too few" in remarks[0]
