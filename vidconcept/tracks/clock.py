"""The time of footage that is followed frame by frame, without keeping every time."""

import math
from dataclasses import dataclass

# Intervals between frames that differ by less than this share are counted together.
_ALIKE = 1e-3


@dataclass(slots=True)
class _Alike:
    """Intervals of about one length: how many, and their sum in seconds."""

    count: int = 0
    sum_s: float = 0.0


class FrameClock:
    """Knows when the frames came that it was told of; they must come in order."""

    def __init__(self) -> None:
        self._first_s: float | None = None
        self._latest_s = 0.0
        # By the logarithm of their length, in steps of `_ALIKE`: as exact at 100,000 frames a second as at one.
        self._intervals: dict[int, _Alike] = {}
        self._total = 0

    def advance(self, time_s: float) -> float:
        """Take the time of the next frame; seconds since the previous one, 0 on the first."""
        if self._first_s is None:
            self._first_s = self._latest_s = time_s
        dt_s, self._latest_s = time_s - self._latest_s, time_s
        if dt_s > 0:
            alike = self._intervals.setdefault(round(math.log(dt_s) / _ALIKE), _Alike())
            alike.count += 1
            alike.sum_s += dt_s
            self._total += 1
        return dt_s

    def since_first_s(self, time_s: float) -> float:
        """Seconds from the first frame to a time."""
        return time_s - (self._first_s or 0.0)

    @property
    def frame_s(self) -> float:
        """How long a frame is shown, as `events.frame_duration_s` tells it to a thousandth; 0 before there are two."""
        if not self._total:
            return 0.0
        return (self._find_interval((self._total - 1) // 2) + self._find_interval(self._total // 2)) / 2

    def _find_interval(self, rank: int) -> float:
        """The interval that so many shorter ones come before."""
        for key in sorted(self._intervals):
            alike = self._intervals[key]
            if rank < alike.count:
                return alike.sum_s / alike.count
            rank -= alike.count
        raise IndexError(rank)

    @property
    def footage_s(self) -> float:
        """From the first frame to the end of the latest one."""
        return self.since_first_s(self._latest_s) + self.frame_s
