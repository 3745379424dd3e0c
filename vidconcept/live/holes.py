"""Holes in the time of footage whose usual rate is not known in advance."""

from __future__ import annotations

from collections import deque
from statistics import median

from vidconcept.holes import hole_length_s

# Steps that the usual one is taken of, and how many must be there before a long one is called a hole.
LATEST_STEPS, FEWEST_STEPS = 101, 4


class HoleFinder:
    """Tells whether a step in time is a hole, by the median of the latest steps."""

    def __init__(self) -> None:
        self._steps: deque[float] = deque(maxlen=LATEST_STEPS)

    def step(self, step_s: float) -> bool:
        """The time since the frame before, and whether it is a hole."""
        is_hole = len(self._steps) >= FEWEST_STEPS and step_s > hole_length_s(median(self._steps))
        self._steps.append(step_s)
        return is_hole

    @property
    def usual_s(self) -> float | None:
        """The usual step, None while too few are known."""
        return median(self._steps) if len(self._steps) >= FEWEST_STEPS else None
