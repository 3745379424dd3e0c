"""How long after it was seen a frame's tracks were known, summed up in bounded memory."""

from __future__ import annotations

from collections import Counter

# Delays are counted to this precision.
GRAIN_S = 0.02


class Delays:
    """Counts delays in seconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.longest_s = 0.0

    def add(self, delay_s: float) -> None:
        self._counts[min(round(delay_s / GRAIN_S), 100_000)] += 1
        self.longest_s = max(self.longest_s, delay_s)

    def share_within(self, limit_s: float) -> float:
        """Share of the frames that came out in time, 1 where there are none."""
        total = self._counts.total()
        return sum(n for at, n in self._counts.items() if at * GRAIN_S <= limit_s) / total if total else 1.0

    def quantile(self, share: float) -> float | None:
        """The delay that this share of the frames does not exceed; None where there are none."""
        left = share * self._counts.total()
        for at in sorted(self._counts):
            left -= self._counts[at]
            if left <= 0:
                return round(at * GRAIN_S, 3)
        return None
