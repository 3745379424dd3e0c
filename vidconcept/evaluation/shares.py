"""Thresholds from the strengths of candidates: how alarms fall off with the score, an equal share for each concept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

# A concept's tail begins where this many candidates lie above, or this far from the usual threshold, in log-odds; if
# even the lowest of these lies much farther above, there.
TAIL, NEAR, FAR = 10, -0.5, 0.5
# The width of a tail that nothing is known of, the candidates that this is worth; those that the width of all concepts
# is worth for one of them; and events that were not seen.
WIDTH, WIDTH_COUNTS, OWN_COUNTS, UNSEEN = 0.4, 4, 10, 0.5
LOWEST, HIGHEST = 0.05, 0.99


@dataclass(frozen=True)
class Tail:
    """How many events good footage gives at a threshold of one concept, which lies `excess` above the usual one.

    All in log-odds. ranked: what the candidates have above the usual threshold, highest first. Above `start`, where
    there are few, their number is taken to fall by a factor of e over `width`; below it they are counted.
    """

    ranked: np.ndarray = field(repr=False)
    start: float
    above: float
    width: float

    def expect(self, excess: float) -> float:
        """Events at a threshold of this excess."""
        if excess >= self.start:
            return self.above * math.exp((self.start - excess) / self.width)
        return max(self.above, float(np.count_nonzero(self.ranked >= excess)))

    def reach(self, count: float) -> float:
        """The excess at which `count` events are expected."""
        if count <= self.above:
            return self.start + self.width * math.log(self.above / count)
        if count > len(self.ranked):
            return -math.inf
        return min(self.start, float(np.interp(count, np.arange(1, len(self.ranked) + 1), self.ranked)))


def fit_tails(strengths: Mapping[str, np.ndarray], usual: Mapping[str, float]) -> dict[str, Tail]:
    """The tail of each concept from its candidates, `(candidate,)`. usual: thresholds without a calibration.

    A concept with few candidates gets the width of all together.
    """
    ranked = {
        name: np.sort([log_odds(float(strength)) - log_odds(usual[name]) for strength in own])[::-1]
        for name, own in strengths.items()
    }
    starts = {name: _find_start(own) for name, own in ranked.items()}
    excess = {name: own[own >= starts[name]] - starts[name] for name, own in ranked.items()}
    width = _average(np.concatenate(list(excess.values())), WIDTH, WIDTH_COUNTS)
    return {
        name: Tail(own, starts[name], len(excess[name]) + UNSEEN, _average(excess[name], width, OWN_COUNTS))
        for name, own in ranked.items()
    }


def _find_start(ranked: np.ndarray) -> float:
    near = ranked[ranked >= NEAR]
    if len(near) > TAIL:
        return float(near[TAIL])
    if len(near) > 1 and near[-1] > FAR:
        # What lies far above and close together falls off no more slowly for that.
        return float(near[-1]) - WIDTH / len(near)
    return NEAR


def _average(values: np.ndarray, expected: float, counts: float) -> float:
    """Mean of the values and of `counts` more that are as expected."""
    return (float(values.sum()) + expected * counts) / (len(values) + counts)


def log_odds(score: float) -> float:
    clipped = min(max(score, 1e-6), 1 - 1e-6)
    return math.log(clipped / (1 - clipped))


def _share_out(tails: Mapping[str, Tail], at_lowest: Mapping[str, float], allowed: float) -> float:
    """The number of events that each concept may have so that all have `allowed`; at its lowest some have fewer."""
    fewest, most = 0.0, allowed
    for _ in range(60):
        share = (fewest + most) / 2
        total = sum(min(share, tail.expect(at_lowest[name])) for name, tail in tails.items())
        fewest, most = (share, most) if total <= allowed else (fewest, share)
    return most


@dataclass(frozen=True)
class Shares:
    """Thresholds of an equal share for each concept. wished: what they would be if any could be had."""

    share: float
    thresholds: dict[str, float]
    wished: dict[str, float]


def share_alarms(
    strengths: Mapping[str, np.ndarray], usual: Mapping[str, float], floors: Mapping[str, float], allowed: float
) -> Shares:
    """Thresholds at which `allowed` events are expected on the footage that the candidates come from.

    strengths: `(candidate,)` of each concept. usual: thresholds without a calibration. floors: no threshold lies below.

    Each concept gets an equal share: if the number of its alarms falls exponentially in log-odds, by the same width for
    all, this raises the thresholds least in all. Concepts that give fewer even at their lowest leave the rest to the
    others.
    """
    tails = fit_tails(strengths, usual)
    at_lowest = {name: log_odds(floors[name]) - log_odds(level) for name, level in usual.items()}
    share = _share_out(tails, at_lowest, allowed)
    wished = {name: 1 / (1 + math.exp(-log_odds(level) - tails[name].reach(share))) for name, level in usual.items()}
    thresholds = {}
    for name, own in strengths.items():
        threshold = _ceil_to_thousandths(min(max(wished[name], floors[name]), HIGHEST))
        # Equal strengths become alarms together: all or none of them, whatever is nearer to the share.
        count, beyond = np.count_nonzero(own >= threshold), np.count_nonzero(own > threshold)
        if count - beyond > 1 and share - beyond < count - share:
            threshold = min(round(threshold + 1e-3, 3), HIGHEST)
        thresholds[name] = threshold
    return Shares(share, thresholds, wished)


def _ceil_to_thousandths(score: float) -> float:
    """Up to the next thousandth; strengths are rounded down to one, so what is counted is what `track` will find."""
    return math.ceil(score * 1000 - 1e-6) / 1000
