"""Cut a stream of frames into overlapping windows whose latent steps line up from window to window."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from vidconcept.temporal.flow import join_motion
from vidconcept.temporal.motion import Motion


@dataclass(frozen=True, slots=True)
class Window:
    """Frames for one forward pass.

    start: position of the first frame in the sequence of frames the model sees, a multiple of `step`.
    real_frames: how many frames are real; the rest repeats the last one.
    frames: `(t, h, w, 3)` uint8 with t = 1 + n·step.
    begins_at: index in the source of the frame at position 0: positions count anew after a hole in time.
    frames_before: how many frames of the sequence came before that one.
    motions: of the frames since the window before, by position, where its frames do not tell them, or somebody had to
    know them already.
    names: of the image files of its real frames, none for a video.
    """

    index: int
    start: int
    step: int
    real_frames: int
    frames: np.ndarray = field(repr=False)
    begins_at: int = 0
    frames_before: int = 0
    motions: tuple[tuple[int, Motion], ...] = field(default=(), repr=False)
    names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def positions(self) -> np.ndarray:
        """First and last position of each latent step, `(t_lat, 2)`; the first covers one frame, later ones `step`."""
        steps = np.arange((len(self.frames) - 1) // self.step + 1)
        last = self.start + steps * self.step
        first = np.where(steps == 0, last, last - self.step + 1)
        return np.stack([first, last], axis=1)


def cut_windows(frames: Iterable[np.ndarray], *, length: int, overlap: int, step: int) -> Iterator[Window]:
    """Windows of `length` frames that overlap by `overlap`, both 1 + n·step; holds one window.

    The last window is moved back over frames already seen, so that as little as possible of it is padding. Windows of
    one frame carry the motion from the one before.
    Raises ValueError when the lengths do not fit the model's latent step.
    """
    if length % step != 1 % step or length < 1:
        raise ValueError(f"a window has 1 + n·{step} frames, got {length}")
    # A window of one frame overlaps its neighbour by nothing but its own grid: only where each frame is a latent step.
    if overlap % step != 1 % step or not (1 <= overlap < length or length == overlap == step == 1):
        raise ValueError(f"windows overlap by 1 + n·{step} frames and less than {length}, got {overlap}")
    if length == 1:
        for index, (frame, motion) in enumerate(join_motion(frames)):
            yield Window(index, index, step, 1, frame[None], motions=() if motion is None else ((index, motion),))
        return
    advance = length - overlap
    held: deque[np.ndarray] = deque(maxlen=length)
    index = start = count = 0
    for count, frame in enumerate(frames, start=1):
        held.append(frame)
        if count == start + length:
            yield Window(index, start, step, length, np.stack(held))
            index, start = index + 1, start + advance
    done = start - advance + length if index else 0
    if count > done:
        # Start on the grid of latent steps, as early as the frames still held allow.
        start = max(-(-(count - length) // step) * step, 0)
        tail = list(held)[-(count - start) :]
        padded = 1 + -(-(count - start - 1) // step) * step
        yield Window(index, start, step, count - start, np.stack(tail + [tail[-1]] * (padded - len(tail))))
