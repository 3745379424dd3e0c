"""What a sweep and a stress test read: types, and the figures that come out of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidconcept.attention.maps import Reduce
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.metrics.masks import Confusion
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.evaluation.statistics import bootstrap_interval

# With fewer clips that show an asked concept, nothing is said of how clips differ.
FEWEST_CLIPS = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the maps. layers_name: "3" for a single layer, "all", "preset" or "deep half".

    left_out: words beside the asked ones that are kept out of the softmax. sinks: stop words that draw off attention.
    averaged: timesteps whose scores are averaged, instead of `timestep`.
    """

    method: str
    layers_name: str
    layers: tuple[int, ...]
    timestep: int
    reduce: Reduce
    draws: int
    left_out: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    averaged: tuple[int, ...] = ()

    @property
    def timesteps(self) -> tuple[int, ...]:
        return self.averaged or (self.timestep,)


@dataclass
class Tally:
    """Counts of one reading over one clip: a curve for each asked concept, and the labels that win.

    on_truth: sums of concept a's scores, each times the share of its token that is truly concept b, `(a, b)`.
    in_sight: sums of concept a's scores over the windows that show concept b, `(a, b)`.
    """

    curves: list[Curves] = field(repr=False)
    confusion: Confusion = field(repr=False)
    on_truth: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    in_sight: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)), repr=False)

    @classmethod
    def of(cls, concepts: int) -> Tally:
        none = np.zeros((concepts, concepts))
        return cls([Curves() for _ in range(concepts)], Confusion.of(concepts + 1), none, none)

    def add_leakage(self, scores: np.ndarray, shares: np.ndarray) -> None:
        """Count one window: scores and true shares, both `(concept, token)`."""
        self.on_truth = self.on_truth + scores @ shares.T
        self.in_sight = self.in_sight + scores.sum(1, keepdims=True) * (shares.sum(1) > 0)


@dataclass(frozen=True)
class Sweep:
    """tallies: reading -> clip -> counts. facts: data, model, settings, versions."""

    concepts: tuple[str, ...]
    tallies: Mapping[Reading, Mapping[str, Tally]] = field(repr=False)
    base: Reading
    facts: Mapping[str, Any] = field(repr=False)


def mean_ap(tallies: Iterable[Tally]) -> float:
    """Mean over concepts of the average precision over all tokens of the clips; concepts that never occur left out."""
    rows = list(tallies)
    values = []
    for parts in zip(*(tally.curves for tally in rows), strict=True):
        whole = Curves()
        for curves in parts:
            whole.merge(curves)
        if whole.positive.sum():
            values.append(whole.average_precision)
    return float(np.mean(values)) if values else float("nan")


def list_showing(tallies: Mapping[str, Tally]) -> list[str]:
    """The clips that show an asked concept."""
    return [name for name, tally in tallies.items() if any(curves.positive.sum() for curves in tally.curves)]


def mean_iou(tallies: Iterable[Tally]) -> float:
    """mIoU of the winning words, background one of them."""
    tables = [tally.confusion.table for tally in tallies]
    return Confusion(np.sum(tables, axis=0)).mean_iou


def mean_leakage(tallies: Iterable[Tally]) -> float:
    """How much of a concept's map lies where another one truly is, in [0, 1], over the windows that show the other.

    The mean over all ordered pairs of concepts of which the other occurs; NaN where there is none.
    """
    rows = list(tallies)
    on_truth, in_sight = (np.sum(x, axis=0) for x in ([t.on_truth for t in rows], [t.in_sight for t in rows]))
    pairs = ~np.eye(len(on_truth), dtype=bool) & (in_sight > 0)
    return float((on_truth[pairs] / in_sight[pairs]).mean()) if pairs.any() else float("nan")


def compare_levels(
    sweep: Sweep,
    ones: Sequence[Reading],
    others: Sequence[Reading],
    measure: Callable[[Iterable[Tally]], float] = mean_ap,
    seed: int = 0,
) -> tuple[float, float, float]:
    """The measure of `ones` less that of `others`, and its 95 % interval by resampling clips in pairs.

    Clips that show an asked concept are resampled; the others, which have no measure of their own, go beside them. With
    fewer than `FEWEST_CLIPS` of the former the interval is unbounded: too little is known of how clips differ.
    """
    clips = sweep.tallies[ones[0]]
    showing = list_showing(clips)
    beside = [name for name in clips if name not in showing]

    def level(readings: Sequence[Reading], names: Sequence[str]) -> float:
        return float(np.mean([measure([sweep.tallies[r][n] for n in names]) for r in readings]))

    def gap(names: Sequence[str]) -> float:
        names = [*names, *beside]
        return level(ones, names) - level(others, names)

    if len(showing) < FEWEST_CLIPS:
        return gap(showing), -math.inf, math.inf
    return gap(showing), *bootstrap_interval(gap, showing, seed)


@dataclass(frozen=True)
class Stressed:
    """counts: events of the perturbed footage against the reference. level: of the perturbation, 0 for none."""

    name: str
    unit: str
    severity: int
    level: float
    counts: EventCounts
    by_concept: Mapping[str, EventCounts] = field(repr=False)


@dataclass(frozen=True)
class StressTest:
    """results: the unperturbed footage first. against: "truth" or "the clean run's findings"."""

    results: tuple[Stressed, ...]
    against: str
    megapixels: float
    facts: Mapping[str, Any] = field(repr=False)
