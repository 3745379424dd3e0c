"""Times of a live source that rise and stay near the clock of this machine, whatever its own clock does."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

# A stamp this much further on than the clock of this machine went is a clock that was set.
JUMP_S = 5.0
# What a step is taken for before any is known.
USUAL_S = 0.04
# A stretch of time over which the least lag is taken, longer than any stall of a connection that is kept.
STRETCH_S = 15.0
# So far frames may get from the clock of this machine, and so far within a stretch where stamps are to be believed
# again.
AWAY_S, STEADY_S = 1.0, 0.3
# Further ahead than this bursts do not lead them.
AHEAD_S = 30.0
# The share of time by which frames are led back to this machine's clock unnoticed: more than two quartzes differ by.
LEAD_FRAC = 0.001


class Lags:
    """How much later frames arrive than their stamps say: the least lag of the latest stretch does not know of stalls
    and bursts, and changes only where the clocks differ."""

    def __init__(self) -> None:
        self._latest: deque[tuple[float, float]] = deque()
        self._began_s: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether a stretch has passed since the first frame."""
        return self._began_s is not None and self._latest[-1][0] - self._began_s >= STRETCH_S

    def take(self, lag_s: float, arrived_s: float) -> float:
        """The next frame; returns the least lag."""
        if self._began_s is None:
            self._began_s = arrived_s
        # Only what may become the least one is kept.
        while self._latest and self._latest[-1][1] >= lag_s:
            self._latest.pop()
        self._latest.append((arrived_s, lag_s))
        while self._latest[0][0] < arrived_s - STRETCH_S:
            self._latest.popleft()
        return self._latest[0][1]


class LiveClock:
    """Seconds since the first frame, by the source's own stamps where they agree with the clock of this machine.

    Stamps within a burst after a stall are kept; where a later connection begins with one, frames go on by half of what
    their stamps do, until the clock of this machine has caught up. Where a stamp steps back, or much further on than
    the time that passed here, frames go on from their arrival, and by stamps. Where stamps got more than AWAY_S from
    the clock of this machine, as those of a camera do that pauses or runs too fast, time is taken from the arrival,
    until they have kept pace with it for two stretches. Both are jumps, and so is a connection in which bursts lead
    frames more than AHEAD_S ahead of that clock: they then go on by no more than the time that passes here.
    keeps_pace: false for a source that may be read faster or slower than it was filmed; its speed is believed.
    """

    def __init__(self, ticks: Fraction, *, keeps_pace: bool = True) -> None:
        self._tick_s = float(ticks)
        self._keeps_pace = keeps_pace
        self._time_s = -USUAL_S
        self._step_s = USUAL_S
        self._stamp_s: float | None = None
        self._arrived_s: float | None = None
        # Arrival less this is the time of a frame that nothing held up; it is found in the first stretch, as long as
        # the stamps of the first frame go on.
        self._lag_s = 0.0
        # What is added to a stamp, and whether the sum is the time.
        self._shift_s = 0.0
        self._believes = True
        self._is_ahead = False
        self._restart()
        self.jumps = 0

    def reconnect(self) -> None:
        """The stamps of another connection have nothing to do with those before; whether they are believed stays."""
        self._stamp_s, self._is_ahead = None, False
        self._restart()

    def time(self, stamp_s: float | None, arrived_s: float) -> float:
        """When a frame was taken, in whole ticks. arrived_s: by a clock of this machine that is never set."""
        if self._arrived_s is None:
            self._arrived_s = self._lag_s = arrived_s
            self._finds_lag = True
        passed_s, self._arrived_s = max(arrived_s - self._arrived_s, 0.0), arrived_s
        before_s, stamp_before_s, step_s = self._time_s, self._stamp_s, passed_s
        wait_s = self._step_s / 2
        if stamp_s is not None and self._judge(stamp_s, arrived_s, passed_s):
            time_s = stamp_s + self._shift_s
            if stamp_before_s is not None:
                step_s = max(stamp_s - stamp_before_s, 0.0)
                wait_s = min(step_s / 2 or wait_s, wait_s)
        else:
            time_s = arrived_s - self._lag_s
        if before_s + self._lag_s - arrived_s > AHEAD_S:
            wait_s = min(wait_s, passed_s)
            self.jumps += not self._is_ahead
            self._is_ahead = True
        # Where time must wait, it goes on by half a step: after frames closer than that a usual step looks like a hole.
        time_s = max(time_s, before_s + wait_s)
        # A pause is no usual step.
        self._step_s += (min(step_s, 2 * self._step_s) - self._step_s) / 16
        self._time_s = max(round(time_s / self._tick_s), round(before_s / self._tick_s) + 1) * self._tick_s
        if not self._keeps_pace:
            # Arrival only tells what passed since the frame before.
            self._lag_s = arrived_s - self._time_s
        return self._time_s

    def _judge(self, stamp_s: float, arrived_s: float, passed_s: float) -> bool:
        """Whether the time of a frame is its stamp and the shift, which is brought up to date."""
        before_s, self._stamp_s = self._stamp_s, stamp_s
        is_jump = before_s is not None and not 0 < stamp_s - before_s <= passed_s + JUMP_S
        if is_jump:
            self.jumps += self._believes
            self._restart()
        if is_jump or before_s is None:
            self._shift_s = arrived_s - self._lag_s - stamp_s
        if self._keeps_pace:
            was_whole, least_s = self._lags.is_whole, self._lags.take(arrived_s - stamp_s, arrived_s)
            if not self._believes:
                self._try_again(least_s)
            elif was_whole:
                self._compare(least_s, passed_s)
            else:
                self._settle(arrived_s - stamp_s)
        return self._believes

    def _settle(self, lag_s: float) -> None:
        """In the first stretch after a connection or a jump the frames so far may turn out to have been held up."""
        if self._finds_lag:
            self._lag_s = min(self._lag_s, lag_s - self._shift_s)
        else:
            self._shift_s = min(self._shift_s, lag_s - self._lag_s)

    def _compare(self, least_s: float, passed_s: float) -> None:
        """Lead frames back to the clock of this machine where they are near it, and give stamps up elsewhere."""
        away_s = least_s - self._shift_s - self._lag_s
        if abs(away_s) > AWAY_S:
            self.jumps += 1
            self._believes = False
            self._restart()
        else:
            most_s = LEAD_FRAC * passed_s
            self._shift_s += max(-most_s, min(away_s, most_s))

    def _try_again(self, least_s: float) -> None:
        """Believe stamps again that kept pace with the clock of this machine from one stretch to the next."""
        if not self._lags.is_whole:
            return
        before_s = self._least_before_s
        self._restart()
        self._least_before_s = least_s
        if before_s is not None and abs(least_s - before_s) <= STEADY_S:
            self._shift_s, self._believes = least_s - self._lag_s, True

    def _restart(self) -> None:
        """What is known of lags says nothing of the frames to come."""
        self._lags = Lags()
        self._least_before_s: float | None = None
        self._finds_lag = False
