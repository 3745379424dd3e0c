"""Masks that end at the pixel: a coarse piece of the map, refined on the picture inside and around it.

A token is as wide as several scratches, so a piece says where a defect is, not where it ends. The picture does: in a
window around the piece each pixel is measured against a background that is continued from the ring around it, in units
of the ring's own noise, and a small network (`edge_net`) tells from that and from the piece what belongs to the defect.
Its answers are averaged along the track's motion. Where it is not sure the piece stays as it is.
"""

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike

from vidconcept.tracks.components import Component, from_points
from vidconcept.tracks.edge_net import EdgeNet

# The logit of what cannot be.
_NEVER = -20.0
# Pixels of the ring that the background is fitted to, at most.
_PLANE_POINTS = 400


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """How pieces are refined. Lengths are in pixels of the window as the network sees it."""

    # The shorter side of the picture as the network sees it at most, and the area of a window.
    lines: int = 384
    window_area_px: int = 96 * 96
    # How far beyond the piece the defect may go.
    reach_px: int = 6
    # The ring whose pixels are background: from here to there around the piece; the window ends a little behind it.
    ring_px: tuple[int, int] = (3, 12)
    # Share of the past in the average over time.
    memory: float = 0.5
    # A pixel belongs to the defect from this probability on.
    level: float = 0.5
    # The piece is refined where the mask is expected to overlap the defect this well, an IoU out of the probabilities.
    # A track that was refined a frame ago stays so down to `sure - margin`, and one that was not must reach
    # `sure + margin`.
    sure: float = 0.5
    margin: float = 0.05
    # What the mask must differ from its surroundings by on average, in units of the evidence: 0.2 is about the noise.
    contrast: float = 0.22

    @property
    def cut(self) -> float:
        """`level` as a logit."""
        return float(np.log(self.level / (1 - self.level)))


