"""Stitching: overlapping windows of maps become one stream of latent steps, with no seam.

A latent step that several windows saw is their weighted mean. The weight of a window falls smoothly to its ends, so a
window fades in while its predecessor fades out. The first latent step of a window covers a single frame, the last of
its group of `step`: it is another measurement than its neighbours and counts little where a full one exists.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from vidconcept.types import ConceptMaps, LatentMaps, Origin

# A single-frame latent step against a full one of equal distance from the window's end.
SINGLE_FRAME_WEIGHT = 0.1


def window_weights(t_lat: int) -> np.ndarray:
    """Weight of each latent step of a window, `(t_lat,)` float64: a raised cosine that never reaches zero."""
    return np.sin(np.pi * (np.arange(t_lat) + 0.5) / t_lat) ** 2


@dataclass(slots=True)
class _Sum:
    """A latent step on its way: the weighted sum of what the windows said so far."""

    first: int
    last: int
    window_index: int = -1
    heaviest: float = 0.0
    weight: float = 0.0
    scores: np.ndarray | float = field(default=0.0, repr=False)

    def add(self, scores: np.ndarray, weight: float, first: int, last: int, window_index: int) -> None:
        self.first, self.last = min(self.first, first), max(self.last, last)
        self.scores = self.scores + weight * scores.astype(np.float64)  # (concept, row, col)
        self.weight += weight
        if weight > self.heaviest:
            self.heaviest, self.window_index = weight, window_index

    def finish(self, latent_index: int) -> LatentMaps:
        mean = np.clip(np.asarray(self.scores) / self.weight, 0.0, 1.0).astype(np.float32)
        return LatentMaps(Origin(latent_index, self.window_index), self.first, self.last, mean)


def split_recordings(windows: Iterable[ConceptMaps]) -> Iterator[Iterator[ConceptMaps]]:
    """Windows of one part of the footage after the other: positions start at zero again after a hole in time."""
    part = 0

    def part_of(maps: ConceptMaps) -> int:
        nonlocal part
        part += maps.positions[0, 0] == 0
        return part

    for _, own in groupby(windows, part_of):
        yield own


def stitch(windows: Iterable[ConceptMaps]) -> Iterator[LatentMaps]:
    """Blend overlapping windows in map space; windows come in the order of their start.

    Padding (positions beyond the last real frame of a window) is clipped off. Holds the open latent steps of one
    window. Raises ValueError if windows come out of order or change the map grid.
    """
    open_steps: dict[int, _Sum] = {}
    emitted_below = 0
    for maps in windows:
        start = int(maps.positions[0, 0])
        if start % maps.step or start // maps.step < emitted_below:
            raise ValueError(f"windows start at rising multiples of {maps.step = }, got a start at {start}")
        emitted_below = start // maps.step
        for index in sorted(i for i in open_steps if i < emitted_below):
            yield open_steps.pop(index).finish(index)

        last_real = start + maps.real_frames - 1
        real = [j for j, (first, _) in enumerate(maps.positions.tolist()) if first <= last_real]
        weights = window_weights(len(real))
        for j in real:
            first, last = (int(p) for p in maps.positions[j])
            index = -(-last // maps.step)
            weight = float(weights[j]) * (SINGLE_FRAME_WEIGHT if first == last and maps.step > 1 else 1.0)
            entry = open_steps.setdefault(index, _Sum(first, min(last, last_real)))
            if entry.weight and np.shape(entry.scores) != maps.scores[:, j].shape:
                raise ValueError(
                    f"all windows share one map grid, got {maps.scores.shape = } in {maps.window_index = }"
                )
            entry.add(maps.scores[:, j], weight, first, min(last, last_real), maps.window_index)
    for index in sorted(open_steps):
        yield open_steps[index].finish(index)
