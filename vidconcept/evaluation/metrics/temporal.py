"""Measures of steadiness over time: warping error and video consistency."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import cv2
import numpy as np


@dataclass
class WarpingError:
    """Mean over valid pixels of the squared difference between a map and its predecessor moved along the flow."""

    squared: float = 0.0
    pixels: float = 0.0

    def add(self, before: np.ndarray, now: np.ndarray, flow: np.ndarray) -> None:
        """before, now: `(h, w)` scores. flow: `(h', w', 2)` displacement before -> now in pixels of that grid, x first.

        Pixels whose origin lies outside the picture are not valid.
        """
        h, w = now.shape
        flow = cv2.resize(np.asarray(flow, np.float32), (w, h), interpolation=cv2.INTER_LINEAR)
        y, x = np.mgrid[:h, :w].astype(np.float32)
        at_x, at_y = x - flow[..., 0], y - flow[..., 1]
        moved = cv2.remap(before.astype(np.float32), at_x, at_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        valid = (at_x >= 0) & (at_x <= w - 1) & (at_y >= 0) & (at_y <= h - 1)
        self.squared += float(((now - moved)[valid] ** 2).sum())
        self.pixels += np.count_nonzero(valid)

    @property
    def mean(self) -> float:
        return self.squared / self.pixels if self.pixels else float("nan")


@dataclass
class VideoConsistency:
    """VC over `length` frames (Miao et al. 2021, VSPW): pixels whose true label stays, and whose predicted one does.

    The published script asks only that the predicted label stays, and leaves out the last window of a clip:
    `as_published`. `correct` asks that it also be the true one, over all windows, and leaves out pixels that count for
    nothing, which the script does not. Both are means over windows in which some true label stays.
    """

    length: int
    as_published: list[float] = field(default_factory=list, repr=False)
    correct: list[float] = field(default_factory=list, repr=False)
    _frames: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=deque, repr=False)
    _held: float | None = field(default=None, repr=False)

    def add(self, predicted: np.ndarray, truth: np.ndarray, ignore: np.ndarray | None = None) -> None:
        """The next frame of a clip: label numbers `(h, w)`; ignore: `(h, w)` bool of pixels that count for nothing."""
        if self._held is not None:
            self.as_published.append(self._held)
            self._held = None
        self._frames.append((predicted, truth, np.ones(truth.shape, bool) if ignore is None else ~ignore))
        if len(self._frames) > self.length:
            self._frames.popleft()
        if len(self._frames) < self.length:
            return
        first_guess, first_truth, known = self._frames[0]
        stays = np.ones(first_truth.shape, bool)
        steady = np.ones(first_truth.shape, bool)
        for guess, true, seen in self._frames:
            stays &= true == first_truth
            steady &= guess == first_guess
            known = known & seen
        total = np.count_nonzero(stays)
        if total:
            # Published only once a further frame follows: the script forgets a clip's last window.
            self._held = np.count_nonzero(steady & stays) / total
        counted = np.count_nonzero(stays & known)
        if counted:
            right = steady & stays & known & (first_guess == first_truth)
            self.correct.append(np.count_nonzero(right) / counted)

    def end_clip(self) -> None:
        """The next frame belongs to another clip."""
        self._frames.clear()
        self._held = None

    def figures(self) -> dict[str, float]:
        """`vc{n}_as_published` and `vc{n}_correct`; those that had a window."""
        pairs = (("as_published", self.as_published), ("correct", self.correct))
        return {f"vc{self.length}_{name}": float(np.mean(values)) for name, values in pairs if values}
