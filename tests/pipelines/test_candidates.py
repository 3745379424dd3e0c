"""False alarms of good footage: when they were, and how long there was footage at all."""

import numpy as np
import pytest

from tests.helpers.films import write_video
from vidconcept.pipelines.calibrate import find_candidates
from vidconcept.pipelines.findings import FrameRef, ScoredFrame
from vidconcept.pipelines.good_footage import Footage
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.runs import RunFolder
from vidconcept.types import Origin

H, W = 64, 96


@pytest.fixture
def footage(tmp_path, tiny_model):
    path = tmp_path / "line.mp4"
    write_video(path, np.full((3, H, W, 3), 120, np.uint8))
    return Footage(make_plan(path, {"concepts": ("dent",), "model": str(tiny_model)}), RunFolder(tmp_path / "run", {}))


def alarm_at(times_s, start, stop):
    """Scored frames in which one place fires from frame `start` to `stop`."""

    def scored(part, monitor):
        for k, time_s in enumerate(times_s):
            scores = np.full((1, H, W), 0.01, np.float32)
            if start <= k < stop:
                scores[0, 20:36, 40:60] = 0.8
            yield ScoredFrame(FrameRef(k, k, float(time_s)), Origin(-(-k // 4), 0), False, scores, None)

    return scored


def test_times_count_from_the_first_frame_that_was_asked_for(footage):
    """Two parts of ten seconds, each cut out of a longer recording."""
    times = 600 + np.arange(250) / 25
    candidates, hours = find_candidates([footage, footage], None, Monitor(), alarm_at(times, 50, 60))
    assert [c.time_s for c in candidates] == pytest.approx([2.0, 12.0])
    assert [c.strength for c in candidates] == pytest.approx([0.8, 0.8], abs=1e-3)
    assert hours * 3600 == pytest.approx(20.0)


def test_a_hole_in_time_is_no_footage(footage):
    """Ten seconds, five hours of nothing, ten seconds; then the same once more."""
    times = np.concatenate([np.arange(250) / 25, 18_000 + np.arange(250) / 25])
    candidates, hours = find_candidates([footage, footage], None, Monitor(), alarm_at(times, 300, 310))
    assert [c.time_s for c in candidates] == pytest.approx([12.0, 32.0])
    assert hours * 3600 == pytest.approx(40.0)


def test_footage_that_slows_down_is_as_long_as_it_is(footage):
    times = np.concatenate([np.arange(100) / 25, 4 + np.arange(50) / 12.5])
    _, hours = find_candidates([footage], None, Monitor(), alarm_at(times, 0, 0))
    assert hours * 3600 == pytest.approx(8.0, abs=0.05)
