"""Timestamps that rise strictly, whatever the file says."""

from dataclasses import dataclass
from fractions import Fraction

from vidconcept.video.joins import GLUED_S, SPIKE_S, describe_jump
from vidconcept.video.problems import ProblemKind


@dataclass(frozen=True, slots=True)
class ClockFault:
    """What was wrong with one timestamp. begins_anew: with this picture another recording may begin."""

    kind: ProblemKind
    message: str
    begins_anew: bool = False


class Clock:
    """Repairs presentation timestamps one by one, with a look-ahead to the next known one.

    Sound timestamps pass through unchanged. A missing one follows its predecessor by a usual step; one that
    does not rise is put half a step after its predecessor, so that its sound successors keep theirs. Where time stays
    back by more than a second, which `Joiner` could not see in the packets, it goes on from where it was.
    """

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        self._second = max(1, round(1 / time_base))
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, self._second // 25)
        self._step_before: int | None = None
        self._offset = 0
        self._last: int | None = None

    def stamp(self, raw_pts: int | None, next_raw_pts: int | None, ahead: int = 1) -> tuple[int, ClockFault | None]:
        """The timestamp to use, in the time base, and what was wrong with the file's own.

        next_raw_pts: of the picture that comes `ahead` places later; more than one only where none between has any.
        """
        last = self._last
        if last is None:
            if raw_pts is not None:
                self._last = raw_pts
                return self._last, None
            # A recording may begin at any time of day, and its successor knows at which.
            self._last = 0 if next_raw_pts is None else next_raw_pts - ahead * self._step
            return self._last, ClockFault(
                "missing-pts", "no timestamp at the start; placed before the first that has one"
            )
        if raw_pts is None:
            self._last = last + self._step
            return self._last, ClockFault("missing-pts", "no timestamp; placed one frame after its predecessor")
        pts, next_pts = raw_pts + self._offset, None if next_raw_pts is None else next_raw_pts + self._offset
        if pts > last:
            if pts - last > SPIKE_S * self._second and next_pts is not None and last < next_pts < pts:
                self._last = last + self._step
                text = f"the timestamp jumps {(pts - last) / self._second:.1f} s ahead and back; placed in order"
                return self._last, ClockFault("time-jump", text)
            # The smaller of the last two: a hole says nothing of where a picture after it belongs.
            step = pts - last
            self._step, self._step_before, self._last = min(step, self._step_before or step), step, pts
            return pts, None
        if last - pts > GLUED_S * self._second and (next_pts is None or next_pts <= last):
            self._last = last + self._step
            self._offset += self._last - pts
            return self._last, ClockFault("time-jump", describe_jump((last - pts) / self._second), begins_anew=True)
        self._last = last + max(1, self._step // 2)
        return self._last, ClockFault("non-monotonic-pts", "the timestamp does not rise; moved after its predecessor")
