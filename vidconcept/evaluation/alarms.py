"""From what good footage looks like to thresholds, and to what they promise: pure statistics of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidconcept.evaluation.statistics import CONFIDENCE, exposure_for_bound, poisson_interval, predicted_count
from vidconcept.tracks.events import holds_threshold, shortest_span_s
from vidconcept.wording import format_number

# The tail beyond the highest candidates is fitted to at most this many, and not to fewer than this.
TAIL, SMALLEST_TAIL = 40, 8
LOWEST, HIGHEST = 0.05, 0.99


@dataclass(frozen=True, slots=True)
class Candidate:
    """A track that good footage would give: the highest threshold at which it is an event, and after how many seconds
    of footage.
    """

    concept: str
    strength: float
    time_s: float


@dataclass(frozen=True)
class Choice:
    """Thresholds and what they promise.

    alarms: events on the calibration footage at these thresholds. per_hour_95: interval of the rate of false alarms.
    again_95: interval of their number on as much footage again, which is wider: that number is chance as well.
    dispersion: how much more the count of alarms varies from stretch to stretch than single ones would. extrapolated:
    the thresholds lie above everything that was seen; fitted: along a tail, not by rule of thumb. lowest: of each
    concept, the threshold below which none is offered. clamped, capped: the lowest thresholds offered give fewer alarms
    than wished, the highest more.
    """

    thresholds: dict[str, float]
    hours: float
    target_per_hour: float
    alarms: int
    per_hour_95: tuple[float, float]
    again_95: tuple[float, float]
    dispersion: float
    extrapolated: bool
    fitted: bool
    lowest: dict[str, float]
    clamped: bool
    capped: bool

    @property
    def hours_for_bound(self) -> float:
        """Good footage without a single alarm that promises, at 95 %, no more than the target rate."""
        return exposure_for_bound(self.target_per_hour) * self.dispersion

    @property
    def hours_for_half(self) -> float:
        """Good footage at the target rate that tells it to within about a half: 16 alarms."""
        return 16 * self.dispersion / self.target_per_hour


def find_strengths(
    times_s: Sequence[float],
    scores: Sequence[float],
    min_duration_s: float,
    max_gap_s: float,
    frame_s: float,
    hysteresis: float = 1.0,
    shown_s: Sequence[float] | np.ndarray | None = None,
) -> list[tuple[float, float]]:
    """The events that a track, given by its rows, turns into at rising thresholds: `(strength, start in seconds)`.

    frame_s: how long a frame is usually shown. shown_s: the same of the frame of each row, where that differs.

    Rows below `hysteresis` times the threshold drop out; a run of rows in which less than `max_gap_s` is missing, that
    lasts `min_duration_s` and reaches the threshold for long enough, is an event. One long track at a low threshold may
    be several events at a higher one: as many strengths lie above a level as there are events at the level above it
    that has most.
    """
    times, values = np.asarray(times_s), np.asarray(scores, float)
    peaks = _floor_to_thousandths(values)
    # The count of events changes where a row reaches the threshold, or where it comes to be followed.
    levels = np.union1d(peaks, _floor_to_thousandths(values / hysteresis))
    shortest_s = shortest_span_s(min_duration_s, frame_s)
    lengths_s = np.full(len(times), frame_s) if shown_s is None else np.asarray(shown_s, float)
    found: list[tuple[float, float]] = []
    for level in levels[levels <= peaks.max()][::-1]:
        left = np.flatnonzero(values >= hysteresis * level)
        starts = np.append(0, np.flatnonzero(np.diff(times[left]) > max_gap_s + 1.5 * frame_s) + 1)
        begins, ends = times[left[starts]], times[left[np.append(starts[1:], len(left)) - 1]]
        reaches = peaks[left] >= level
        reached_s = np.add.reduceat(reaches * lengths_s[left], starts)
        span_s = ends - begins
        holds = np.logical_or.reduceat(reaches, starts) & holds_threshold(reached_s, span_s, frame_s)
        lasting = np.flatnonzero((span_s >= shortest_s) & holds)
        known = np.sort([start for _, start in found])
        new = np.searchsorted(known, begins[lasting], "left") == np.searchsorted(known, ends[lasting], "right")
        fresh = begins[lasting][new][: max(len(lasting) - len(found), 0)]
        found += [(float(level), float(begin)) for begin in fresh]
    return found


def _floor_to_thousandths(scores: np.ndarray) -> np.ndarray:
    """Rounded down, as thresholds are chosen."""
    return np.floor(scores * 1000) / 1000


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the frame peaks of a concept lie on good footage: middle and width in log-odds."""

    middle: float
    width: float

    @classmethod
    def fit(cls, peaks: np.ndarray) -> Scale:
        """peaks: highest judged score of each frame."""
        odds = _log_odds(peaks)
        middle, high = np.quantile(odds, [0.5, 0.95])
        return cls(float(middle), float(max(high - middle, 0.25)))

    def standardise(self, score: float) -> float:
        return float((_log_odds(np.float64(score)) - self.middle) / self.width)

    def score(self, standard: float) -> float:
        return float(1 / (1 + math.exp(-(self.middle + self.width * standard))))


