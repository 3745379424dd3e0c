"""Drawing on the planes of a decoded picture: only what is drawn on becomes RGB, and back.

Most of a film shows its source as it is. Where the source has the colours of the film, BT.709 of limited range with
halved colour, all pixels that nothing is drawn on pass from the decoder to the encoder untouched.
"""

from dataclasses import dataclass, field

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

# ITU-R BT.709, limited range of eight bits: Y, U, V -> R, G, B, and back.
_TO_RGB = np.array([[1.164384, 0.0, 1.792741], [1.164384, -0.213249, -0.532909], [1.164384, 2.112402, 0.0]])
_BLACK = np.array([16.0, 128.0, 128.0])
_FROM_RGB = np.linalg.inv(_TO_RGB)
_LOAD = np.column_stack([_TO_RGB, -_TO_RGB @ _BLACK]).astype(np.float32)
_STORE = np.column_stack([_FROM_RGB, _BLACK]).astype(np.float32)

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Planes:
    """A copy of a decoded picture. values: `(3/2 h, w)` uint8, h and w even: Y, then U and V, of half the size."""

    values: np.ndarray = field(repr=False)

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "Planes | None":
        """Of a frame in BT.709 of limited range; None where its planes are others."""
        if frame.format.name != "yuv420p" or frame.width % 2 or frame.height % 2:
            return None
        return cls(frame.to_ndarray())

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.values.shape[1], self.values.shape[0] * 2 // 3

    def _planes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        width, height = self.size_px
        u, v = self.values[height:].reshape(2, height // 2, width // 2)
        return self.values[:height], u, v

    def _align(self, box: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Rows and columns of a box (x_min, y_min, x_max, y_max) in Y, made even, and in U and V."""
        width, height = self.size_px
        left, top = max(0, box[0]) // 2, max(0, box[1]) // 2
        right, bottom = -(-min(width, box[2]) // 2), -(-min(height, box[3]) // 2)
        right, bottom = max(left, right), max(top, bottom)
        return (slice(2 * top, 2 * bottom), slice(2 * left, 2 * right)), (slice(top, bottom), slice(left, right))

    def load(self, box: Box, canvas: np.ndarray) -> None:
        """Put a box of the picture onto a canvas `(h, w, 3)` uint8 RGB."""
        part, half = self._align(box)
        y, u, v = self._planes()
        if not y[part].size:
            return
        size = y[part].shape[1::-1]
        colours = [cv2.resize(plane[half], size, interpolation=cv2.INTER_LINEAR) for plane in (u, v)]
        canvas[part] = cv2.transform(cv2.merge([y[part], *colours]), _LOAD)

    def store(self, box: Box, canvas: np.ndarray) -> None:
        """Put a box of the canvas into the picture."""
        part, half = self._align(box)
        y, u, v = self._planes()
        if not y[part].size:
            return
        made = cv2.transform(np.ascontiguousarray(canvas[part]), _STORE)
        y[part] = made[..., 0]
        size = u[half].shape[::-1]
        for plane, channel in ((u, 1), (v, 2)):
            plane[half] = cv2.resize(np.ascontiguousarray(made[..., channel]), size, interpolation=cv2.INTER_AREA)

    def to_frame(self) -> av.VideoFrame:
        """For the encoder; without another copy where that goes, so nothing may be drawn from now on."""
        # PyAV takes a buffer's height for a multiple of 4 and would leave out the last two rows of others.
        shares = self.size_px[1] % 4 == 0
        make = av.VideoFrame.from_numpy_buffer if shares else av.VideoFrame.from_ndarray
        frame = make(self.values, format="yuv420p")
        frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
        return frame
