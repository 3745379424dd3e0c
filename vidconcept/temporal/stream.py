"""Joining latent steps with the frames they cover and the motion between them, with bounded look-ahead."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidconcept.temporal.flow import estimate
from vidconcept.temporal.motion import STILL, Motion
from vidconcept.temporal.proxy import Proxy, make_proxy
from vidconcept.types import LatentMaps


@dataclass(slots=True, eq=False)
class Step:
    """A latent step with the frames it covers, by position.

    maps: where the model saw none of the frames, those of the latent step nearest in time. motions join a frame to its
    predecessor. images are dropped by the reader once the scores are out; they are empty where the method does not look
    at them. size: height and width of the frames. seen: whether the model saw the frames.
    """

    maps: LatentMaps
    motions: dict[int, Motion]
    images: dict[int, np.ndarray]
    size: tuple[int, int]
    seen: bool = True


# What stands for a frame that nobody will look at.
_UNSEEN = np.zeros((0, 0, 3), np.uint8)


def join_steps(
    latents: Iterable[LatentMaps],
    frames: Iterable[np.ndarray],
    *,
    between: int = 0,
    keep_images: bool = True,
    known: dict[int, Motion] | None = None,
) -> Iterator[Step]:
    """Latent steps with their frames and motions. Steps that no frame is left for are not given.

    between: where frames lie between two latent steps, or after the last, they make steps of their own of up to so many
    frames; with 0 there are none. known: motions by position that need not be measured again, taken out when used.
    """
    reader = _Frames(frames, keep_images, {} if known is None else known)
    before: LatentMaps | None = None
    for maps in latents:
        if between and before is not None:
            yield from reader.take_unseen(before, maps, maps.first - 1, between)
        step = reader.take(maps, maps.last)
        if step is not None:
            yield step
        before = maps
    if between and before is not None:
        yield from reader.take_unseen(before, before, None, between)


class _Frames:
    """Frames as they are asked for, each with the motion from the one before."""

    def __init__(self, frames: Iterable[np.ndarray], keep_images: bool, known: dict[int, Motion]) -> None:
        self._stream = enumerate(frames)
        self._keep_images = keep_images
        self._known = known
        # The frame before, and what was made of it to measure the motion, if that was needed.
        self._image: np.ndarray | None = None
        self._proxy: Proxy | None = None
        self._prior = STILL
        self._size: tuple[int, int] | None = None
        self.position = -1

    def take(self, maps: LatentMaps, last: int, most: int | None = None, *, seen: bool = True) -> Step | None:
        """The frames up to a position, at most so many; None where there are none."""
        motions: dict[int, Motion] = {}
        images: dict[int, np.ndarray] = {}
        while (not images or self.position < last) and (most is None or len(images) < most):
            position, image = next(self._stream, (-1, None))
            if image is None:
                break
            self.position = position
            self._size = self._size or (image.shape[0], image.shape[1])
            if image.shape[:2] != self._size:
                raise ValueError(
                    f"all frames share one size, got {image.shape[:2]} after {self._size} at {position = }"
                )
            motion = self._move_to(position, image)
            if motion is not None:
                motions[position] = motion
            images[position] = np.asarray(image) if self._keep_images else _UNSEEN
        return Step(maps, motions, images, self._size, seen) if images and self._size else None

    def _move_to(self, position: int, image: np.ndarray) -> Motion | None:
        """The motion from the frame before to this one; None on the first."""
        motion, here = self._known.pop(position, None), None
        if self._image is not None and motion is None:
            here = make_proxy(np.asarray(image))
            motion = estimate(self._proxy or make_proxy(np.asarray(self._image)), here, self._prior)
        self._image, self._proxy, self._prior = image, here, motion or STILL
        return motion

    def take_unseen(self, before: LatentMaps, after: LatentMaps, last: int | None, most: int) -> Iterator[Step]:
        """Steps of the frames that the model did not see, up to a position or to the end."""
        while last is None or self.position < last:
            first = self.position + 1
            till = first + most - 1 if last is None else min(first + most - 1, last)
            near = before if last is None or first + till <= before.last + after.first else after
            maps = replace(near, origin=replace(near.origin, interpolated=True), first=first, last=till)
            step = self.take(maps, till, till - first + 1, seen=False)
            if step is None:
                return
            yield step


def gather_neighbourhoods(steps: Iterable[Step], past: int, ahead: int) -> Iterator[tuple[Sequence[Step], int]]:
    """Every step with those up to `past` seen steps before and `ahead` after it, and its index among them."""
    held: deque[Step] = deque()
    index = 0
    for step in steps:
        held.append(step)
        while index < len(held) and _count_seen(held, index + 1) >= ahead:
            yield held, index
            index = _advance(held, index, past)
    while index < len(held):
        yield held, index
        index = _advance(held, index, past)


def _count_seen(held: deque[Step], first: int) -> int:
    """How many of the steps from an index on the model saw."""
    return sum(held[k].seen for k in range(first, len(held)))


def _advance(held: deque[Step], index: int, past: int) -> int:
    """Index of the next step, after those that are too old have been let go."""
    before = sum(held[k].seen for k in range(index + 1))
    while before > past:
        before -= held.popleft().seen
        index -= 1
    return index + 1


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
