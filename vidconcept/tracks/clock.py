"""The time of footage that is followed frame by frame, without keeping every time."""

from collections import Counter

# Intervals between frames are counted to this precision.
_INTERVAL_S = 1e-4


class FrameClock:
    """Knows when the frames came that it was told of; they must come in order."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._latest_s = 0.0
        self._intervals: Counter[int] = Counter()

    def advance(self, time_s: float) -> float:
        """Take the time of the next frame; seconds since the previous one, 0 on the first."""
        if self._first_s is None:
            self._first_s = self._latest_s = time_s
        dt_s, self._latest_s = time_s - self._latest_s, time_s
        if dt_s > 0:
            self._intervals[round(dt_s / _INTERVAL_S)] += 1
        return dt_s

    def since_first_s(self, time_s: float) -> float:
        """Seconds from the first frame to a time."""
        return time_s - (self._first_s or 0.0)

    @property
    def frame_s(self) -> float:
        """How long a frame is shown, as `events.frame_duration_s` tells it; 0 before there are two."""
        left = self._intervals.total() / 2
        for interval in sorted(self._intervals):
            left -= self._intervals[interval]
            if left <= 0:
                return interval * _INTERVAL_S
        return 0.0

    @property
    def footage_s(self) -> float:
        """From the first frame to the end of the latest one."""
        return self.since_first_s(self._latest_s) + self.frame_s
