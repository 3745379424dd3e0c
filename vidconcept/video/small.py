"""Pictures at a smaller size, made of what the decoder gives without converting all of it to RGB first."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

# Planes of eight bits, which are averaged over areas as they are: averages are the same in any colour space.
PLANAR = frozenset(f"yuv{depth}{chroma}p" for depth in ("", "j") for chroma in ("420", "422", "444"))


@dataclass(frozen=True, slots=True)
class SmallPicture:
    """A picture that becomes RGB when it is asked for; NumPy takes it as an array.

    shape: `(h, w, 3)` as shown. light: it holds no more than planes do, half of what RGB takes.
    """

    shape: tuple[int, int, int]
    light: bool
    rgb: Callable[[], np.ndarray] = field(repr=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.rgb(), dtype)


class PlaneShrinker:
    """Shrinks decoded frames by averages over areas; keeps its scaler between frames."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, size_px: tuple[int, int]) -> av.VideoFrame | None:
        """The frame with its planes at `size_px` (width, height), as stored; None where it has no such planes."""
        width, height = size_px
        if frame.format.name not in PLANAR or width > frame.width or height > frame.height:
            return None
        # Named on both sides, so that levels pass as they are.
        return self._reformatter.reformat(
            frame,
            width=width,
            height=height,
            format=frame.format.name,
            src_colorspace=Colorspace.ITU709,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.MPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.AREA,
            threads=1,
        )
