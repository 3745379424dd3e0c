"""Key-frame energy: one field per latent step that explains all the tokens around it.

A token is the mean of the true score over its pixels and frames. So the unknown is a field u on a grid finer than the
tokens, in the coordinates of a key frame, and the data term asks that the mean of u over a token's footprint, carried
along the motion through the frames that the token covers, equals the token. Motion sweeps a defect across the borders
of the tokens, so several latent steps together say more than the token size.

    E(u) = Σ_tokens w (A u − t)²  +  λ Σ_neighbours e_ij (u_i − u_j)²  +  μ Σ (u − u₀)²

w falls with the distance in time, with the noise expected at that score, and for tokens that contradict the rest
(iteratively re-weighted: drop-outs and false blobs become outliers); e_ij falls across image edges; u₀ is the robust
mean of the tokens along the motion. Solved by preconditioned conjugate gradients on the cells near anything worth
solving; elsewhere u = u₀.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import sparse

from vidconcept.temporal.carry import Carry


@dataclass(frozen=True, slots=True)
class EnergySettings:
    """Weights of the energy; scores are in [0, 1], cells are about 4 px of the model's frame."""

    # λ: spatial smoothness.
    smoothness: float = 0.02
    # Difference of neighbouring cells (8-bit grey levels) that halves the smoothness between them.
    edge_grey: float = 4.0
    # μ: pull towards the mean of the tokens.
    ridge: float = 0.0002
    # Weight of a latent step per step of distance.
    decay: float = 0.9
    # Noise of a token: floor, and part that grows with p (1 - p).
    noise_floor: float = 0.05
    noise_slope: float = 0.7
    # Residual over noise at which a token's weight halves.
    outlier: float = 2.5
    # Cells where the mean of the tokens is below this keep that mean.
    active: float = 0.03
    passes: int = 3
    iterations: int = 8
    # Pull of negative cells to zero, relative to the data weights.
    positivity: float = 0.5


@dataclass(frozen=True, slots=True)
class Observation:
    """What one latent step says: its tokens of one concept `(row, col)`, the ways of its frames to the key frame, and a
    weight in [0, 1] (distance in time, share of frames on this side of a scene cut)."""

    tokens: np.ndarray = field(repr=False)
    ways: Sequence[Carry] = field(repr=False)
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Canvas:
    """The grid of u: `rows`×`cols` cells over the key frame and a margin around it, `per_token` cells per token side."""

    rows: int
    cols: int
    margin: int
    per_token: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows + 2 * self.margin, self.cols + 2 * self.margin

    def cells(self, points: np.ndarray) -> np.ndarray:
        """Normalised points `(..., 2)` as fractional canvas indices (x, y)."""
        return points * np.float32([self.cols, self.rows]) + np.float32(self.margin - 0.5)

    def points(self) -> np.ndarray:
        """Normalised centres of all cells, `(rows + 2m, cols + 2m, 2)` float32."""
        x = (np.arange(-self.margin, self.cols + self.margin, dtype=np.float32) + 0.5) / self.cols
        y = (np.arange(-self.margin, self.rows + self.margin, dtype=np.float32) + 0.5) / self.rows
        return np.stack(np.meshgrid(x, y), axis=-1)


