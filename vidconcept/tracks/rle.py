"""COCO run-length masks, made from a small crop instead of a frame-sized array.

A COCO RLE counts zeros and ones alternately down the columns of the frame (column-major), beginning with zeros.
"""

from itertools import pairwise
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

# A first run of 13 zeros is written "=" by COCO's alphabet, and a spreadsheet takes such a cell for a formula.
_FIRST_RUN_THAT_READS_AS_FORMULA = 13
_LONGEST_COUNT = 9


def encode_runs(crop: np.ndarray, x: int, y: int, frame_size: tuple[int, int]) -> list[int]:
    """Uncompressed COCO run lengths of a `(h, w)` bool mask whose top left corner is at pixel `x, y` of the frame.

    frame_size: (width, height) in pixels. Raises ValueError where the crop reaches beyond the frame.
    """
    width_px, height_px = frame_size
    h, w = crop.shape
    if x < 0 or y < 0 or x + w > width_px or y + h > height_px:
        raise ValueError(f"the mask lies outside of its frame, got {x = } {y = } {crop.shape = } {frame_size = }")
    columns = np.zeros((w, h + 2), np.int8)  # (w, h + 2): a run per column, closed above and below
    columns[:, 1:-1] = crop.T
    steps = np.diff(columns, axis=1)
    start_col, start_row = np.nonzero(steps == 1)
    end_col, end_row = np.nonzero(steps == -1)
    starts = (start_col + x) * height_px + start_row + y
    ends = (end_col + x) * height_px + end_row + y
    # A run that reaches the bottom of the frame goes on at the top of the next column: that edge appears twice.
    edges, times = np.unique(np.concatenate([starts, ends]), return_counts=True)
    edges = np.concatenate([[0], edges[times == 1], [width_px * height_px]])
    counts = np.diff(edges).tolist()
    if len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    return counts


def encode(crop: np.ndarray, x: int, y: int, frame_size: tuple[int, int]) -> bytes:
    """COCO's compressed RLE of the frame-sized mask, from its crop. Arguments as in `encode_runs`."""
    counts = encode_runs(crop, x, y, frame_size)
    if counts[0] == _FIRST_RUN_THAT_READS_AS_FORMULA:
        counts = [0, 0, *counts]
    return compress(counts, frame_size)


def compress(counts: list[int], frame_size: tuple[int, int]) -> bytes:
    """COCO's compressed string of uncompressed run lengths; frame_size is (width, height)."""
    width_px, height_px = frame_size
    uncompressed: Any = {"counts": counts, "size": [height_px, width_px]}
    return coco_mask.frPyObjects(uncompressed, height_px, width_px)["counts"]


def make_coco_object(rle: bytes, frame_size: tuple[int, int], compressed: bool = True) -> dict[str, Any]:
    """The dictionary that JSON files hold; frame_size is (width, height).

    compressed: `counts` is COCO's string, as `pycocotools.mask.decode` wants it, else a list of run lengths.
    """
    counts = rle.decode("ascii") if compressed else decompress(rle).tolist()
    return {"size": [frame_size[1], frame_size[0]], "counts": counts}


def decode(rle: bytes, frame_size: tuple[int, int]) -> np.ndarray:
    """`(height, width)` bool mask of a compressed RLE; frame_size is (width, height)."""
    return coco_mask.decode({"size": [frame_size[1], frame_size[0]], "counts": rle}).astype(bool)  # pyright: ignore


def decode_box(rle: bytes, frame_size: tuple[int, int], box_px: tuple[int, int, int, int]) -> np.ndarray:
    """`(h, w)` uint8 0/1 mask inside `box_px` (x_min, y_min, x_max, y_max, max exclusive), C order.

    Costs what the box holds, not what the frame holds. Nothing of the mask may lie left or right of the box.
    """
    height_px = frame_size[1]
    x_min, y_min, x_max, y_max = box_px
    counts = decompress(rle)
    # The runs before and after the box's columns are cut to the columns; both are zeros.
    before, after = x_min * height_px, (frame_size[0] - x_max) * height_px
    counts[0] -= before
    if len(counts) % 2:
        counts[-1] -= after
    if counts.min() < 0 or counts.sum() != (x_max - x_min) * height_px:
        return np.ascontiguousarray(decode(rle, frame_size)[y_min:y_max, x_min:x_max]).astype(np.uint8)
    columns = np.repeat(np.arange(len(counts), dtype=np.uint8) & 1, counts).reshape(-1, height_px)
    return np.ascontiguousarray(columns[:, y_min:y_max].T)


def check_rle(rle: bytes, frame_size: tuple[int, int]) -> None:
    """Raises ValueError for what is no mask of a frame of `frame_size` (width, height): decoders believe the counts."""
    chars = np.frombuffer(rle, np.uint8)
    # A count of a frame takes seven characters at most; all but the last of one carry the mark that more follow.
    more = ((chars - 48) & 32) > 0
    too_long = len(chars) >= _LONGEST_COUNT and bool(
        np.all(np.lib.stride_tricks.sliding_window_view(more, _LONGEST_COUNT), axis=1).any()
    )
    if not len(chars) or chars.min() < 48 or chars.max() > 111 or more[-1] or too_long:
        raise ValueError("the mask is empty or not one of COCO's run lengths")
    counts = decompress(rle)
    if counts.min() < 0 or counts.sum() != frame_size[0] * frame_size[1]:
        raise ValueError(f"the mask does not have the {frame_size[0]}x{frame_size[1]} pixels of the frame")


def decompress(rle: bytes) -> np.ndarray:
    """Uncompressed run lengths, int64, of COCO's string: 5 bits a character, low bits first, 32 says that more follow.

    From the fourth run on, the string holds the difference to the run two before.
    """
    chars = np.frombuffer(rle, np.uint8).astype(np.int64) - 48
    last = (chars & 32) == 0
    begin = np.flatnonzero(np.concatenate([[True], last[:-1]]))
    nth = np.arange(len(chars)) - np.repeat(begin, np.diff(np.append(begin, len(chars))))
    values = np.add.reduceat((chars & 31) << (5 * nth), begin)
    negative = (chars[last] & 16) > 0
    values[negative] -= np.int64(1) << (5 * (nth[last][negative] + 1))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def encode_row_major(mask: np.ndarray) -> list[int]:
    """Row-major run lengths of a `(h, w)` bool mask, beginning with zeros: what CVAT stores."""
    flat = mask.ravel()
    edges = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    lengths = [int(b - a) for a, b in pairwise(edges.tolist())]
    return [0, *lengths] if flat.size and flat[0] else lengths
