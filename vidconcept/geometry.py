"""From the source frame to the model's picture and back: one rule for sizes, crops and tiles."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidconcept.errors import UsageError
from vidconcept.types import Region

# Neighbouring tiles share this part of a tile.
TILE_OVERLAP_FRAC = 0.25
# `tile = auto` cuts the picture until a token covers no more than this much of the source.
FINE_TOKEN_PX = 16
MOST_TILES_ASIDE = 64
# More tiles than make a pixel of the source so many of the model's show nothing more, and take gigabytes.
LARGEST_ENLARGEMENT = 4


def fit_size(
    width_px: int, height_px: int, *, area_px: int, multiple: int, largest_px: tuple[int, int] | None = None
) -> tuple[int, int]:
    """Picture size (height, width) of at most about `area_px`, sides multiples of `multiple`, aspect kept if possible.

    Frames are resized to it without padding, so that a map covers its region exactly. largest_px: height and
    width that it must not exceed; a very long picture then has less than the area.
    """
    scale = (area_px / (width_px * height_px)) ** 0.5
    if largest_px is not None:
        most_height, most_width = (side // multiple * multiple for side in largest_px)
        scale = min(scale, most_height / height_px, most_width / width_px)
    height = max(round(height_px * scale / multiple), 1)
    width = max(round(width_px * scale / multiple), 1)
    # A very long picture would otherwise grow beyond the area when its short side is rounded up to one multiple.
    while height * width * multiple**2 > area_px * 1.05 and max(height, width) > 1:
        height, width = (height - 1, width) if height > width else (height, width - 1)
    return height * multiple, width * multiple


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Area averaging when shrinking, bicubic when enlarging; `(h, w, 3)` uint8."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] * image.shape[1] > height * width
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def resolve_region(roi: tuple[int, int, int, int] | None, width_px: int, height_px: int) -> Region:
    """The part of the frame that is looked at. Raises UsageError when `roi` does not lie inside the frame."""
    x, y, width, height = roi or (0, 0, width_px, height_px)
    if x < 0 or y < 0 or width <= 0 or height <= 0 or x + width > width_px or y + height > height_px:
        raise UsageError(
            f"`roi={x},{y},{width},{height}` does not lie inside the frame of {width_px}x{height_px} pixels. "
            "Next: x, y of its upper left corner, then its width and height"
        )
    return Region(x, y, width, height)


def crop(image: np.ndarray, region: Region) -> np.ndarray:
    return image[region.y : region.y + region.height, region.x : region.x + region.width]


@dataclass(frozen=True)
class TilePlan:
    """Where the model looks in a region. `height`, `width`: size of the whole picture that the tiles are cut from.

    origins_px: top left corner (y, x) of each tile in that picture, on the token grid.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    pitch_px: int
    origins_px: tuple[tuple[int, int], ...]

    def token_in_source_px(self, region: Region) -> tuple[float, float]:
        """Height and width of what a token covers, in pixels of the source."""
        return region.height * self.pitch_px / self.height, region.width * self.pitch_px / self.width

    def cut(self, frames: np.ndarray) -> list[np.ndarray]:
        """`(t, height, width, 3)` -> one `(t, tile_height, tile_width, 3)` a tile."""
        return [frames[:, y : y + self.tile_height, x : x + self.tile_width] for y, x in self.origins_px]

    def blend(self, maps: list[np.ndarray]) -> np.ndarray:
        """Tile maps `(concept, t_lat, row, col)` -> one map of the whole picture; weights fall to the borders."""
        if len(maps) == 1:
            return maps[0]
        concepts, t_lat, rows, cols = maps[0].shape
        weight = np.minimum.outer(_ramp(rows), _ramp(cols)).astype(np.float32)
        total = np.zeros((concepts, t_lat, self.height // self.pitch_px, self.width // self.pitch_px), np.float32)
        weights = np.zeros(total.shape[2:], np.float32)
        for (y, x), tile in zip(self.origins_px, maps, strict=True):
            at = np.s_[y // self.pitch_px : y // self.pitch_px + rows, x // self.pitch_px : x // self.pitch_px + cols]
            total[(..., *at)] += tile * weight
            weights[at] += weight
        return total / weights


def plan_tiles(
    region: Region,
    columns_rows: tuple[int, int],
    *,
    area_px: int,
    pitch_px: int,
    multiple: int,
    largest_px: tuple[int, int] | None = None,
) -> TilePlan:
    """Tiles of about `area_px` each, `columns_rows` of them, that overlap by a quarter and cover the region.

    pitch_px: a token's side. multiple: what the model's picture must be a multiple of, itself a multiple of the pitch.
    largest_px: of a tile, height and width.
    """
    columns, rows = columns_rows
    if columns < 1 or rows < 1:
        raise UsageError(f"`tile` is columns x rows of at least 1, got {columns}x{rows}. Next: e.g. `tile=2x2`")
    height, width = _tile_size(region, columns, rows, area_px, multiple, largest_px)
    ys = [row * _advance(height, multiple) for row in range(rows)]
    xs = [column * _advance(width, multiple) for column in range(columns)]
    whole_height, whole_width = ys[-1] + height, xs[-1] + width
    enlarged = min(whole_height / region.height, whole_width / region.width)
    if columns * rows > 1 and enlarged > LARGEST_ENLARGEMENT:
        raise UsageError(
            f"`tile={columns}x{rows}` enlarges the picture {enlarged:.0f} times, which shows nothing more and takes "
            f"{columns * rows} times as long. Next: fewer tiles, or `tile=auto`"
        )
    return TilePlan(whole_height, whole_width, height, width, pitch_px, tuple((y, x) for y in ys for x in xs))


def plan_fine_tiles(
    region: Region, *, area_px: int, pitch_px: int, multiple: int, largest_px: tuple[int, int] | None = None
) -> TilePlan:
    """The fewest tiles with which a token covers at most `FINE_TOKEN_PX` of the region; the finest ones where not even
    `MOST_TILES_ASIDE` of them side by side reach that."""
    best = (float("inf"), 0, 0, (1, 1))
    for columns in range(1, MOST_TILES_ASIDE + 1):
        for rows in range(1, MOST_TILES_ASIDE + 1):
            if best[0] == 0 and columns * rows > best[1]:
                break
            height, width = _tile_size(region, columns, rows, area_px, multiple, largest_px)
            token_px = pitch_px * max(
                region.height / (height + (rows - 1) * _advance(height, multiple)),
                region.width / (width + (columns - 1) * _advance(width, multiple)),
            )
            excess = round(max(token_px - FINE_TOKEN_PX, 0.0), 3)
            best = min(best, (excess, columns * rows, max(columns, rows), (columns, rows)))
    return plan_tiles(region, best[3], area_px=area_px, pitch_px=pitch_px, multiple=multiple, largest_px=largest_px)


def _tile_size(
    region: Region, columns: int, rows: int, area_px: int, multiple: int, largest_px: tuple[int, int] | None
) -> tuple[int, int]:
    # In units of a tile's side, n tiles that overlap by a quarter span 1 + (n - 1) · 3/4.
    across, down = (1 + (n - 1) * (1 - TILE_OVERLAP_FRAC) for n in (columns, rows))
    return fit_size(
        max(round(region.width / across), 1),
        max(round(region.height / down), 1),
        area_px=area_px,
        multiple=multiple,
        largest_px=largest_px,
    )


def _advance(side_px: int, multiple: int) -> int:
    """From the start of one tile to the next."""
    return max(round(side_px * (1 - TILE_OVERLAP_FRAC) / multiple), 1) * multiple


def _ramp(count: int) -> np.ndarray:
    """Weights along one side, rising from the border: 1, 2, … up to the middle and down again."""
    index = np.arange(count)
    return np.minimum(index, count - 1 - index) + 1.0
