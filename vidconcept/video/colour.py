"""Decoded pictures to upright 8-bit RGB, with the matrix and range that the stream asks for, and RGB to BT.709."""

from dataclasses import dataclass

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

# AVColorSpace (the tag in the stream) to the conversion matrix.
_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
# Formats that have no limited range: a missing tag means full.
_FULL_RANGE_FORMATS = ("yuvj", "rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "gray", "pal8", "mono")
HD_HEIGHT_PX = 720
HD_WIDTH_PX = 1280


def yuv_matrix(tag: int, width_px: int, height_px: int) -> Colorspace:
    """Conversion matrix for a stream's colour tag; untagged pictures are BT.709 from 720 lines on, else BT.601."""
    is_hd = height_px >= HD_HEIGHT_PX or width_px >= HD_WIDTH_PX
    return _MATRIX.get(int(tag), Colorspace.ITU709 if is_hd else Colorspace.ITU601)


@dataclass(frozen=True, slots=True)
class Orientation:
    """How stored pictures are shown: mirrored left-right or not, then turned counter-clockwise in quarters."""

    turns: int
    mirrored: bool

    def displayed_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Width and height in pixels as shown."""
        return (frame.height, frame.width) if self.turns % 2 else (frame.width, frame.height)


def orientation(frame: av.VideoFrame) -> Orientation:
    """Of the stream that `frame` begins. Angles between quarter turns are rounded to the nearest.

    Once a stream, not once a frame: PyAV ties a frame whose side data was asked for into a reference cycle, and the
    pictures of hundreds of frames pile up between two garbage collections.

    Source: the display matrix of ISO/IEC 14496-12, 8.3.2.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation(0, False)
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].astype(np.int64)
    mirrored = bool(a * d - b * c < 0)
    # Mirroring first turns (a, b) into (-a, -b); the angle is that of the picture's x axis.
    x, y = (-a, -b) if mirrored else (a, b)
    return Orientation(round(np.degrees(np.arctan2(-float(y), float(x))) / 90) % 4, mirrored)


class RgbConverter:
    """Turns decoded frames into `(h, w, 3)` uint8 RGB, upright; keeps its scaler between frames."""

    def __init__(self, orientation: Orientation) -> None:
        self._orientation = orientation
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame, size_px: tuple[int, int] | None = None) -> np.ndarray:
        """`size_px` (width, height) as displayed; None keeps the frame's own."""
        turns = self._orientation.turns
        width, height = size_px or self._orientation.displayed_size(frame)
        stored = (height, width) if turns % 2 else (width, height)
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(_FULL_RANGE_FORMATS)
        image = self._reformatter.reformat(
            frame,
            width=stored[0],
            height=stored[1],
            format="rgb24",
            src_colorspace=yuv_matrix(frame.colorspace, frame.width, frame.height),
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            # Exact rounding and chroma interpolation would cost twelve times as much, for one grey level on average.
            interpolation=Interpolation.BILINEAR,
            threads=1,
        ).to_ndarray()
        if self._orientation.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, turns))


class Bt709Encoding:
    """RGB pictures as BT.709 of limited range, for a stream that says so.

    An untagged stream is read by its size: small pictures with one matrix, large ones with another.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG
        self._reformatter = VideoReformatter()

    def __call__(self, image: np.ndarray, pix_fmt: str = "yuv420p") -> av.VideoFrame:
        """`(h, w, 3)` uint8 RGB; with halved colour the sides must be even."""
        return self._reformatter.reformat(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"),
            format=pix_fmt,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
        )
