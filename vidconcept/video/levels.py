"""Which values of deep pictures are black and white: one answer for a whole sequence, found once or given."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

# The first pictures tell the levels. Frame by frame the picture would flicker with what is in it.
LOOK_AT_FRAMES = 8
# Depths that cameras have; between two of them the values are those of the next.
USUAL_BITS = (8, 10, 12, 14, 16)
# A picture that uses less of its range than this share is nearly black or nearly flat.
NARROW_FRAC = 1 / 8


@dataclass(frozen=True, slots=True)
class Levels:
    """black, white: the values that become 0 and 255. bits: of whole numbers, None for fractions."""

    black: float
    white: float
    bits: int | None = None
    given: bool = False

    def to_8bit(self, values: np.ndarray) -> np.ndarray:
        """`values` of any shape and depth as uint8; what lies outside is cut at 0 and 255, and NaN is black."""
        if self.black == 0 and values.dtype == np.uint16:
            return cv2.convertScaleAbs(values, alpha=255 / self.white)
        scaled = (values.astype(np.float32) - np.float32(self.black)) * np.float32(255 / (self.white - self.black))
        return np.clip(np.rint(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)), 0, 255).astype(np.uint8)

    def find_excess(self, values: np.ndarray) -> float | None:
        """The largest value where it is above white, else None."""
        whole = np.issubdtype(values.dtype, np.integer)
        top = float(np.max(values, initial=0, where=True if whole else np.isfinite(values)))
        return top if top > self.white else None

    def describe(self) -> str:
        """`0 to 4095 (12 bits)`."""
        depth = f" ({self.bits} bits)" if self.bits else ""
        return f"{self.black:g} to {self.white:g}{depth}"


def find_levels(pictures: Iterable[np.ndarray], bits: int | None) -> Levels:
    """From the first pictures `(h, w, c)`, uint16 or float; `bits` settles white without a look at them.

    Fractions reach to 1, to 255 or to the end of a usual depth; where none fits, or where values are negative, from
    the smallest to the largest that there is.
    """
    if bits is not None:
        return Levels(0.0, float(2**bits - 1), bits, given=True)
    lows, highs, whole = [0.0], [0.0], True
    for picture in pictures:
        values = picture if picture.dtype == np.uint16 else picture[np.isfinite(picture)]
        whole = whole and values.dtype == np.uint16
        if values.size:
            lows.append(float(values.min()))
            highs.append(float(values.max()))
    low, high = min(lows), max(highs)
    if whole:
        found = next(depth for depth in USUAL_BITS if high < 2**depth)
        return Levels(0.0, float(2**found - 1), found)
    if low < 0 or high >= 2**16:
        return Levels(low, max(high, low + 1e-6), None)
    if high <= 1:
        return Levels(0.0, 1.0, None)
    found = next(depth for depth in USUAL_BITS if high <= 2**depth - 1)
    return Levels(0.0, float(2**found - 1), found)


def is_narrow(pictures: Iterable[np.ndarray]) -> tuple[int, int] | None:
    """The lowest and highest of the 256 levels that uint8 pictures use, where that is a small part of them."""
    low, high = 255, 0
    for picture in pictures:
        low, high = min(low, int(picture.min())), max(high, int(picture.max()))
    return (low, high) if high - low < 256 * NARROW_FRAC else None