@dataclass(frozen=True, slots=True)
class _Window:
    """Part of the working grid as the network sees it: x, y of its corner and its size there, and the scale."""

    x: int
    y: int
    width: int
    height: int
    scale: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in the network's pixels."""
        return max(4, round(self.width * self.scale)), max(4, round(self.height * self.scale))

    @property
    def part(self) -> tuple[slice, slice]:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def matrix(self) -> np.ndarray:
        """`(3, 3)`: points of the working grid -> of the window, pixel centres at integers."""
        sx, sy = self.size[0] / self.width, self.size[1] / self.height
        return np.array([[sx, 0, (0.5 - self.x) * sx - 0.5], [0, sy, (0.5 - self.y) * sy - 0.5], [0, 0, 1]])


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a track from one frame to the next. fresh: the network looked at this frame."""

    window: _Window
    logits: np.ndarray = field(repr=False)
    refined: bool
    fresh: bool


class EdgeFinder:
    """Refines the pieces of one video, frame after frame."""

    def __init__(self, net: EdgeNet, settings: EdgeSettings | None = None) -> None:
        self._net = net
        self._settings = settings or EdgeSettings()
        self._picture: ArrayLike | None = None
        self._flow: np.ndarray | None = None
        self._before: dict[int, _Seen] = {}
        self._now: dict[int, _Seen] = {}

    def begin_frame(self, picture: ArrayLike | None, flow: np.ndarray | None, *, reset: bool = False) -> None:
        """The next frame. picture: `(h, w, 3)` uint8 RGB on the working grid, None where there is none to be had. It
        is made an array only where it is looked at.

        flow: `(h', w', 2)` from the previous frame in pixels of the working grid, None where there is none. reset: a
        scene cut lies before this frame.
        """
        self._before = {} if reset or flow is None else self._now
        self._picture, self._flow, self._now = picture, flow, {}

    def refine(self, tracker_id: int, piece: Component, scores: np.ndarray, pieces: np.ndarray) -> Component | None:
        """The piece as it ends in the picture, None where the picture does not tell.

        It lies within `reach_px` of the piece and is not empty. scores: `(h, w)` of the piece's concept; pieces:
        `(h, w)` bool, all of this concept: what is another's stays so.
        """
        if self._picture is None:
            return None
        s = self._settings
        window = _make_window(piece, pieces.shape, s)
        coarse = _draw_piece(piece, window)
        covered = cv2.resize(coarse, window.size, interpolation=cv2.INTER_AREA)
        small = covered > min(127, int(covered.max()) - 1)
        before = self._before.get(tracker_id)
        carried = None
        if before is not None and self._flow is not None:
            carried = _warp_logits(before, window, self._flow, pieces.shape)
        near = _distance_transform(small) <= s.reach_px
        fresh = before is None or carried is None or not before.fresh or not np.isfinite(carried[small]).all()
        if before is None or carried is None or fresh:
            strength = cv2.resize(scores[window.part], window.size, interpolation=cv2.INTER_LINEAR)
            self._picture = np.asarray(self._picture)
            picture = cv2.resize(self._picture[window.part], window.size, interpolation=cv2.INTER_AREA)
            channels = make_channels(picture, small, strength, s.ring_px)
            logits = self._net.logits(channels)
            if carried is not None:
                logits = np.where(np.isfinite(carried), (1 - s.memory) * logits + s.memory * carried, logits)
            sure = self._is_sure(np.where(near, logits, np.float32(_NEVER)), channels, before)
        else:
            # What was looked at a frame ago has only moved since.
            logits, sure = np.where(np.isfinite(carried), carried, np.float32(_NEVER)), before.refined
        known = np.where(near, logits, np.float32(_NEVER))
        mask = None
        if sure:
            allowed = (_distance_transform(coarse > 0) <= s.reach_px / window.scale) & (
                ~pieces[window.part] | (coarse > 0)
            )
            mask = remove_specks((_enlarge_logits(known, window) > s.cut) & allowed)
        refined = mask is not None and bool(mask.any())
        self._now[tracker_id] = _Seen(window, logits, refined, fresh)
        if mask is None or not refined:
            return None
        ys, xs = np.nonzero(mask)
        return from_points(np.stack([xs + window.x, ys + window.y], axis=1).astype(np.int32))

    def _is_sure(self, logits: np.ndarray, channels: np.ndarray, before: _Seen | None) -> bool:
        """Whether the picture says where the defect ends; a track does not change its mind for a little."""
        s = self._settings
        margin = 0.0 if before is None else -s.margin if before.refined else s.margin
        return (
            estimate_iou(logits, s.cut) >= s.sure + margin and measure_contrast(channels, logits > s.cut) >= s.contrast
        )


def make_channels(picture: np.ndarray, piece: np.ndarray, scores: np.ndarray, ring_px: tuple[int, int]) -> np.ndarray:
    """What the network looks at, `(5, h, w)` float32 in [-1, 1].

    picture: `(h, w, 3)` uint8; piece: `(h, w)` bool, not empty; scores: `(h, w)` float32. The background is a plane
    through the pixels of the ring, fitted robustly. Channels: difference of brightness in units of the ring's noise, of
    colour likewise, of brightness in units of its spread inside the piece, the piece itself, and the scores as a share
    of their peak in the piece.
    """
    values = picture.astype(np.float32)
    distance = _distance_transform(piece)
    ring = (distance > ring_px[0]) & (distance <= ring_px[1])
    if np.count_nonzero(ring) < 30:
        ring = ~piece if np.count_nonzero(~piece) >= 30 else np.ones_like(piece)
    difference = values - _fit_plane(values, ring)
    light = difference @ np.array([0.299, 0.587, 0.114], np.float32)
    # The largest of the three; NumPy's own over an axis of three is slow.
    away = np.abs(difference - light[..., None])
    colour = np.maximum(np.maximum(away[..., 0], away[..., 1]), away[..., 2])
    noise = 1.48 * float(np.median(np.abs(light[ring]))) + 1.0
    colour_noise = 1.48 * float(np.median(colour[ring])) + 1.0
    spread = max(float(light[piece].std()), 1.0)
    shares = np.minimum(scores / max(float(scores[piece].max()), 1e-6), 1.0)
    tones = [np.tanh(light / (4 * noise)), np.tanh(colour / (4 * colour_noise)), np.tanh(light / (2 * spread))]
    return np.stack([*tones, 2.0 * piece - 1, 2.0 * shares - 1]).astype(np.float32)


def measure_contrast(channels: np.ndarray, mask: np.ndarray) -> float:
    """By how much the pixels of a `(h, w)` bool mask differ from the background, in brightness or in colour."""
    return float(np.abs(channels[:2, mask]).mean(axis=1).max()) if mask.any() else 0.0


def estimate_iou(logits: np.ndarray, cut: float = 0.0) -> float:
    """How well the pixels above `cut` are expected to overlap the truth, if the probabilities are right."""
    chosen = logits > cut
    probabilities = 1.0 / (1.0 + np.exp(-np.clip(logits, _NEVER, -_NEVER)))
    union = np.count_nonzero(chosen) + float(probabilities[~chosen].sum())
    return float(probabilities[chosen].sum()) / union if union and chosen.any() else 0.0


def remove_specks(mask: np.ndarray, share: float = 0.05) -> np.ndarray:
    """`(h, w)` bool without connected parts that are smaller than this share of the largest one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = areas >= share * areas[1:].max()
    keep[0] = False
    return keep[labels]


