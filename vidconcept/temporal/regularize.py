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
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import sparse

from vidconcept.temporal.pooling import LEAST_WEIGHT, Canvas, Observation, compute_footprints


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
    # Cells where the mean of the tokens is low keep that mean: always below `quiet`, on a noisy ground up to `active`.
    quiet: float = 0.01
    active: float = 0.03
    # Re-weightings, and steps of conjugate gradients in each.
    passes: int = 3
    iterations: int = 8
    # Pull of negative cells to zero.
    positivity: float = 0.5
    # Point spread of the model in tokens (standard deviation) by `pointspread`; 0: tokens are plain area means.
    spread_tokens: float = 0.0


def average_robustly(
    values: Sequence[np.ndarray], weights: Sequence[np.ndarray], settings: EnergySettings
) -> np.ndarray:
    """Weighted mean of fields `(row, col)`, one a latent step; a step that contradicts the others counts less."""
    mean = add_products(values, weights) / add_all(weights)
    if max(float(own.max()) for own in values) > settings.quiet:
        now = np.empty_like(mean)
        for _ in range(2):
            noise = settings.outlier * (settings.noise_floor + settings.noise_slope * mean * (1.0 - mean))
            total, share = np.zeros_like(mean), np.zeros_like(mean)
            for own, base in zip(values, weights, strict=True):
                # base / (1 + ((own - mean) / noise)²), in place: a new array for each step costs more than the sum.
                np.subtract(own, mean, out=now)
                np.divide(now, noise, out=now)
                np.square(now, out=now)
                now += 1.0
                np.divide(base, now, out=now)
                share += now
                now *= own
                total += now
            mean = total / share
    return mean


def add_products(values: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of values times weights, arrays of one shape; one at a time, so that it stays in the processor's cache."""
    total = values[0] * weights[0]
    product = np.empty_like(total)
    for own, weight in zip(values[1:], weights[1:], strict=True):
        total += np.multiply(own, weight, out=product)
    return total


def add_all(values: Sequence[np.ndarray]) -> np.ndarray:
    """Sum of arrays of one shape, likewise: NumPy's own first copies them into one."""
    total = values[0].copy()
    for own in values[1:]:
        total += own
    return total


def weigh_presence(observation: Observation) -> np.ndarray:
    """Weight of a latent step at each point of its middle view; hardly any beyond its frame, little at its border."""
    return observation.middle.presence * np.float32(observation.weight) + np.float32(LEAST_WEIGHT)


def average_tokens(observations: Sequence[Observation], canvas: Canvas, settings: EnergySettings) -> np.ndarray:
    """Mean of the tokens along the motion, on the canvas, `(rows + 2m, cols + 2m)` float32: u₀.

    Every latent step is carried by its middle frame, its tokens interpolated between their centres.
    """
    values = [o.sample_view(o.middle, cv2.INTER_LINEAR) for o in observations]
    mean = average_robustly(values, [weigh_presence(o) for o in observations], settings)
    height, width = canvas.shape
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def choose_active_level(mean: np.ndarray, settings: EnergySettings) -> float:
    """Score above which a cell is worth solving: above what most of the frame has, and between two limits."""
    background = float(np.quantile(mean, 0.25))
    return float(np.clip(1.5 * background + settings.quiet / 2, settings.quiet, settings.active))


def mark_active_cells(mean: np.ndarray, canvas: Canvas, settings: EnergySettings) -> np.ndarray:
    """Cells worth solving: within a token of a mean above the active level; bool, canvas shape."""
    size = 2 * canvas.per_token + 1
    high = mean > choose_active_level(mean, settings)
    return cv2.dilate(high.astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool)


def solve(
    observations: Sequence[Observation],
    mean: np.ndarray,
    canvas: Canvas,
    grey: np.ndarray,
    settings: EnergySettings,
) -> np.ndarray:
    """Minimise the energy; the field u on the canvas, float32 in [0, 1].

    mean: u₀ from `average_tokens`. grey: `(rows + 2m, cols + 2m)` float32, the key frame on the canvas, for the edges.
    """
    active = mark_active_cells(mean, canvas, settings).ravel()
    if not active.any():
        return mean
    seen = [compute_footprints(o, canvas, active.reshape(canvas.shape)) for o in observations]
    pairs, edges = _neighbours(grey, active, settings)
    rows = _matrix(
        [*(f.cells for f in seen), pairs],
        [*(f.coefficients for f in seen), np.broadcast_to(np.array([1.0, -1.0], np.float32), pairs.shape)],
        active.size,
    )
    tokens = np.concatenate([o.tokens.ravel()[f.tokens] for o, f in zip(observations, seen, strict=True)])
    trust = np.concatenate([f.trust * o.weight for o, f in zip(observations, seen, strict=True)])
    count = len(trust)

    # Token rows and smoothness rows are one least-squares problem, a · u = target, after the still cells are taken out.
    fixed = mean.ravel()
    inner = np.flatnonzero(active)
    offset = rows @ np.where(active, np.float32(0.0), fixed)
    target = np.concatenate([tokens, np.zeros(len(edges), np.float32)]) - offset
    a = rows[:, inner]
    a_t = a.T.tocsr()
    squares = sparse.csr_matrix((a_t.data**2, a_t.indices, a_t.indptr), a_t.shape)

    u0 = fixed[inner]
    u = u0
    weight = np.concatenate([trust, settings.smoothness * edges])
    for _ in range(settings.passes):
        predicted = (a @ u)[:count]
        p = np.clip(predicted + offset[:count], 0.0, 1.0)
        noise = settings.noise_floor + settings.noise_slope * p * (1.0 - p)
        residual = (target[:count] - predicted) / noise
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
