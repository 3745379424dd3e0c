"""The pooling operator: what a token says of a field on a finer grid, through the motion of the frames it covers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from vidconcept.temporal.carry import Carry
from vidconcept.temporal.sampling import grid_points, sample

# A view of a place has its full weight from so many tokens inside the picture on, and at its border this share of it.
BORDER_TOKENS, LEAST_AT_BORDER = 3.0, 0.15
# What a point beyond the frame weighs still, so that no sum of weights is 0.
LEAST_WEIGHT = 1e-4


@dataclass(frozen=True)
class View:
    """Where points of the canvas lie in a frame, in fractional token indices, and which are inside it, bool.

    x, y, inside: `(rows, cols)`. Where the motion keeps rows level and columns upright, as on a line, x is `(1, cols)`
    and y is `(rows, 1)`. All concepts share a view: what is computed of it alone is kept.
    """

    x: np.ndarray = field(repr=False)
    y: np.ndarray = field(repr=False)
    inside: np.ndarray = field(repr=False)
    # Rows and columns of the tokens.
    grid: tuple[int, int]

    @cached_property
    def nearest(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Row of the token nearest to each row of points, and column to each column; None where rows are not level."""
        if self.x.shape == self.y.shape:
            return None
        rows, cols = (
            np.clip(np.rint(at.ravel()), 0, size - 1).astype(np.intp)
            for at, size in zip((self.y, self.x), self.grid, strict=True)
        )
        return rows, cols

    @cached_property
    def presence(self) -> np.ndarray:
        """How much is seen of a point and what lies around it: 0 beyond the frame, little at its border, else 1.

        What the border of the picture cuts is seen without what lies around it, and a cut part looks broken: another
        view of the same place, farther inside, says more.
        """
        along_y, along_x = (
            np.minimum(at + np.float32(0.5), np.float32(size - 0.5) - at) / np.float32(BORDER_TOKENS)
            for at, size in zip((self.y, self.x), self.grid, strict=True)
        )
        context = np.clip(np.minimum(along_x, along_y), np.float32(LEAST_AT_BORDER), np.float32(1.0))
        return self.inside * context

    @cached_property
    def weight(self) -> np.ndarray:
        """1 inside of the frame, hardly anything beyond it, `(rows, cols)` float32."""
        return self.inside + np.float32(LEAST_WEIGHT)

    def sample(self, tokens: np.ndarray, interpolation: int) -> np.ndarray:
        """Tokens `(row, col)` at the points, `(rows, cols)` float32; beyond the frame the border token stands in."""
        if interpolation == cv2.INTER_NEAREST and self.nearest is not None:
            rows, cols = self.nearest
            # Whole rows last: they are copied in one piece.
            return tokens.take(cols, axis=1).take(rows, axis=0)
        return sample(tokens, np.stack(np.broadcast_arrays(self.x, self.y), axis=-1), interpolation=interpolation)