def _make_window(piece: Component, grid: tuple[int, int], settings: EdgeSettings) -> _Window:
    x_min, y_min, x_max, y_max = piece.box
    scale = min(1.0, settings.lines / min(grid))
    pad = settings.ring_px[1] + 2
    area = ((x_max - x_min) * scale + 2 * pad) * ((y_max - y_min) * scale + 2 * pad)
    scale *= min(1.0, (settings.window_area_px / area) ** 0.5)
    pad = int(np.ceil(pad / scale))
    left, top = max(0, x_min - pad), max(0, y_min - pad)
    return _Window(left, top, min(grid[1], x_max + pad) - left, min(grid[0], y_max + pad) - top, scale)


def _draw_piece(piece: Component, window: _Window) -> np.ndarray:
    """The piece in its window at full size, `(h, w)` uint8, 255 inside."""
    mask = np.zeros((window.height, window.width), np.uint8)
    mask[piece.points[:, 1] - window.y, piece.points[:, 0] - window.x] = 255
    return mask


def _enlarge_logits(logits: np.ndarray, window: _Window) -> np.ndarray:
    if logits.shape == (window.height, window.width):
        return logits
    return cv2.resize(logits, (window.width, window.height), interpolation=cv2.INTER_LINEAR)


def _fit_plane(values: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """A plane a channel through the pixels of the ring, `(h, w, c)`: least squares, then once more without outliers."""
    h, w = ring.shape
    ys, xs = np.nonzero(ring)
    # A few hundred pixels settle three numbers a channel.
    stride = -(-len(ys) // _PLANE_POINTS)
    ys, xs = ys[::stride], xs[::stride]
    basis = np.stack([np.ones(len(ys)), xs / w - 0.5, ys / h - 0.5], axis=1).astype(np.float32)
    known = values[ys, xs]
    weight = np.ones(len(ys), np.float32)
    plane = np.zeros((3, values.shape[2]), np.float32)
    ridge = 1e-3 * len(ys) * np.eye(3, dtype=np.float32)
    for _ in range(2):
        weighted = basis * weight[:, None]
        plane = np.linalg.solve(weighted.T @ basis + ridge * np.float32(weight.mean()) * [0, 1, 1], weighted.T @ known)
        off = np.abs(known - basis @ plane).max(axis=1)
        weight = (1.0 / (1.0 + np.square(off / (2 * np.median(off) + 1.0)))).astype(np.float32)
    x, y = np.arange(w, dtype=np.float32) / w - 0.5, np.arange(h, dtype=np.float32) / h - 0.5
    return (plane[0] + x[None, :, None] * plane[1] + y[:, None, None] * plane[2]).astype(np.float32)


def _warp_logits(before: _Seen, window: _Window, flow: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Logits of a frame ago where they are now, in the window; NaN where they did not see the pixel."""
    moved = _fit_motion(flow, before.window, grid)
    way = window.matrix @ moved @ np.linalg.inv(before.window.matrix)
    return cv2.warpAffine(
        before.logits, way[:2], window.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=np.nan
    )


def _fit_motion(flow: np.ndarray, window: _Window, grid: tuple[int, int]) -> np.ndarray:
    """`(3, 3)` affine map of the working grid that the flow makes of what was in a window a frame ago."""
    rows, cols = flow.shape[:2]
    top, left = int(window.y * rows / grid[0]), int(window.x * cols / grid[1])
    bottom = max(top + 1, int(np.ceil((window.y + window.height) * rows / grid[0])))
    right = max(left + 1, int(np.ceil((window.x + window.width) * cols / grid[1])))
    part = flow[top:bottom, left:right].reshape(-1, 2).astype(np.float64)
    out = np.eye(3)
    out[:2, 2] = part.mean(axis=0)
    if bottom - top < 3 or right - left < 3 or np.abs(part - out[:2, 2]).max() < 0.05:
        return out
    y, x = np.mgrid[top:bottom, left:right].reshape(2, -1)
    points = np.stack([(x + 0.5) * grid[1] / cols - 0.5, (y + 0.5) * grid[0] / rows - 0.5, np.ones(x.size)], axis=1)
    out[:2] += np.linalg.lstsq(points, part, rcond=None)[0].T - np.hstack([np.zeros((2, 2)), out[:2, 2:]])
    return out


def _distance_transform(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel to a `(h, w)` bool mask, float32."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
