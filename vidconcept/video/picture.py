"""One picture of a source: when it is shown, and its pixels as they are asked for."""

from dataclasses import dataclass, field

import av
import cv2
import numpy as np

from vidconcept.geometry import crop, resize
from vidconcept.types import Region
from vidconcept.video.colour import RgbConverter
from vidconcept.video.levels import Levels
from vidconcept.video.planes import Planes
from vidconcept.video.problems import ProblemLog
from vidconcept.video.small import SmallPicture


@dataclass(frozen=True, slots=True)
class Converted:
    """The conversion of one frame, which costs more than its decoding and is not wanted for every one."""

    convert: RgbConverter
    frame: av.VideoFrame
    size_px: tuple[int, int]
    log: ProblemLog
    index: int
    time_s: float

    def __call__(self) -> np.ndarray:
        image, top = self.convert(self.frame, self.size_px)
        if top is not None:
            self.log.add("over-range", describe_excess(top, self.convert.levels), self.index, self.time_s)
        return image


@dataclass(frozen=True, slots=True)
class Prepared:
    """An image brought to eight bits and to the size of the first."""

    values: np.ndarray
    levels: Levels | None
    size_px: tuple[int, int]

    def __call__(self) -> np.ndarray:
        image = self.values
        if self.levels is not None and image.dtype != np.uint8:
            image = self.levels.to_8bit(image)
        if (image.shape[1], image.shape[0]) != self.size_px:
            image = cv2.resize(image, self.size_px, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(image)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a source. name: of its file in an image sequence. rgb: makes `(h, w, 3)` uint8, upright.

    levels: of deep pictures, None where eight bits come as they are. after_hole: as of a `Frame`.
    """

    index: int
    pts: int
    time_s: float
    name: str
    levels: Levels | None
    rgb: Converted | Prepared = field(repr=False)
    after_hole: bool = False

    def shrink(self, region: Region, height: int, width: int) -> SmallPicture:
        """A region of the picture at `(height, width)`, as `geometry.resize` makes it of RGB."""
        source_width, source_height = self.rgb.size_px
        if region == Region(0, 0, source_width, source_height) and isinstance(self.rgb, Converted):
            small = self.rgb.convert.shrink(self.rgb.frame, (width, height))
            if small is not None:
                return small
        image = resize(crop(self.rgb(), region), height, width)
        return SmallPicture(image.shape, False, lambda: image)

    def copy_planes(self) -> Planes | None:
        """The picture's planes to draw on; None where they are not what a film holds."""
        if not isinstance(self.rgb, Converted) or self.levels is not None:
            return None
        return self.rgb.convert.copy_planes(self.rgb.frame, self.rgb.size_px)


def describe_excess(top: float, levels: Levels | None) -> str:
    white = 0 if levels is None else levels.white
    return (
        f"values reach {top:g}, and {white:g} is white for the whole sequence: they are cut there. "
        "Next: give the depth, e.g. `bits=16`"
    )
