"""The clock of `watch`: times that rise and stay near those of this machine, whatever the stamps of a source do."""

from fractions import Fraction

import numpy as np
import pytest

from vidconcept.live.clock import LiveClock
from vidconcept.live.holes import HoleFinder

TICK = Fraction(1, 90_000)


class TestClock:
    def test_stamps_are_believed_while_they_agree_with_this_machine(self):
        clock = LiveClock(TICK)
        given = [(7.0, 0.0), (7.04, 0.05), (7.08, 0.05), (27.08, 20.0), (27.12, 20.0)]
        assert [round(clock.time(*pair), 4) for pair in given] == [0, 0.04, 0.08, 20.08, 20.12]
        assert clock.jumps == 0

    @pytest.mark.parametrize("jumps_to", [3600.0, -3600.0, 0.04])
    def test_a_clock_that_jumps_does_not_move_time(self, jumps_to):
        clock = LiveClock(TICK)
        times = [clock.time(s, a) for s, a in [(0.0, 0.0), (0.04, 0.04), (jumps_to, 0.08), (jumps_to + 0.04, 0.12)]]
        assert times == pytest.approx([0, 0.04, 0.08, 0.12], abs=1e-4)
        assert clock.jumps == 1

    def test_without_stamps_arrival_counts_and_time_still_rises(self):
        clock = LiveClock(TICK)
        times = [clock.time(None, arrived_s) for arrived_s in (5.0, 5.5, 5.5, 5.0)]
        assert times[0] == 0
        assert times[1] == pytest.approx(0.5)
        assert sorted(set(times)) == times

    def test_another_connection_goes_on_where_the_last_one_was(self):
        clock = LiveClock(TICK)
        clock.time(100.0, 0.0)
        clock.time(100.04, 0.04)
        clock.reconnect()
        assert clock.time(5.0, 3.04) == pytest.approx(3.04)
        assert clock.jumps == 0

    @pytest.mark.parametrize("speed", [0.2, 0.8, 1.25, 5.0])
    def test_stamps_that_run_at_another_speed_are_given_up_for_the_time_that_passes_here(self, speed):
        clock = LiveClock(TICK)
        times = [clock.time(speed * number / 10, number / 10) for number in range(600)]
        assert clock.jumps == 1
        assert times[599] - times[400] == pytest.approx(19.9)
        clock.reconnect()
        # The next connection of such a camera is not believed again.
        assert clock.time(0.0, 60.0) - times[599] == pytest.approx(0.1)
        assert clock.time(speed / 10, 60.1) - times[599] == pytest.approx(0.2)

    def test_stamps_are_believed_through_stalls_that_end_in_a_burst(self):
        clock, stalls = LiveClock(TICK), [(14.0, 23.5), (29.0, 38.5), (70.0, 79.5)]
        taken = [number / 10 for number in range(1200)]
        arrived = [next((end for begin, end in stalls if begin <= time_s < end), time_s) for time_s in taken]
        assert [clock.time(*pair) for pair in zip(taken, arrived, strict=True)] == pytest.approx(taken, abs=1e-4)
        assert clock.jumps == 0

    @pytest.mark.parametrize(
        ("waits_s", "leaps_s", "every_s"), [(8, 0, 60), (8, 0, 45), (1.4, 0, 15), (0, 4, 60), (0, 4.9, 30)]
    )
    def test_frames_come_back_to_the_time_here_after_each_wait_or_leap_of_the_stamps(self, waits_s, leaps_s, every_s):
        clock, away = LiveClock(TICK), []
        for number in range(7200):
            turns = number // (10 * every_s)
            arrived_s = number / 10 + turns * waits_s
            away.append(clock.time(number / 10 + turns * leaps_s, arrived_s) - arrived_s)
        assert clock.jumps
        assert min(away) > -waits_s - 0.1
        assert max(away) < 2
        assert abs(away[-1]) < 0.1

    @pytest.mark.parametrize("speed", [0.91, 0.98, 1.02, 1.09])
    def test_stamps_that_gain_or_lose_stay_near_the_time_here(self, speed):
        clock = LiveClock(TICK)
        away = [clock.time(speed * number / 10, number / 10) - number / 10 for number in range(7200)]
        assert clock.jumps
        assert max(map(abs, away)) < 2.5
        assert max(map(abs, away[1200:])) < 1.5

    @pytest.mark.parametrize("held_s", [2, 9])
    def test_two_quartzes_that_differ_are_no_jump_also_with_frames_in_bursts(self, held_s):
        clock, away = LiveClock(TICK), []
        for number in range(100_000):
            taken_s = number / 10
            away.append(clock.time(1.0001 * taken_s, (taken_s // held_s + 1) * held_s) - taken_s)
        assert clock.jumps == 0
        assert max(map(abs, away)) < 0.1

    def test_a_film_that_is_played_again_and_again_does_not_hurry_time(self):
        clock, away = LiveClock(TICK), []
        for number in range(20_000):
            # Now and then a frame is held up, so that some are when the film begins again.
            away.append(clock.time(number % 90 / 10, (number + (number % 7 == 0) / 2) / 10) - number / 10)
        assert clock.jumps > 200
        assert max(map(abs, away)) < 0.2

    def test_each_connection_that_begins_with_a_burst_is_led_back_to_the_time_here(self):
        clock, away = LiveClock(TICK), []
        for number in range(6000):
            taken_s = number / 10
            if number % 600 == 0:
                clock.reconnect()
            # All that was sent while the connection was opened comes at once.
            arrived_s = max(taken_s, number // 600 * 60 + 1.2)
            away.append(clock.time(taken_s % 60, arrived_s) - taken_s)
        assert clock.jumps == 0
        assert max(away) - min(away) < 1.5
        assert abs(away[-1] - away[500]) < 0.1

    @pytest.mark.parametrize("at_once", [60, 450])
    def test_pictures_that_a_server_sends_at_once_are_not_squeezed_into_holes(self, at_once):
        clock, finder, times = LiveClock(TICK), HoleFinder(), []
        for begins_s in (0, 100):
            clock.reconnect()
            for number in range(at_once + 1000):
                arrived_s = begins_s + 0.001 * min(number, at_once) + 0.04 * max(number - at_once, 0)
                times.append(clock.time(number / 25, arrived_s))
        steps = np.diff(times)
        # The first connection says when time begins; the next one finds time further on than its oldest picture.
        assert steps[: at_once + 999] == pytest.approx(0.04, abs=1e-4)
        assert steps[at_once + 1000 :].min() > 0.0199
        assert sum(map(finder.step, steps)) == 1
        assert times[-1] - times[at_once + 999] == pytest.approx(100, abs=0.1)
        assert clock.jumps == 0

    @pytest.mark.parametrize("every", [2, 25])
    def test_stamps_that_repeat_do_not_hurry_time(self, every):
        clock = LiveClock(TICK)
        stamps = [(number - (number % every == every - 1)) / 25 for number in range(1000)]
        times = [clock.time(stamp_s, number / 25) for number, stamp_s in enumerate(stamps)]
        assert times == pytest.approx(np.arange(1000) / 25, abs=0.05)

    def test_connections_that_are_soon_lost_and_each_begin_with_a_burst_do_not_hurry_time(self):
        clock, away = LiveClock(TICK), []
        for number in range(600):
            if number % 20 == 0:
                clock.reconnect()
            arrived_s = number // 20 * 2 + max(number % 20 / 10, 1.2)
            away.append(clock.time(number % 20 / 10, arrived_s) - number / 10)
        assert abs(away[-1]) < 1.3

    def test_a_film_that_each_connection_sends_faster_than_it_plays_leads_time_half_a_minute_ahead_at_most(self):
        clock, away = LiveClock(TICK), []
        for number in range(4000):
            if number % 100 == 0:
                clock.reconnect()
            away.append(clock.time(number % 100 / 10, number / 200) - number / 200)
        # The first one tells when time begins.
        assert 20 < max(away) - away[99] < 31
        assert 0 < clock.jumps <= 40

    def test_the_speed_of_a_source_that_may_be_read_out_of_a_file_is_believed(self):
        clock = LiveClock(TICK, keeps_pace=False)
        assert [clock.time(number / 10, number / 500) for number in range(50_000)][-1] == pytest.approx(4999.9)
        assert clock.jumps == 0

    @pytest.mark.parametrize("at_once", [1, 5])
    def test_without_stamps_bursts_of_a_fast_camera_do_not_hurry_time(self, at_once):
        clock = LiveClock(TICK)
        times = [clock.time(None, number // at_once * at_once / 100) for number in range(1000)]
        assert times == sorted(set(times))
        assert times[-1] == pytest.approx(10, abs=0.1)