@dataclass(frozen=True, slots=True)
class Observation:
    """What one latent step says of one concept.

    tokens: `(row, col)` scores. carries: of its frames to the key frame. weight: in [0, 1], for its distance in
    time and the share of its frames on this side of a scene cut. views: where points of the canvas lie in its frames,
    or in the middle one alone.
    """

    tokens: np.ndarray = field(repr=False)
    carries: Sequence[Carry] = field(repr=False)
    views: Sequence[View] = field(repr=False)
    weight: float = 1.0

    @property
    def middle(self) -> View:
        return self.views[len(self.views) // 2]

    def sample_view(self, view: View, interpolation: int) -> np.ndarray:
        """Its tokens at the points of a view; see `View.sample`."""
        return view.sample(self.tokens, interpolation)


@dataclass(frozen=True, slots=True)
class Canvas:
    """The grid of the field: `rows`×`cols` cells over the key frame and a margin of cells around it.

    per_token: cells per side of a token. spread_tokens: standard deviation of the model's point spread, in tokens: 0
    when a token is the plain mean over its area.
    """

    rows: int
    cols: int
    per_token: int
    spread_tokens: float = 0.0

    @property
    def reach(self) -> int:
        """How many tokens the point spread reaches to each side."""
        return int(np.ceil(2.5 * self.spread_tokens))

    @property
    def margin(self) -> int:
        """Cells around the frame, for parts that enter and leave."""
        return (2 + self.reach) * self.per_token

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, margin included."""
        return self.rows + 2 * self.margin, self.cols + 2 * self.margin

    def cells(self, points: np.ndarray) -> np.ndarray:
        """Normalised points `(..., 2)` as fractional canvas indices, x first."""
        return points * np.array([self.cols, self.rows], np.float32) + np.float32(self.margin - 0.5)

    def points(self, block: int = 1) -> np.ndarray:
        """Normalised centres of squares of `block` cells a side, `((rows + 2m) / block, (cols + 2m) / block, 2)`."""
        return grid_points(self.rows // block, self.cols // block, self.margin // block)

    def profile(self) -> np.ndarray:
        """Weights of the cells along one axis that make a token, from `reach` tokens before it; sums to 1."""
        offsets = np.arange(-self.reach, self.reach + 1)
        taps = np.exp(-0.5 * (offsets / max(self.spread_tokens, 1e-6)) ** 2)
        return np.repeat(taps / taps.sum() / self.per_token, self.per_token).astype(np.float32)


def make_view(carry: Carry, canvas: Canvas, block: int = 1) -> View:
    """The view of a frame, by its way to the key frame, for the centres of squares of `block` cells of the canvas."""
    points = canvas.points(block)
    straight = carry.straight_back
    if straight is None:
        x, y = np.moveaxis(carry.sources(points), -1, 0)
    else:
        (scale_x, shift_x), (scale_y, shift_y) = straight
        x, y = points[:1, :, 0] * scale_x + shift_x, points[:, :1, 1] * scale_y + shift_y
    inside = (x > 0) & (x < 1) & (y > 0) & (y < 1)
    rows, cols = canvas.rows // canvas.per_token, canvas.cols // canvas.per_token
    return View(x * np.float32(cols) - np.float32(0.5), y * np.float32(rows) - np.float32(0.5), inside, (rows, cols))


@dataclass(frozen=True, slots=True)
class Footprints:
    """Rows of the pooling operator: `tokens[i]` is predicted as `coefficients[i] · field[cells[i]]`.

    tokens: `(n,)` flat token indices. cells, coefficients: `(n, m)`; coefficients sum to 1. trust: `(n,)` in [0, 1].
    """

    tokens: np.ndarray
    cells: np.ndarray
    coefficients: np.ndarray
    trust: np.ndarray


def compute_footprints(observation: Observation, canvas: Canvas, active: np.ndarray) -> Footprints:
    """Footprints of the tokens of one latent step that touch `active` cells `(rows + 2m, cols + 2m)` bool."""
    rows, cols = observation.tokens.shape
    middle = observation.carries[len(observation.carries) // 2]
    at = canvas.cells(middle.points(grid_points(rows, cols)))
    near = sample(active.astype(np.float32), at, border=cv2.BORDER_CONSTANT)
    token = np.flatnonzero(near.ravel() > 0)
    if not len(token):
        return Footprints(token, np.zeros((0, 1), np.int64), np.zeros((0, 1), np.float32), np.zeros(0, np.float32))
    shifts = [carry.translation for carry in observation.carries]
    if all(shift is not None for shift in shifts):
        return _translate(token, cols, canvas, [s for s in shifts if s is not None])
    return _sample(token, observation, canvas)


def _translate(token: np.ndarray, cols: int, canvas: Canvas, shifts: Sequence[np.ndarray]) -> Footprints:
    """One footprint serves all tokens: it only moves."""
    height, width = canvas.shape
    profile = canvas.profile()
    x = [_shift(profile, float(shift[0]) * canvas.cols) for shift in shifts]
    y = [_shift(profile, float(shift[1]) * canvas.rows) for shift in shifts]
    left, top = min(first for first, _ in x), min(first for first, _ in y)
    right, bottom = max(first for first, _ in x), max(first for first, _ in y)
    kernel = np.zeros((bottom - top + len(profile) + 1, right - left + len(profile) + 1), np.float32)
    for (x_first, x_weights), (y_first, y_weights) in zip(x, y, strict=True):
        rows_, cols_ = y_first - top, x_first - left
        part = kernel[rows_ : rows_ + len(y_weights), cols_ : cols_ + len(x_weights)]
        part += np.outer(y_weights, x_weights) / len(shifts)
    row, col = np.divmod(token, cols)
    start = canvas.margin - canvas.reach * canvas.per_token
    x0, y0 = col * canvas.per_token + start + left, row * canvas.per_token + start + top
    inside = (x0 >= 0) & (y0 >= 0) & (x0 + kernel.shape[1] <= width) & (y0 + kernel.shape[0] <= height)
    offsets = (np.arange(kernel.shape[0])[:, None] * width + np.arange(kernel.shape[1])).ravel()
    used = kernel.ravel() > 0
    cells = (y0 * width + x0)[inside, None] + offsets[used]  # (n, m)
    coefficients = np.broadcast_to(kernel.ravel()[used], cells.shape)
    return Footprints(token[inside], cells, coefficients, np.ones(len(cells), np.float32))


def _shift(profile: np.ndarray, shift: float) -> tuple[int, np.ndarray]:
    """Weights of bilinear samples at 0, 1, … moved by `shift` cells: first cell, and one weight more than samples."""
    first = int(np.floor(shift))
    weights = np.zeros(len(profile) + 1, np.float32)
    weights[:-1] = profile * (1.0 - (shift - first))
    weights[1:] += profile * (shift - first)
    return first, weights


def _sample(token: np.ndarray, observation: Observation, canvas: Canvas) -> Footprints:
    """Any motion: bilinear samples of the field at the cell centres of the token, in every frame it covers."""
    rows, cols = observation.tokens.shape
    height, width = canvas.shape
    s, profile = canvas.per_token, canvas.profile()
    row, col = np.divmod(token, cols)
    inner = np.arange(len(profile)) - canvas.reach * s
    y = (row[:, None, None] * s + inner[None, :, None] + 0.5) / (rows * s)
    x = (col[:, None, None] * s + inner[None, None, :] + 0.5) / (cols * s)
    points = np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float32).reshape(len(token), -1, 2)  # (n, cell, 2)
    share = np.outer(profile, profile).ravel() / len(observation.carries)
    cells, coefficients = [], []
    trust, inside = np.zeros(len(token), np.float32), np.ones(len(token), bool)
    for carry in observation.carries:
        at = canvas.cells(carry.points(points))
        corner = np.floor(at).astype(np.int64)
        fx, fy = np.moveaxis(at - corner, -1, 0)
        cx, cy = corner[..., 0], corner[..., 1]
        inside &= ((cx >= 0) & (cy >= 0) & (cx < width - 1) & (cy < height - 1)).all(1)
        base = cy * width + cx
        cells += [base, base + 1, base + width, base + width + 1]
        coefficients += [w * share for w in ((1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy)]
        trust += 1.0 if carry.valid is None else _mean_valid(carry.valid, points)
    return Footprints(
        token[inside],
        np.concatenate(cells, axis=1)[inside],
        np.concatenate(coefficients, axis=1)[inside],
        trust[inside] / len(observation.carries),
    )


def _mean_valid(valid: np.ndarray, points: np.ndarray) -> np.ndarray:
    h, w = valid.shape
    at = points * np.array([w, h], np.float32) - np.float32(0.5)
    return sample(valid, at, interpolation=cv2.INTER_NEAREST).mean(1)