def _log_odds(scores: np.ndarray | np.float64) -> np.ndarray:
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def choose(
    candidates: Sequence[Candidate],
    scales: Mapping[str, Scale],
    hours: float,
    target_per_hour: float,
    lowest: Mapping[str, float] | None = None,
) -> Choice:
    """Thresholds at which all concepts together give the target rate of false alarms.

    Each concept's scores are put on the scale of its own frame peaks; on it one level serves all. The level leaves as
    many candidates above it as the wish allows; where that is less than one, an exponential tail is carried on.
    The level is an order statistic of the same candidates, and Garwood's interval of the count above it holds for the
    rate there: above the n-th of a Poisson process lies a gamma share of order n, above the next one of order n + 1.
    lowest: of each concept; no threshold lies below it, however quiet the footage is. What scores less was too little
    to be followed; there the next hour holds clusters of false alarms that this one did not show. Such candidates raise
    no other concept's threshold either.
    """
    floors = dict.fromkeys(scales, LOWEST) | dict(lowest or {})
    ranked, counted = (
        sorted((scales[c.concept].standardise(c.strength) for c in some), reverse=True)
        for some in (candidates, [c for c in candidates if c.strength >= floors[c.concept]])
    )
    allowed = target_per_hour * hours
    count = math.floor(allowed)
    extrapolated = allowed < 1
    at_lowest = [scale.standardise(floors[name]) for name, scale in scales.items()]
    if extrapolated:
        level = _extrapolate(ranked, allowed)
    elif len(counted) <= count:
        level = min(at_lowest)
    else:
        level = (counted[count - 1] + counted[count]) / 2
    wished = {name: scale.score(level) for name, scale in scales.items()}
    thresholds = {name: _ceil_to_thousandths(min(max(t, floors[name]), HIGHEST)) for name, t in wished.items()}
    alarms = [c for c in candidates if c.strength >= thresholds[c.concept]]
    dispersion = measure_clustering(
        [c.time_s for c in _pick_strongest(candidates, scales, max(len(alarms), 30))], hours * 3600
    )
    return Choice(
        thresholds,
        hours,
        target_per_hour,
        len(alarms),
        per_hour_95=poisson_interval(len(alarms) / dispersion, hours / dispersion),
        again_95=predicted_count(len(alarms), hours, hours, dispersion=dispersion),
        dispersion=dispersion,
        extrapolated=extrapolated,
        fitted=extrapolated and len(ranked) >= 2 * SMALLEST_TAIL,
        lowest=floors,
        clamped=level < max(at_lowest) or (not extrapolated and len(counted) <= count),
        capped=max(wished.values()) > HIGHEST and len(alarms) > allowed,
    )


