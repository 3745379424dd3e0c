"""Where labels go: beside their defect, on none where there is room, and not jumping from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

Box = tuple[int, int, int, int]
Anchor = tuple[float, float, float, float]

# A label shows the same score for this long, so that it can be read.
_HOLD_S = 0.5
# An alpha-beta filter on the track's box: it damps a trembling outline, and does not lag behind a moving part.
_FOLLOW = 0.5
_FOLLOW_DRIFT = 0.2
_GAP_PX = 6


@dataclass(frozen=True, slots=True)
class LabelState:
    """What one track's label looked like on the last frame.

    anchor: the smoothed box of the track. drift: its motion in pixels a frame.
    """

    text: str
    text_since_s: float
    anchor: Anchor
    drift: Anchor = (0.0, 0.0, 0.0, 0.0)
    side: int = 0


def hold(state: LabelState | None, text: str, box_px: Box, time_s: float) -> LabelState:
    """The label's state on this frame, its side as before."""
    if state is None or time_s < state.text_since_s:
        return LabelState(text, time_s, box_px)
    expected = tuple(edge + speed for edge, speed in zip(state.anchor, state.drift, strict=True))
    off = tuple(new - edge for new, edge in zip(box_px, expected, strict=True))
    anchor = tuple(edge + _FOLLOW * error for edge, error in zip(expected, off, strict=True))
    drift = tuple(speed + _FOLLOW_DRIFT * error for speed, error in zip(state.drift, off, strict=True))
    state = replace(state, anchor=anchor, drift=drift)
    return replace(state, text=text, text_since_s=time_s) if time_s - state.text_since_s >= _HOLD_S else state


def place_label(
    state: LabelState,
    size: tuple[int, int],
    frame_size: tuple[int, int],
    avoid: Sequence[Box],
    overdrawn: Sequence[Box] = (),
) -> tuple[Box, int]:
    """The label's box and the side it took, given its `(width, height)` and the boxes that it should not cover.

    The side of the last frame stays as long as it covers nothing. Where every place covers something, the one that
    covers least is taken. overdrawn: boxes of what is drawn after the labels; a place beside them goes first.
    """
    candidates = _list_candidates(state.anchor, size, frame_size)
    order = [state.side, *(side for side in range(len(candidates)) if side != state.side)]

    def measure_covered(side: int) -> list[int]:
        return [sum(_measure_overlap(candidates[side], box) for box in boxes) for boxes in (overdrawn, avoid)]

    side = min(order, key=measure_covered)
    return candidates[side], side


def _list_candidates(
    anchor: tuple[float, float, float, float], size: tuple[int, int], frame_size: tuple[int, int]
) -> list[Box]:
    """Above, below, right, left of the anchor, and the frame's upper and lower edge, all inside the frame."""
    x_min, y_min, x_max, y_max = (round(value) for value in anchor)
    width, height = size
    middle_y = (y_min + y_max - height) // 2
    corners = (
        (x_min, y_min - _GAP_PX - height),
        (x_min, y_max + _GAP_PX),
        (x_max + _GAP_PX, middle_y),
        (x_min - _GAP_PX - width, middle_y),
        (x_min, 0),
        (x_min, frame_size[1]),
    )
    boxes = []
    for x, y in corners:
        x, y = max(0, min(x, frame_size[0] - width)), max(0, min(y, frame_size[1] - height))
        boxes.append((x, y, x + width, y + height))
    return boxes


def _measure_overlap(a: Box, b: Box) -> int:
    return max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
