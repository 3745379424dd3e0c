"""From what good footage looks like to thresholds, and to what they promise: pure statistics of candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidconcept.evaluation.shares import HIGHEST, LOWEST, WIDTH_COUNTS, log_odds, share_alarms
from vidconcept.evaluation.statistics import CONFIDENCE, exposure_for_bound, poisson_interval, predicted_count
from vidconcept.tracks.events import holds_threshold, shortest_span_s
from vidconcept.wording import format_count, format_number

# Alarms are counted in each of so many stretches with the thresholds of the others.
STRETCHES = 4


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

    alarms: events on the calibration footage at these thresholds, which is few, for the thresholds fit this footage.
    left_out: the same, each stretch with the thresholds that the others give, less well known. per_hour_95: interval of
    the rate of false alarms, from the lower end for one of both numbers to the upper end for the other.
    again_95: the same of their number on as much footage again, which is wider: that number is chance as well.
    dispersion: how much more the count of alarms varies from stretch to stretch than single ones would. extrapolated:
    some thresholds allow less than one alarm on this footage; fitted: enough was seen to know how alarms fall off.
    lowest: of each concept, the threshold below which none is offered. clamped, capped: concepts that give fewer alarms
    than their share at the lowest, and more than the whole target allows at the highest.
    """

    thresholds: dict[str, float]
    hours: float
    target_per_hour: float
    alarms: int
    left_out: int
    per_hour_95: tuple[float, float]
    again_95: tuple[float, float]
    dispersion: float
    extrapolated: bool
    fitted: bool
    lowest: dict[str, float]
    clamped: tuple[str, ...]
    capped: tuple[str, ...]

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


def _sort_strengths(candidates: Sequence[Candidate], concepts: Iterable[str]) -> dict[str, np.ndarray]:
    return {name: np.array([c.strength for c in candidates if c.concept == name]) for name in concepts}


def _count_left_out(
    candidates: Sequence[Candidate],
    usual: Mapping[str, float],
    floors: Mapping[str, float],
    allowed: float,
    hours: float,
) -> int:
    """Alarms in each stretch of the footage with the thresholds that the other stretches give."""
    at = [min(int(STRETCHES * c.time_s / (hours * 3600)), STRETCHES - 1) for c in candidates]
    count = 0
    for stretch in range(STRETCHES):
        others = [c for c, own in zip(candidates, at, strict=True) if own != stretch]
        strengths = _sort_strengths(others, usual)
        thresholds = share_alarms(strengths, usual, floors, allowed * (1 - 1 / STRETCHES)).thresholds
        count += sum(
            own == stretch and c.strength >= thresholds[c.concept] for c, own in zip(candidates, at, strict=True)
        )
    return count


def _span(intervals: Iterable[tuple[float, float]]) -> tuple[float, float]:
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


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
    """
    floors = {name: min((lowest or {}).get(name, LOWEST), HIGHEST) for name in usual}
    allowed = target_per_hour * hours
    chosen = share_alarms(_sort_strengths(candidates, usual), usual, floors, allowed)
    thresholds = chosen.thresholds
    alarms = [c for c in candidates if c.strength >= thresholds[c.concept]]
    counts = len(alarms), _count_left_out(candidates, usual, floors, allowed, hours)
    strongest = sorted(candidates, key=lambda c: log_odds(usual[c.concept]) - log_odds(c.strength))
    dispersion = measure_clustering([c.time_s for c in strongest[: max(len(alarms), 30)]], hours * 3600)
    at_highest = {
        name: sum(c.concept == name and c.strength >= HIGHEST for c in candidates)
        for name, wished in chosen.wished.items()
        if wished > HIGHEST
    }
    return Choice(
        thresholds,
        hours,
        target_per_hour,
        *counts,
        per_hour_95=_span(poisson_interval(n / dispersion, hours / dispersion) for n in counts),
        again_95=_span(predicted_count(n, hours, hours, dispersion=dispersion) for n in counts),
        dispersion=dispersion,
        extrapolated=chosen.share < 1 and any(t > floors[name] for name, t in thresholds.items()),
        fitted=sum(c.strength >= floors[c.concept] for c in candidates) >= WIDTH_COUNTS,
        lowest=floors,
        clamped=tuple(name for name, wished in chosen.wished.items() if wished <= floors[name]),
        capped=tuple(
            name
            for name, count in at_highest.items()
            if poisson_interval(count / dispersion, hours / dispersion)[0] > target_per_hour
        ),
    )


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
        f"{footage} of good footage gave {format_count(choice.alarms, 'alarm')} at these thresholds, and "
        f"{choice.left_out} where each quarter is judged by the other three: the rate lies between {rates}; "
        f"target {choice.target_per_hour:g}.",
        f"Another {footage} of good footage will give {math.floor(fewest)} to {math.ceil(most)} alarms "
        f"({CONFIDENCE:.0%}): this number is random even if the rate is known.",
    ]
    if choice.extrapolated:
        how = (
            "from how the number of alarms falls with the score"
            if choice.fitted
            else "by a rule of thumb, because there are too few candidates"
        )
        lines.append(
            "The target allows some concepts less than one alarm on this footage, so their thresholds are extrapolated "
            f"{how}; footage of this length cannot confirm them."
        )
    if choice.capped:
        lines.append(
            f"Good footage scores above the highest possible threshold ({HIGHEST:g}) more often than the target "
            f"allows: {', '.join(choice.capped)}; more footage does not change that. Next: leave out what raises the "
            "alarms, or name what it finds in `background=…`"
        )
    elif high > 2 * choice.target_per_hour:
        lines.append(
            f"This is too little to promise {choice.target_per_hour:g} an hour: that limit is certain "
            f"({CONFIDENCE:.0%}) after {_duration(choice.hours_for_bound)} without an alarm; to know the rate to about "
            f"±50 % takes {_duration(choice.hours_for_half)}."
        )
    if choice.clamped:
        named = ", ".join(f"{name} {choice.thresholds[name]:g}" for name in choice.clamped)
        lines.append(f"At their lowest possible threshold, where they give less than their share of alarms: {named}.")
    highest = [name for name, value in choice.thresholds.items() if value >= HIGHEST and name not in choice.capped]
    if highest:
        lines.append(
            f"At the highest possible threshold ({HIGHEST:g}), which may not be high enough: {', '.join(highest)}."
        )
    if choice.dispersion > 1.5:
        lines.append(f"Alarms come in clusters ({choice.dispersion:.1f} at a time); the interval allows for that.")
    return lines


def _duration(hours: float) -> str:
    return f"{format_number(hours)} hours" if hours >= 1 else f"{format_number(60 * hours)} minutes"
