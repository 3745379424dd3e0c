"""Times of a live source that rise, whatever its clock does."""

from __future__ import annotations

from fractions import Fraction

# A stamp this much further on than the clock of this machine went is a clock that was set.
JUMP_S = 5.0
# What a step is taken for before any is known.
USUAL_S = 0.04


class LiveClock:
    """Seconds since the first frame, by the source's own stamps where they agree with the clock of this machine.

    Stamps within a burst after a stall are kept: only a step back, or one much longer than the time that passed here,
    is a jump; time then goes on by what passed here.
    """

    def __init__(self, ticks: Fraction) -> None:
        self._ticks = ticks
        self._time_s = 0.0
        self._stamp_s: float | None = None
        self._arrived_s: float | None = None
        self._step_s = USUAL_S
        self.jumps = 0

    def reconnect(self) -> None:
        """The stamps of another connection have nothing to do with those before."""
        self._stamp_s = None

    def time(self, stamp_s: float | None, arrived_s: float) -> float:
        """When a frame was taken, in whole ticks. arrived_s: by a clock of this machine that is never set."""
        if self._arrived_s is None:
            self._stamp_s, self._arrived_s = stamp_s, arrived_s
            return 0.0
        passed_s = arrived_s - self._arrived_s
        step_s = max(passed_s, self._step_s / 2)
        if stamp_s is not None and self._stamp_s is not None:
            by_stamp_s = stamp_s - self._stamp_s
            if 0 < by_stamp_s <= passed_s + JUMP_S:
                step_s = self._step_s = by_stamp_s
            else:
                self.jumps += 1
        self._stamp_s, self._arrived_s = stamp_s, arrived_s
        before, self._time_s = self._time_s, self._time_s + step_s
        least_s = float(self._ticks)
        self._time_s = max(round(self._time_s / least_s), round(before / least_s) + 1) * least_s
        return self._time_s
