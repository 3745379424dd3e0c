"""Where a track's pixels are expected on the next frame: by optical flow, and by the velocity that it has shown.

Both are kept, because each fails where the other holds: flow is wrong behind an occluder and on a part that enters,
velocity where the line stops.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from vidconcept.tracks.components import Component

# Points kept a track: enough for an overlap to 1 %, and a large stain costs no more than a scratch.
_MAX_POINTS = 4096
# Weight of the newest displacement in the velocity.
_VELOCITY_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class Motion:
    """Expected pixels of a track on the working grid.

    by_flow, by_velocity: `(n, 2)` float32, x first. area: pixels that the n points stand for. centre: `(2,)` where it
    was last seen. velocity: `(2,)` grid pixels a second, None until it was measured. whole: the track was last seen
    clear of the grid's border, so its centre tells its motion; not taken for granted of its first frame.
    """

    by_flow: np.ndarray = field(repr=False)
    by_velocity: np.ndarray = field(repr=False)
    area: int
    centre: np.ndarray
    velocity: np.ndarray | None = None
    whole: bool = False


def begin_at_rest(component: Component) -> Motion:
    """Motion of a track that was seen for the first time."""
    stride = -(-component.area // _MAX_POINTS)
    points = component.points[::stride].astype(np.float32)
    return Motion(points, points, component.area, component.centre)


def predict(motion: Motion, flow: np.ndarray | None, grid: tuple[int, int], dt_s: float) -> Motion:
    """The motion one frame later. flow: `(h', w', 2)` in pixels of the grid `(h, w)`, or None: velocity alone."""
    by_velocity = motion.by_velocity if motion.velocity is None else motion.by_velocity + motion.velocity * dt_s
    by_flow = by_velocity if flow is None else motion.by_flow + _sample(flow, motion.by_flow, grid)
    if motion.velocity is None:
        by_velocity = by_flow
    return replace(motion, by_flow=by_flow.astype(np.float32), by_velocity=by_velocity.astype(np.float32))


def update(motion: Motion, component: Component, grid: tuple[int, int], elapsed_s: float) -> Motion:
    """The motion after the track was seen again, `elapsed_s` after the last time."""
    x_min, y_min, x_max, y_max = component.box
    whole = x_min > 0 and y_min > 0 and x_max < grid[1] and y_max < grid[0]
    velocity = motion.velocity
    if whole and motion.whole and elapsed_s > 0:
        newest = (component.centre - motion.centre) / elapsed_s
        velocity = newest if velocity is None else velocity + _VELOCITY_GAIN * (newest - velocity)
    return replace(begin_at_rest(component), velocity=velocity, whole=whole)


def has_left(motion: Motion, grid: tuple[int, int]) -> bool:
    """Whether the track is expected outside of the picture, by flow or by velocity."""
    return any(_clip_points(points, grid).mean() < 0.1 for points in (motion.by_flow, motion.by_velocity))


def count_overlaps(motion: Motion, labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected pixels of the track on each component.

    labels: `(h, w)` int32, component index + 1, 0 elsewhere; count: of components. Returns two `(count,)` arrays of
    pixels of the grid: by flow and by velocity.
    """
    return _count_hits(motion.by_flow, motion.area, labels, count), _count_hits(
        motion.by_velocity, motion.area, labels, count
    )


def expected_box(points: np.ndarray) -> tuple[int, int, int, int]:
    """Box of `(n, 2)` expected points, max exclusive."""
    (x_min, y_min), (x_max, y_max) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
    return int(x_min), int(y_min), int(x_max), int(y_max)


def _count_hits(points: np.ndarray, area: int, labels: np.ndarray, count: int) -> np.ndarray:
    inside = np.rint(points[_clip_points(points, labels.shape)]).astype(np.intp)
    hits = np.bincount(labels[inside[:, 1], inside[:, 0]], minlength=count + 1)[1:]
    return hits * (area / len(points))


def _clip_points(points: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
    x, y = np.rint(points[:, 0]), np.rint(points[:, 1])
    return (x >= 0) & (y >= 0) & (x < grid[1]) & (y < grid[0])


def _sample(flow: np.ndarray, points: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Flow at each point, nearest neighbour; points outside of the grid take the border's."""
    rows = np.clip((points[:, 1] + 0.5) * (flow.shape[0] / grid[0]), 0, flow.shape[0] - 1).astype(np.intp)
    cols = np.clip((points[:, 0] + 0.5) * (flow.shape[1] / grid[1]), 0, flow.shape[1] - 1).astype(np.intp)
    return flow[rows, cols]
