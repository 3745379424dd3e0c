"""Timestamps that rise strictly, whatever the file says."""

from dataclasses import dataclass
from fractions import Fraction

from vidconcept.video.problems import ProblemKind

# A backward step beyond this is a new recording glued on, not a disorder within one.
GLUED_S = 1
# A forward step beyond this is taken for a damaged timestamp, if the next one steps back again.
SPIKE_S = 10


@dataclass(frozen=True, slots=True)
class ClockFault:
    """What was wrong with one timestamp."""

    kind: ProblemKind
    message: str


class Clock:
    """Repairs presentation timestamps one by one, with a look-ahead of one picture.

    Sound timestamps pass through unchanged. A missing one follows its predecessor by the last good step; one that
    does not rise is put half a step after its predecessor, so that its sound successors keep theirs; after a jump
    back of more than a second (streams glued together) time continues where it was.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._second = max(1, round(1 / time_base))
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, self._second // 25)
        self._offset = 0
        self._last: int | None = None

    def stamp(self, raw_pts: int | None, next_raw_pts: int | None) -> tuple[int, ClockFault | None]:
        """The timestamp to use, in the time base, and what was wrong with the file's own."""
        last = self._last
        if last is None:
            if raw_pts is not None:
                self._last = raw_pts
                return self._last, None
            # A recording may begin at any time of day, and its successor knows at which.
            self._last = 0 if next_raw_pts is None else next_raw_pts - self._step
            return self._last, ClockFault("missing-pts", "the first picture has no timestamp; placed before the second")
        if raw_pts is None:
            self._last = last + self._step
            return self._last, ClockFault("missing-pts", "no timestamp; placed one frame after its predecessor")
        pts = raw_pts + self._offset
        if pts > last:
            is_spike = pts - last > SPIKE_S * self._second and (
                next_raw_pts is not None and last < next_raw_pts + self._offset < pts
            )
            if is_spike:
                self._last = last + self._step
                text = f"the timestamp jumps {(pts - last) / self._second:.1f} s ahead and back; placed in order"
                return self._last, ClockFault("time-jump", text)
            self._step, self._last = pts - last, pts
            return pts, None
        if last - pts > GLUED_S * self._second:
            self._last = last + self._step
            self._offset += self._last - pts
            text = f"time jumps back by {(last - pts) / self._second:.3f} s; continued from the frame before"
            return self._last, ClockFault("time-jump", text)
        self._last = last + max(1, self._step // 2)
        return self._last, ClockFault("non-monotonic-pts", "the timestamp does not rise; moved after its predecessor")
