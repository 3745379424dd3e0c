"""Which windows the model reads where it need not read all: each piece of surface that passes is seen often enough.

A window of consecutive frames is as sharp as ever; between two of them frames are left out, the more the slower the
surface moves. Their scores are carried along the motion. What matters is not time but how far the surface has moved
since the window before, as a share of the picture: a place that crosses the picture is in view for all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from vidconcept.temporal.flow import join_motion
from vidconcept.temporal.motion import Motion
from vidconcept.temporal.windows import Window


@dataclass(frozen=True, slots=True)
class Spacing:
    """How far apart windows may lie.

    share: of the picture's side that the surface may move from one window to the next: 1/n for n looks at each place.
    frames: that may pass where nothing moves.
    """

    share: float
    frames: int


def choose_windows(
    pictures: Iterable[np.ndarray], *, length: int, overlap: int, step: int, spacing: Spacing
) -> Iterator[Window]:
    """Windows of `length` frames, at least `length - overlap` apart, as far apart as `spacing` lets them be.

    Starts rise, from 0 on. Each carries the motion of all frames since the one before, by position, and the last that
    of the frames behind it too. Every scene that has a frame where a latent step ends gets a window of its own, and one
    before it ends where surface came into view since the last. Holds two windows and a latent step of frames.
    """
    chosen = _Chosen(length, step)
    held: Window | None = None
    for window in _choose(pictures, chosen, max(length - overlap, 1), spacing):
        if held is not None:
            yield held
        held = window
    if held is not None:
        # Who measured them anew, from pictures of another size, might see a cut where no window was chosen for it.
        yield replace(held, motions=(*held.motions, *chosen.motions))


def _choose(pictures: Iterable[np.ndarray], chosen: _Chosen, advance: int, spacing: Spacing) -> Iterator[Window]:
    length, count = chosen.length, 0
    for position, (picture, motion) in enumerate(join_motion(pictures)):
        if motion is not None and motion.cut and chosen.is_due(position, spacing):
            yield chosen.cut_ending(position)
        chosen.add(picture, position, motion)
        count = position + 1
        start = count - length
        if start < 0 or start % chosen.step:
            continue
        is_next = start >= chosen.start + advance and chosen.is_far(start, spacing) if chosen.any else True
        if is_next or chosen.begins_scene(start):
            yield chosen.cut(start, length)
    if chosen.is_due(count, spacing):
        yield chosen.cut_ending(count)


@dataclass(slots=True)
class _Chosen:
    """The frames that a window may still be made of, and how far the surface has moved since the last window.

    start, end: of the last window, -1 where there is none yet. path: `(x, y, other)` travelled from the first frame to
    each held one: other is what moves differently from the rest, which never comes back.
    """

    length: int
    step: int
    start: int = -1
    end: int = -1
    held: deque[tuple[int, np.ndarray]] = field(default_factory=deque)
    motions: list[tuple[int, Motion]] = field(default_factory=list)
    path: dict[int, np.ndarray] = field(default_factory=dict)
    last_cut: int = 0
    index: int = 0

    @property
    def any(self) -> bool:
        return self.start >= 0

    def add(self, picture: np.ndarray, position: int, motion: Motion | None) -> None:
        self.held.append((position, picture))
        while len(self.held) > self.length + self.step:
            self.held.popleft()
        if motion is not None:
            self.motions.append((position, motion))
        moved = np.zeros(3) if motion is None or motion.cut else _measure_motion(motion)
        self.path[position] = self.path.get(position - 1, np.zeros(3)) + moved
        if motion is not None and motion.cut:
            self.last_cut = position

    def begins_scene(self, start: int) -> bool:
        """Whether a window that begins at `start` would be the first of its scene: one that began before the cut tells
        of both scenes."""
        return self.start < self.last_cut <= start

    def is_far(self, start: int, spacing: Spacing) -> bool:
        """Whether it is time for a window that begins at `start`, whose frames are all there."""
        # One step before it would be too late.
        middle, reach = start + self.length // 2, self.step
        there = self._measure_way(middle, middle + reach) if middle + reach in self.path else self._measure_way(middle)
        return there >= spacing.share or middle + reach - self._middle > spacing.frames

    def is_due(self, end: int, spacing: Spacing) -> bool:
        """Whether what came after the last window, up to a position, is worth one more."""
        if end - 1 <= self.end or self._find_ending(end) >= end:
            return False
        if not self.any or self.start < self.last_cut:
            return True
        return self._measure_way(end - 1) >= spacing.share / 2 or end - self.end > spacing.frames

    @property
    def _middle(self) -> int:
        return (self.start + self.end) // 2

    def _measure_way(self, *positions: int) -> float:
        """How far the surface has moved from the middle of the last window to the farthest of some positions."""
        away = [self.path[position] - self.path[self._middle] for position in positions]
        return max(float(np.abs(way[:2]).max() + way[2]) for way in away)

    def cut(self, start: int, real: int) -> Window:
        frames = [picture for position, picture in self.held if start <= position < start + real]
        padded = 1 + -(-(real - 1) // self.step) * self.step
        stack = np.stack(frames + [frames[-1]] * (padded - real))
        made = Window(self.index, start, self.step, real, stack, motions=tuple(self.motions))
        self.index, self.start, self.end, self.motions = self.index + 1, start, start + real - 1, []
        self.path = {position: way for position, way in self.path.items() if position >= self._middle}
        return made

    def cut_ending(self, end: int) -> Window:
        """The window of the last frames before a position, on the grid of latent steps."""
        start = self._find_ending(end)
        return self.cut(start, end - start)

    def _find_ending(self, end: int) -> int:
        """Where that window starts: after the last one, for only the first of a recording starts at 0."""
        earliest = self.start + self.step if self.any else 0
        return max(-(-(end - self.length) // self.step) * self.step, earliest)


def _measure_motion(motion: Motion) -> np.ndarray:
    """Shares of the picture's sides by which most of it moved, and by which the rest moved otherwise."""
    shift = measure_shift(motion)
    if motion.matrix is not None:
        corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        there = corners - (corners @ motion.matrix[:, :2].T + motion.matrix[:, 2])
        other = float(np.abs(there - shift).max())
    else:
        assert motion.back is not None
        other = float(np.quantile(np.abs(-motion.back.reshape(-1, 2) - shift).max(1), 0.9))
    return np.array([*shift, other])


def measure_shift(motion: Motion) -> np.ndarray:
    """By how much most of the picture moved, x and y as shares of its sides."""
    if motion.matrix is not None:
        centre = np.array([0.5, 0.5])
        return centre - motion.matrix[:, :2] @ centre - motion.matrix[:, 2]
    assert motion.back is not None
    back = motion.back.reshape(-1, 2)
    sure = back if motion.valid is None else back[motion.valid.ravel() > 0.5]
    return -np.median(sure if len(sure) else back, axis=0)