def robust_mean(observations: Sequence[Observation], canvas: Canvas, settings: EnergySettings) -> np.ndarray:
    """Mean of the tokens along the motion, on the canvas, `(rows + 2m, cols + 2m)` float32: u₀.

    Every latent step is carried by its middle frame. A step that contradicts the others counts less.
    """
    values, weights = [], []
    for o in observations:
        at, seen = _inverse_samples(o, canvas)
        values.append(cv2.remap(o.tokens, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
        weights.append(seen * o.weight + 1e-4)
    stack, base = np.stack(values), np.stack(weights)  # (step, row, col)
    mean = (stack * base).sum(0) / base.sum(0)
    for _ in range(2):
        noise = settings.noise_floor + settings.noise_slope * mean * (1.0 - mean)
        weight = base / (1.0 + ((stack - mean) / (settings.outlier * noise)) ** 2)
        mean = (stack * weight).sum(0) / weight.sum(0)
    return mean.astype(np.float32)


def _inverse_samples(observation: Observation, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Token coordinates of every canvas cell, `(h, w, 2)`, and whether the cell is in that frame, `(h, w)`."""
    way = observation.ways[len(observation.ways) // 2]
    rows, cols = observation.tokens.shape
    points = canvas.points()
    if way.matrix is not None:
        inverse = cv2.invertAffineTransform(way.matrix).astype(np.float32)
        there = points @ inverse[:, :2].T + inverse[:, 2]
    else:
        there = points
        for _ in range(4):  # fixed point of there + shift(there) = points
            there = points - (way.points(there) - there)
    inside = ((there > 0) & (there < 1)).all(-1)
    at = there * np.float32([cols, rows]) - np.float32(0.5)
    return at.astype(np.float32), inside.astype(np.float32)


def active_cells(mean: np.ndarray, canvas: Canvas, settings: EnergySettings) -> np.ndarray:
    """Cells worth solving: within a token of a mean above the active level; bool, canvas shape."""
    size = 2 * canvas.per_token + 1
    return cv2.dilate((mean > settings.active).astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool)


def _footprints(
    observation: Observation, canvas: Canvas, active: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Tokens of one latent step that touch active cells, as rows of A.

    Returns token indices `(n,)`, canvas indices `(n, m)`, coefficients `(n, m)` that sum to 1 a row, trust `(n,)`.
    """
    rows, cols = observation.tokens.shape
    s, (height, width) = canvas.per_token, canvas.shape
    middle = observation.ways[len(observation.ways) // 2]
    centres = np.stack(
        np.meshgrid((np.arange(cols, dtype=np.float32) + 0.5) / cols, (np.arange(rows, dtype=np.float32) + 0.5) / rows),
        axis=-1,
    )  # (row, col, xy)
    at = canvas.cells(middle.points(centres))
    near = cv2.remap(active.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    token = np.flatnonzero(near.ravel() > 0)
    if not len(token):
        return token, np.zeros((0, 1), np.int64), np.zeros((0, 1), np.float32), np.zeros(0, np.float32)
    row, col = np.divmod(token, cols)

    translations = [way.translation for way in observation.ways]
    if all(t is not None for t in translations):
        # One footprint serves all tokens: it only moves.
        kernel_x = [_tent_sum(s, float(t[0]) * canvas.cols) for t in translations if t is not None]
        kernel_y = [_tent_sum(s, float(t[1]) * canvas.rows) for t in translations if t is not None]
        x0, y0 = min(k[0] for k in kernel_x), min(k[0] for k in kernel_y)
        x1, y1 = max(k[0] + len(k[1]) for k in kernel_x), max(k[0] + len(k[1]) for k in kernel_y)
        kernel = np.zeros((y1 - y0, x1 - x0), np.float32)
        for (xs, kx), (ys, ky) in zip(kernel_x, kernel_y, strict=True):
            kernel[ys - y0 : ys - y0 + len(ky), xs - x0 : xs - x0 + len(kx)] += np.outer(ky, kx)
        kernel /= len(kernel_x)
        left, top = col * s + canvas.margin + x0, row * s + canvas.margin + y0
        inside = (left >= 0) & (top >= 0) & (left + kernel.shape[1] <= width) & (top + kernel.shape[0] <= height)
        token, left, top = token[inside], left[inside], top[inside]
        offsets = (np.arange(kernel.shape[0])[:, None] * width + np.arange(kernel.shape[1])).ravel()
        used = kernel.ravel() > 0
        index = (top * width + left)[:, None] + offsets[used]
        return token, index, np.broadcast_to(kernel.ravel()[used], index.shape), np.ones(len(token), np.float32)

    # General motion: bilinear samples of u at the cell centres of the token, in every frame.
    inner = np.arange(s)
    y = (row[:, None, None] * s + inner[None, :, None] + 0.5) / (rows * s)
    x = (col[:, None, None] * s + inner[None, None, :] + 0.5) / (cols * s)
    points = np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float32).reshape(len(token), s * s, 2)
    indices, coefficients, trust = [], [], np.zeros(len(token), np.float32)
    inside = np.ones(len(token), bool)
    for way in observation.ways:
        at = canvas.cells(way.points(points))  # (n, cell, xy)
        corner = np.floor(at).astype(np.int64)
        fx, fy = np.moveaxis(at - corner, -1, 0)
        cx, cy = corner[..., 0], corner[..., 1]
        inside &= ((cx >= 0) & (cy >= 0) & (cx < width - 1) & (cy < height - 1)).all(1)
        base = cy * width + cx
        indices += [base, base + 1, base + width, base + width + 1]
        coefficients += [(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy]
        trust += 1.0 if way.valid is None else _mean_valid(way.valid, points)
    scale = 1.0 / (len(observation.ways) * s * s)
    index, coefficient = np.concatenate(indices, axis=1), np.concatenate(coefficients, axis=1) * scale
    return token[inside], index[inside], coefficient[inside], trust[inside] / len(observation.ways)


def _mean_valid(valid: np.ndarray, points: np.ndarray) -> np.ndarray:
    h, w = valid.shape
    at = (points * np.float32([w, h]) - np.float32(0.5)).astype(np.float32)
    return cv2.remap(valid, at, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE).mean(1)


def _tent_sum(count: int, shift: float) -> tuple[int, np.ndarray]:
    """Coefficients of the mean of `count` bilinear samples at 0, 1, … shifted by `shift`: first index, weights."""
    first = int(np.floor(shift))
    fraction = shift - first
    weights = np.zeros(count + 1, np.float32)
    weights[:count] += 1.0 - fraction
    weights[1:] += fraction
    return first, weights / count


def solve(
    observations: Sequence[Observation],
    mean: np.ndarray,
    canvas: Canvas,
    grey: np.ndarray,
    settings: EnergySettings,
) -> np.ndarray:
    """Minimise the energy; the field u on the canvas, float32 in [0, 1].

    mean: u₀ from `robust_mean`. grey: `(rows + 2m, cols + 2m)` float32, the key frame on the canvas, for the edges.
    """
    active = active_cells(mean, canvas, settings).ravel()
    if not active.any():
        return mean
    tokens, trusts, indices, coefficients = [], [], [], []
    for o in observations:
        token, index, coefficient, trust = _footprints(o, canvas, active.reshape(canvas.shape))
        tokens.append(o.tokens.ravel()[token])
        trusts.append(trust * o.weight)
        indices.append(index)
        coefficients.append(coefficient)
    pairs, edges = _neighbours(grey, active, settings)
    indices.append(pairs)
    coefficients.append(np.broadcast_to(np.float32([1.0, -1.0]), pairs.shape))
    rows = _matrix(indices, coefficients, active.size)
    # Token rows and smoothness rows are one least-squares problem: rows · u = target.
    target = np.concatenate([*tokens, np.zeros(len(edges), np.float32)])
    trust = np.concatenate(trusts)
    count = len(trust)

    fixed = mean.ravel()
    inner = np.flatnonzero(active)
    target -= rows @ np.where(active, 0.0, fixed).astype(np.float32)
    a = rows[:, inner]
    a_t = a.T.tocsr()
    squares = sparse.csr_matrix((a_t.data**2, a_t.indices, a_t.indptr), a_t.shape)
    offset = np.concatenate([np.concatenate(tokens), np.zeros(len(edges), np.float32)]) - target

    u0 = fixed[inner]
    u = u0
    weight = np.concatenate([trust, settings.smoothness * edges])
    for _ in range(settings.passes):
        p = np.clip((a @ u + offset)[:count], 0.0, 1.0)
        noise = settings.noise_floor + settings.noise_slope * p * (1.0 - p)
        residual = (target[:count] - (a @ u)[:count]) / noise
        weight[:count] = trust * (settings.noise_floor / noise) ** 2 / (1.0 + (residual / settings.outlier) ** 2)
        pull = settings.ridge + np.where(u < 0, settings.positivity, 0.0).astype(np.float32)
        right = a_t @ (weight * target) + settings.ridge * u0
        u = _conjugate_gradients(a, a_t, weight, pull, right, u, squares @ weight + pull, settings.iterations)
    result = fixed.copy()
    result[inner] = u
    return np.clip(result, 0.0, 1.0).reshape(canvas.shape)


def _neighbours(grey: np.ndarray, active: np.ndarray, settings: EnergySettings) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of adjacent cells of which one is active `(n, 2)`, and their weights, low across image edges `(n,)`."""
    height, width = grey.shape
    number = np.arange(height * width).reshape(height, width)
    right = np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()], axis=1)
    down = np.stack([number[:-1].ravel(), number[1:].ravel()], axis=1)
    pairs = np.concatenate([right, down])
    pairs = pairs[active[pairs].any(1)]
    step = grey.ravel()[pairs[:, 0]] - grey.ravel()[pairs[:, 1]]
    return pairs, (1.0 / (1.0 + (step / settings.edge_grey) ** 2)).astype(np.float32)


def _matrix(indices: list[np.ndarray], coefficients: list[np.ndarray], columns: int) -> sparse.csr_matrix:
    """Rows given in groups of equal length `(n, m)` as one sparse matrix; repeated columns of a row add up."""
    lengths = np.concatenate([np.full(len(index), index.shape[1]) for index in indices])
    pointer = np.concatenate([[0], np.cumsum(lengths)])
    index = np.concatenate([i.ravel() for i in indices])
    value = np.concatenate([c.ravel() for c in coefficients]).astype(np.float32)
    return sparse.csr_matrix((value, index, pointer), shape=(len(lengths), columns))


def _conjugate_gradients(
    a: sparse.csr_matrix,
    a_t: sparse.csr_matrix,
    weight: np.ndarray,
    pull: np.ndarray,
    right: np.ndarray,
    start: np.ndarray,
    diagonal: np.ndarray,
    iterations: int,
) -> np.ndarray:
    """Solve (aᵀ diag(weight) a + diag(pull)) u = right by Jacobi-preconditioned conjugate gradients."""
    u = start.copy()
    residual = right - a_t @ (weight * (a @ u)) - pull * u
    scaled = residual / diagonal
    direction = scaled.copy()
    power = float(residual @ scaled)
    stop = 1e-10 * max(float(right @ (right / diagonal)), 1e-12)
    for _ in range(iterations):
        if power <= stop:
            break
        image = a_t @ (weight * (a @ direction)) + pull * direction
        step = power / float(direction @ image)
        u += step * direction
        residual -= step * image
        scaled = residual / diagonal
        previous, power = power, float(residual @ scaled)
        direction = scaled + (power / previous) * direction
    return u
