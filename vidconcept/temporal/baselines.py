"""The plain smoothing methods, which mix latent steps at the same place of the picture."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from vidconcept.temporal.motion import Motion
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.stream import Step
from vidconcept.temporal.unpool import upsample

Motions = Mapping[int, Motion]


def hold(
    steps_nearby: Sequence[Step], index: int, stretch: Sequence[int], motions: Motions, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """Each latent step alone."""
    return _mix(steps_nearby, index, stretch, lambda position: _measure_distances(steps_nearby, index) == 0)


def hold_blocks(
    steps_nearby: Sequence[Step], index: int, stretch: Sequence[int], motions: Motions, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """Each latent step alone, a token a block of pixels."""
    return _mix(
        steps_nearby, index, stretch, lambda position: _measure_distances(steps_nearby, index) == 0, nearest=True
    )


def interpolate(
    steps_nearby: Sequence[Step], index: int, stretch: Sequence[int], motions: Motions, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """Linear in time between the centres of latent steps."""
    centres = np.array([(step.maps.first + step.maps.last) / 2 for step in steps_nearby])
    return _mix(steps_nearby, index, stretch, lambda position: _linear_weights(centres, position))


def average_past(
    steps_nearby: Sequence[Step], index: int, stretch: Sequence[int], motions: Motions, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """Exponential moving average over latent steps."""
    distance, weight = _measure_distances(steps_nearby, index), settings.ema_weight
    weights = np.where(distance <= 0, weight * (1.0 - weight) ** np.abs(distance), 0.0)
    return _mix(steps_nearby, index, stretch, lambda position: weights)


def average_around(
    steps_nearby: Sequence[Step], index: int, stretch: Sequence[int], motions: Motions, settings: SmoothSettings
) -> Iterator[np.ndarray]:
    """Gaussian mean over latent steps."""
    weights = np.exp(-0.5 * (_measure_distances(steps_nearby, index) / settings.gaussian_steps) ** 2)
    return _mix(steps_nearby, index, stretch, lambda position: weights)


def _measure_distances(steps_nearby: Sequence[Step], index: int) -> np.ndarray:
    return np.arange(len(steps_nearby)) - index


def _mix(
    steps_nearby: Sequence[Step],
    index: int,
    stretch: Sequence[int],
    weigh: Callable[[int], np.ndarray],
    *,
    nearest: bool = False,
) -> Iterator[np.ndarray]:
    """The weighted mean of the latent steps for each position, as frames `(concept, h, w)`."""
    h, w = steps_nearby[index].size
    for position in stretch:
        weight = weigh(position).astype(float)
        weight = (weight / weight.sum()).astype(np.float32)
        mixed = np.tensordot(weight, np.stack([s.maps.scores for s in steps_nearby]), axes=1)  # (concept, row, col)
        fine = np.zeros((len(mixed), h, w), np.float32)
        for concept, tokens in enumerate(mixed):
            fine[concept] = upsample(tokens, h, w, nearest=nearest)
        yield np.clip(fine, 0.0, 1.0)


def _linear_weights(centres: np.ndarray, position: int) -> np.ndarray:
    """Weights of the two latent steps whose centres enclose a position; beyond the last, of the last."""
    weight = np.zeros(len(centres))
    right = min(int(np.searchsorted(centres, position)), len(centres) - 1)
    left = max(0, right - 1)
    gap = centres[right] - centres[left]
    share = float(np.clip((position - centres[left]) / gap, 0.0, 1.0)) if gap else 0.0
    weight[left] += 1.0 - share
    weight[right] += share
    return weight
