"""Decoded pictures to upright 8-bit RGB, with the matrix and range that the stream asks for, and RGB to BT.709."""

from dataclasses import dataclass

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter

from vidconcept.video.levels import Levels
from vidconcept.video.orientation import Orientation
from vidconcept.video.planes import Planes
from vidconcept.video.small import PlaneShrinker, SmallPicture

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
# Cameras put 10, 12 or 14 bits into the low end of these.
_DEEP_FORMATS = ("gray16", "ya16", "rgb48", "bgr48", "rgba64", "bgra64", "gbrp16", "gbrap16")
HD_HEIGHT_PX = 720
HD_WIDTH_PX = 1280


def choose_yuv_matrix(tag: int, width_px: int, height_px: int) -> Colorspace:
    """Conversion matrix for a stream's colour tag; untagged pictures are BT.709 from 720 lines on, else BT.601."""
    is_hd = height_px >= HD_HEIGHT_PX or width_px >= HD_WIDTH_PX
    return _MATRIX.get(int(tag), Colorspace.ITU709 if is_hd else Colorspace.ITU601)


def is_deep(frame: av.VideoFrame) -> bool:
    """Whether values of fewer bits may stand in pixels of sixteen: the format does not tell how many there are."""
    return frame.format.name.startswith(_DEEP_FORMATS)


def read_deep_values(frame: av.VideoFrame) -> np.ndarray:
    """`(h, w)` or `(h, w, 3)` uint16, as stored."""
    grey = frame.format.name.startswith(("gray16", "ya16"))
    return frame.reformat(format="gray16le" if grey else "rgb48le").to_ndarray()


@dataclass(frozen=True, slots=True)
class _Colours:
    """What the values of a frame mean."""

    matrix: Colorspace
    color_range: ColorRange

    @classmethod
    def of(cls, frame: av.VideoFrame) -> "_Colours":
        full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(_FULL_RANGE_FORMATS)
        matrix = choose_yuv_matrix(frame.colorspace, frame.width, frame.height)
        return cls(matrix, ColorRange.JPEG if full else ColorRange.MPEG)

    def convert(
        self, frame: av.VideoFrame, reformatter: VideoReformatter, stored: tuple[int | None, int | None] = (None, None)
    ) -> np.ndarray:
        """`(h, w, 3)` uint8 RGB as stored."""
        return reformatter.reformat(
            frame,
            width=stored[0],
            height=stored[1],
            format="rgb24",
            src_colorspace=self.matrix,
            src_color_range=self.color_range,
            dst_color_range=ColorRange.JPEG,
            # Exact rounding and chroma interpolation would cost twelve times as much, for one grey level on average.
            interpolation=Interpolation.BILINEAR,
            threads=1,
        ).to_ndarray()


class RgbConverter:
    """Turns decoded frames into `(h, w, 3)` uint8 RGB, upright; keeps its scaler between frames.

    levels: black and white of deep frames, None where eight bits come out of the scaler itself.
    """

    def __init__(self, orientation: Orientation, levels: Levels | None = None) -> None:
        self.levels = levels
        self._orientation = orientation
        self._reformatter = VideoReformatter()
        self._shrink_planes = PlaneShrinker()

    def __call__(self, frame: av.VideoFrame, size_px: tuple[int, int] | None = None) -> tuple[np.ndarray, float | None]:
        """The picture, and the largest value of a deep frame where it lies beyond its levels.

        `size_px` (width, height) as displayed; None keeps the frame's own.
        """
        width, height = size_px or self._orientation.compute_size(frame)
        stored = (height, width) if self._orientation.turns % 2 else (width, height)
        top = None
        if self.levels is not None and is_deep(frame):
            image, top = self._convert_deep(frame, self.levels, stored)
        else:
            image = self._convert_shallow(frame, stored)
        return self._turn(image), top

    def shrink(self, frame: av.VideoFrame, size_px: tuple[int, int]) -> SmallPicture | None:
        """The picture at a smaller `size_px` (width, height) as displayed; None where it must be converted first.

        It differs from the converted picture shrunk by less than a grey level on average.
        """
        width, height = size_px
        small = self._shrink_planes(frame, (height, width) if self._orientation.turns % 2 else size_px)
        if small is None:
            return None
        colours = _Colours.of(frame)
        # A scaler of its own: pictures are asked for in other threads than the one that reads.
        return SmallPicture((height, width, 3), True, lambda: self._turn(colours.convert(small, VideoReformatter())))

    def copy_planes(self, frame: av.VideoFrame, size_px: tuple[int, int]) -> Planes | None:
        """The planes of an upright frame of `size_px` in the colours of `Bt709Encoding`; None for any other."""
        upright = not self._orientation.turns and not self._orientation.mirrored
        if not upright or (frame.width, frame.height) != size_px:
            return None
        return Planes.of(frame) if _Colours.of(frame) == _Colours(Colorspace.ITU709, ColorRange.MPEG) else None

    def _turn(self, image: np.ndarray) -> np.ndarray:
        if self._orientation.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, self._orientation.turns))

    def _convert_shallow(self, frame: av.VideoFrame, stored: tuple[int, int]) -> np.ndarray:
        return _Colours.of(frame).convert(frame, self._reformatter, stored)

    def _convert_deep(
        self, frame: av.VideoFrame, levels: Levels, stored: tuple[int, int]
    ) -> tuple[np.ndarray, float | None]:
        values = read_deep_values(frame)
        image = levels.to_8bit(values)
        if (image.shape[1], image.shape[0]) != stored:
            image = cv2.resize(image, stored, interpolation=cv2.INTER_AREA)
        rgb = image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        return rgb, levels.find_excess(values)


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