def _ceil_to_thousandths(score: float) -> float:
    """Up to the next thousandth; strengths are rounded down to one, so what is counted is what `track` will find."""
    return math.ceil(score * 1000 - 1e-6) / 1000


def _extrapolate(ranked: Sequence[float], allowed: float) -> float:
    """The level that `allowed` < 1 candidates are expected to exceed, by an exponential tail over the highest ones."""
    top = min(TAIL, len(ranked) // 2)
    if top < SMALLEST_TAIL:
        # Too few to fit a tail to: one width above the highest, and well above ordinary frames.
        return max([4.0, *(standard + 1.0 for standard in ranked[:1])])
    start = ranked[top]
    mean_excess = float(np.mean(ranked[:top])) - start
    return max(start + mean_excess * math.log(top / allowed), ranked[0] + 1e-3)


def _pick_strongest(candidates: Sequence[Candidate], scales: Mapping[str, Scale], count: int) -> list[Candidate]:
    return sorted(candidates, key=lambda c: -scales[c.concept].standardise(c.strength))[:count]


def measure_clustering(times_s: Sequence[float], total_s: float, stretches: int = 10) -> float:
    """Variance over mean of the counts in equal stretches of time, at least 1; 1 with too few events to tell.

    With fewer than two events a stretch there are fewer stretches, down to half of them.
    """
    if len(times_s) < stretches or total_s <= 0:
        return 1.0
    stretches = min(stretches, len(times_s) // 2)
    counts = np.histogram(times_s, bins=stretches, range=(0.0, total_s))[0]
    return max(1.0, float(counts.var(ddof=1) / counts.mean()))


def describe_choice(choice: Choice) -> list[str]:
    """What the calibration promises and what it does not, in plain words."""
    (low, high), (fewest, most) = choice.per_hour_95, choice.again_95
    footage = f"{choice.hours * 60:.1f} minutes" if choice.hours >= 1 / 60 else f"{choice.hours * 3600:.0f} seconds"
    rates = f"{format_number(low)} and {format_number(high)} an hour ({CONFIDENCE:.0%})"
    lines = [
        f"{footage} of good footage gave {choice.alarms} alarms at these thresholds: the rate lies between {rates}; "
        f"target {choice.target_per_hour:g}.",
        f"Another {footage} of good footage will give {fewest:.0f} to {most:.0f} alarms ({CONFIDENCE:.0%}): "
        "this number is random even if the rate is known.",
    ]
    if choice.extrapolated:
        how = (
            "from the tail of the highest candidates"
            if choice.fitted
            else "by a rule of thumb, because there are too few candidates"
        )
        lines.append(
            "The target rate is below one alarm on this footage, so the threshold is extrapolated "
            f"{how}; footage of this length cannot confirm it."
        )
    if choice.capped:
        lines.append(
            f"Good footage scores above the highest possible threshold ({HIGHEST:g}) more often than the target "
            "allows; more footage does not change that. Next: leave out the concept that raises the alarms, or "
            "name what it finds in `background=…`"
        )
    elif high > 2 * choice.target_per_hour:
        lines.append(
            f"This is too little to promise {choice.target_per_hour:g} an hour: that limit is certain "
            f"({CONFIDENCE:.0%}) after {_duration(choice.hours_for_bound)} without an alarm; to know the rate to about "
            f"±50 % takes {_duration(choice.hours_for_half)}."
        )
    if choice.clamped:
        at_lowest = [name for name, value in choice.thresholds.items() if value <= choice.lowest[name] + 1e-3]
        named = ", ".join(f"{name} {choice.lowest[name]:g}" for name in at_lowest)
        lines.append(
            "Good footage scores so low that the lowest possible thresholds for its length give fewer alarms"
            + (f": {named}." if named else ".")
        )
    if choice.dispersion > 1.5:
        lines.append(f"Alarms come in clusters ({choice.dispersion:.1f} at a time); the interval allows for that.")
    return lines


def _duration(hours: float) -> str:
    return f"{format_number(hours)} hours" if hours >= 1 else f"{format_number(60 * hours)} minutes"
