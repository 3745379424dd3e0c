"""Intervals of rates and shares: what a count can promise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from scipy.stats import beta, chi2, nbinom

Item = TypeVar("Item")

CONFIDENCE = 0.95
RESAMPLES = 400


def poisson_interval(count: float, exposure: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact (Garwood) interval of a rate from `count` events in `exposure`; the rate is per unit of exposure."""
    tail = (1 - confidence) / 2
    low = chi2.ppf(tail, 2 * count) / 2 if count > 0 else 0.0
    return float(low / exposure), float(chi2.ppf(1 - tail, 2 * count + 2) / 2 / exposure)


def predicted_count(
    count: float, exposure: float, future: float, confidence: float = CONFIDENCE, dispersion: float = 1.0
) -> tuple[float, float]:
    """Interval in which the count of a later stretch of length `future` lies.

    Gamma posterior of the rate (Jeffreys' prior) and Poisson counts. dispersion: variance of counts over their mean
    where events come in clusters; the interval then is that of `count / dispersion` clusters.
    """
    tail = (1 - confidence) / 2
    shape, chance = count / dispersion + 0.5, exposure / (exposure + future)
    low, high = (float(nbinom.ppf(q, shape, chance)) for q in (tail, 1 - tail))
    return dispersion * low, dispersion * high


def share_interval(hits: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Clopper-Pearson interval of a share; (0, 1) when there is nothing to count."""
    if not total:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, hits, total - hits + 1) if hits else 0.0
    high = beta.ppf(1 - tail, hits + 1, total - hits) if hits < total else 1.0
    return float(low), float(high)


def exposure_for_bound(rate: float, confidence: float = CONFIDENCE) -> float:
    """Exposure without a single event after which the rate is below `rate` with this confidence (rule of three)."""
    return -math.log(1 - confidence) / rate


def bootstrap_interval(
    statistic: Callable[[Sequence[Item]], float], sample: Sequence[Item], seed: int = 0, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Percentile interval of `statistic` over resamples of `sample`; unbounded for fewer than two items.

    Of few items it is narrower than its confidence says: see docs/reference/measures.md.
    """
    if len(sample) < 2:
        return -math.inf, math.inf
    rng = np.random.default_rng(seed)
    drawn = [statistic([sample[i] for i in rng.integers(len(sample), size=len(sample))]) for _ in range(RESAMPLES)]
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
