"""Times of a live source that rise, whatever its clock does."""

from __future__ import annotations

from fractions import Fraction

# A stamp this much further on than the clock of this machine went is a clock that was set.
JUMP_S = 5.0
# What a step is taken for before any is known.
USUAL_S = 0.04
# A stretch of time over which speeds are compared, longer than any stall of a connection that is kept, and the share of
# it by which stamps may gain or lose.
STRETCH_S, DRIFT_FRAC = 15.0, 0.1


class Pace:
    """Whether stamps run as fast as the clock of this machine.

    A frame arrives later than its stamp says by what held it up on the way. The least of these lags within a stretch
    does not know of stalls and bursts: it changes from one stretch to the next where the clocks differ in speed.
    """

    def __init__(self) -> None:
        self.agrees = True
        self.restart()

    def restart(self) -> None:
        """The next stamps have nothing to do with those before; what is known of the speed stays."""
        self._ends_s = 0.0
        self._least_s: float | None = None
        self._least_before_s: float | None = None

    def take(self, stamp_s: float, arrived_s: float) -> None:
        """The next frame."""
        lag_s = arrived_s - stamp_s
        if self._least_s is not None and arrived_s < self._ends_s:
            self._least_s = min(self._least_s, lag_s)
            return
        if self._least_s is not None and self._least_before_s is not None:
            self.agrees = abs(self._least_s - self._least_before_s) <= DRIFT_FRAC * STRETCH_S
        self._least_before_s, self._least_s, self._ends_s = self._least_s, lag_s, arrived_s + STRETCH_S


class LiveClock:
    """Seconds since the first frame, by the source's own stamps where they agree with the clock of this machine.

    Stamps within a burst after a stall are kept. A step back, or one much longer than the time that passed here, is a
    jump; so are stamps that run at another speed, which is known after two stretches. Time then goes on by what passed
    here. keeps_pace: false for a source that may be read faster or slower than it was filmed; its speed is believed.
    """

    def __init__(self, ticks: Fraction, *, keeps_pace: bool = True) -> None:
        self._ticks = ticks
        self._keeps_pace, self._pace = keeps_pace, Pace()
        self._time_s = 0.0
        self._stamp_s: float | None = None
        self._arrived_s: float | None = None
        self._step_s = USUAL_S
        # How far frames that arrived at once were put ahead of the clock of this machine.
        self._ahead_s = 0.0
        self.jumps = 0

    def reconnect(self) -> None:
        """The stamps of another connection have nothing to do with those before."""
        self._stamp_s = None
        self._pace.restart()

    def time(self, stamp_s: float | None, arrived_s: float) -> float:
        """When a frame was taken, in whole ticks. arrived_s: by a clock of this machine that is never set."""
        before_s, self._arrived_s = self._arrived_s, arrived_s
        passed_s = 0.0 if before_s is None else max(arrived_s - before_s, 0.0)
        step_s = self._step_by_stamp(stamp_s, arrived_s, passed_s)
        self._stamp_s = stamp_s
        if before_s is None:
            return 0.0
        if step_s is None:
            step_s = self._step_by_arrival(passed_s)
        else:
            self._step_s, self._ahead_s = step_s, 0.0
        before, self._time_s = self._time_s, self._time_s + step_s
        least_s = float(self._ticks)
        self._time_s = max(round(self._time_s / least_s), round(before / least_s) + 1) * least_s
        return self._time_s

    def _step_by_stamp(self, stamp_s: float | None, arrived_s: float, passed_s: float) -> float | None:
        """Seconds since the frame before by the stamps of both, None where there are none to believe."""
        if stamp_s is None:
            return None
        agreed = self._pace.agrees
        if self._keeps_pace:
            self._pace.take(stamp_s, arrived_s)
        if not self._pace.agrees:
            self.jumps += agreed
            return None
        if self._stamp_s is None:
            return None
        by_stamp_s = stamp_s - self._stamp_s
        if 0 < by_stamp_s <= passed_s + JUMP_S:
            return by_stamp_s
        self.jumps += 1
        self._pace.restart()
        return None

    def _step_by_arrival(self, passed_s: float) -> float:
        """Seconds since the frame before: what passed, and half a usual step in a burst, which later steps make up."""
        step_s = max(passed_s - self._ahead_s, self._step_s / 2)
        self._ahead_s += step_s - passed_s
        # A pause is no usual step.
        self._step_s += (min(passed_s, 2 * self._step_s) - self._step_s) / 16
        return step_s
