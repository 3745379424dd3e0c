"""Joining latent steps with the frames they cover and the motion between them, with bounded look-ahead."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vidconcept.temporal.flow import STILL, Motion, Proxy, estimate, make_proxy
from vidconcept.types import LatentMaps


@dataclass(slots=True, eq=False)
class Step:
    """A latent step with the frames it covers, by position.

    motions join a frame to its predecessor. images are dropped by the reader once the scores are out. size: height and
    width of the frames.
    """

    maps: LatentMaps
    motions: dict[int, Motion]
    images: dict[int, np.ndarray]
    size: tuple[int, int]


def join_steps(latents: Iterable[LatentMaps], frames: Iterable[np.ndarray]) -> Iterator[Step]:
    """Latent steps with their frames and motions. Steps that no frame is left for are not given."""
    stream = enumerate(frames)
    before: Proxy | None = None
    prior = STILL
    size: tuple[int, int] | None = None
    for maps in latents:
        motions: dict[int, Motion] = {}
        images: dict[int, np.ndarray] = {}
        while not images or max(images) < maps.last:
            position, image = next(stream, (-1, None))
            if image is None:
                break
            size = size or (image.shape[0], image.shape[1])
            if image.shape[:2] != size:
                raise ValueError(f"all frames share one size, got {image.shape[:2]} after {size} at {position = }")
            here = make_proxy(image)
            if before is not None:
                prior = motions[position] = estimate(before, here, prior)
            before = here
            images[position] = image
        if images and size:
            yield Step(maps, motions, images, size)


def gather_neighbourhoods(steps: Iterable[Step], past: int, ahead: int) -> Iterator[tuple[Sequence[Step], int]]:
    """Every step with up to `past` steps before and `ahead` after it, and its index among them."""
    held: deque[Step] = deque()
    index = 0
    for step in steps:
        held.append(step)
        if len(held) > index + ahead:
            yield held, index
            index = _advance(held, index, past)
    while index < len(held):
        yield held, index
        index = _advance(held, index, past)


def _advance(held: deque[Step], index: int, past: int) -> int:
    """Index of the next step, after those that are too old have been let go."""
    if index < past:
        return index + 1
    held.popleft()
    return index


def split_stretches(step: Step) -> Iterator[list[int]]:
    """Positions of a step, a list for each stretch between scene cuts."""
    stretch: list[int] = []
    for position in sorted(step.images):
        if stretch and step.motions[position].cut:
            yield stretch
            stretch = []
        stretch.append(position)
    yield stretch


def find_reach(motions: Mapping[int, Motion], stretch: Sequence[int]) -> tuple[int, int]:
    """First and last position that known motions join to a stretch without a scene cut."""
    low, high = stretch[0], stretch[-1]
    while low in motions and not motions[low].cut:
        low -= 1
    while high + 1 in motions and not motions[high + 1].cut:
        high += 1
    return low, high
