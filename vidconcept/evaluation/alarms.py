"""From what good footage looks like to thresholds, and to what they promise: pure statistics of candidates."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vidconcept.evaluation.statistics import CONFIDENCE, exposure_for_bound, poisson_interval, predicted_count
from vidconcept.tracks.events import holds_threshold, shortest_span_s
from vidconcept.wording import format_number

# A concept's tail begins where this many candidates lie above, or this far from the usual threshold, in log-odds.
TAIL, NEAR = 10, -0.5
# The width of a tail that nothing is known of, the candidates that this is worth, and events that were not seen.
WIDTH, WIDTH_COUNTS, UNSEEN = 0.4, 4, 0.5
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
    less than one alarm is allowed on this footage; fitted: enough was seen to know how alarms fall off. lowest: of each
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


def fit_tails(candidates: Sequence[Candidate], usual: Mapping[str, float]) -> dict[str, Tail]:
    """The tail of each concept. usual: thresholds without a calibration.

    The width is one for all concepts: each alone has too few candidates to tell.
    """
    ranked = {
        name: np.sort([_log_odds(c.strength) - _log_odds(level) for c in candidates if c.concept == name])[::-1]
        for name, level in usual.items()
    }
    starts = {name: float(max([NEAR, *own[TAIL : TAIL + 1]])) for name, own in ranked.items()}
    excess = np.concatenate([own[own > starts[name]] - starts[name] for name, own in ranked.items()])
    width = (excess.sum() + WIDTH * WIDTH_COUNTS) / (len(excess) + WIDTH_COUNTS)
    return {
        name: Tail(own, starts[name], float(np.count_nonzero(own > starts[name])) + UNSEEN, float(width))
        for name, own in ranked.items()
    }


def _log_odds(score: float) -> float:
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


def choose(
    candidates: Sequence[Candidate],
    usual: Mapping[str, float],
    hours: float,
    target_per_hour: float,
    lowest: Mapping[str, float] | None = None,
) -> Choice:
    """Thresholds at which all concepts together give the target rate of false alarms.

    usual: thresholds without a calibration. lowest: of each concept; no threshold lies below it, however quiet the
    footage is. What scores less was too little to be followed; there the next hour holds clusters of false alarms that
    this one did not show.

    Each concept gets an equal share of the alarms: if their number falls exponentially in log-odds, by the same width
    for all, this raises the thresholds least in all. Concepts that give fewer even at their lowest leave the rest to
    the others.
    """
    floors = dict.fromkeys(usual, LOWEST) | dict(lowest or {})
    tails = fit_tails(candidates, usual)
    allowed = target_per_hour * hours
    at_lowest = {name: _log_odds(floors[name]) - _log_odds(level) for name, level in usual.items()}
    share = _share_out(tails, at_lowest, allowed)
    wished = {name: 1 / (1 + math.exp(-_log_odds(level) - tails[name].reach(share))) for name, level in usual.items()}
    thresholds = {name: _ceil_to_thousandths(min(max(t, floors[name]), HIGHEST)) for name, t in wished.items()}
    alarms = [c for c in candidates if c.strength >= thresholds[c.concept]]
    strongest = sorted(candidates, key=lambda c: _log_odds(usual[c.concept]) - _log_odds(c.strength))
    dispersion = measure_clustering([c.time_s for c in strongest[: max(len(alarms), 30)]], hours * 3600)
    return Choice(
        thresholds,
        hours,
        target_per_hour,
        len(alarms),
        per_hour_95=poisson_interval(len(alarms) / dispersion, hours / dispersion),
        again_95=predicted_count(len(alarms), hours, hours, dispersion=dispersion),
        dispersion=dispersion,
        extrapolated=allowed < 1,
        fitted=allowed < 1 and sum(tail.above - UNSEEN for tail in tails.values()) >= WIDTH_COUNTS,
        lowest=floors,
        clamped=any(wished[name] <= floors[name] for name in wished),
        capped=max(wished.values()) > HIGHEST and len(alarms) > allowed,
    )


def _ceil_to_thousandths(score: float) -> float:
    """Up to the next thousandth; strengths are rounded down to one, so what is counted is what `track` will find."""
    return math.ceil(score * 1000 - 1e-6) / 1000


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
