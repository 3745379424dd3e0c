"""The time of frames that pass: what is told on the way is what the whole list of times would tell."""

import numpy as np
import pytest

from vidconcept.tracks.clock import FrameClock
from vidconcept.tracks.events import frame_duration_s, measure_elapsed_s, measure_footage_s


def follow(times_s) -> FrameClock:
    clock = FrameClock()
    for time_s in times_s:
        clock.advance(time_s)
    return clock


@pytest.mark.parametrize("rate_fps", [1 / 60, 25, 30000 / 1001, 15_000, 100_000])
def test_a_steady_rate(rate_fps):
    times = 5 + np.arange(50) / rate_fps
    assert follow(times).frame_s == pytest.approx(1 / rate_fps, rel=1e-6)
    assert follow(times).footage_s == pytest.approx(50 / rate_fps, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_any_times(seed):
    rng = np.random.default_rng(seed)
    steps = rng.choice([1 / 30, 1 / 15, 0.04, 3.0], 40 + seed)
    times = np.cumsum(steps)
    clock = follow(times)
    assert clock.frame_s == pytest.approx(frame_duration_s(times), rel=2e-3)
    assert clock.since_first_s(times[-1]) == pytest.approx(times[-1] - times[0])


def test_a_median_between_two_intervals_is_their_mean():
    times = np.cumsum([0, 1 / 30, 1 / 15, 1 / 30, 1 / 15])
    assert follow(times).frame_s == pytest.approx(0.05) == frame_duration_s(times)


def test_one_frame_has_no_duration():
    assert follow([7.0]).frame_s == 0.0


def test_footage_before_each_frame_leaves_holes_out():
    times = [*np.arange(10) / 25, *(3600 + np.arange(10) / 25)]
    elapsed = measure_elapsed_s(times)
    assert elapsed == pytest.approx(np.arange(20) / 25)
    assert measure_footage_s(times) == pytest.approx(20 / 25)
