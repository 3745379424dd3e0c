"""Features of tokens at several scales: what is compared when it is asked whether a place is unusual.

A hole of two pixels is unusual by itself; a stain is made of parts that are all alike and is unusual only as a whole.
So each token is described three times, by the mean of the features over 1, 3 and 7 tokens across.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

# Tokens across, over which features are averaged.
SCALES = (1, 3, 7)
# A channel that hardly varies would shout at the smallest change: it counts as varying this share of the usual channel.
LEAST_DEVIATION = 0.05
# Of how many pieces tokens are picked where stronger ones take all places, and how many of each.
MOST_PIECES, A_PIECE = 16, 8
# OpenCV takes at most 128 channels at once.
_CHANNELS = 64


def pool_scales(features: np.ndarray) -> np.ndarray:
    """Means over 1, 3 and 7 tokens around each: `(row, col, dim)` -> `(row, col, scale, dim)` float32."""
    features = np.ascontiguousarray(features, np.float32)
    return np.stack([_box_mean(features, size) for size in SCALES], axis=2)


def _box_mean(features: np.ndarray, size: int) -> np.ndarray:
    if size == 1:
        return features
    dim = features.shape[2]
    parts = [np.ascontiguousarray(features[..., k : k + _CHANNELS]) for k in range(0, dim, _CHANNELS)]
    means = [cv2.blur(part, (size, size), borderType=cv2.BORDER_REPLICATE) for part in parts]
    return np.concatenate([m.reshape(*features.shape[:2], -1) for m in means], axis=2)


@dataclass(frozen=True)
class Standard:
    """Mean and deviation of each channel at each scale, `(scale, dim)` float32."""

    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)

    @classmethod
    def fit(cls, vectors: np.ndarray) -> "Standard":
        """Of tokens `(n, scale, dim)`."""
        vectors = vectors.astype(np.float32)
        deviation = vectors.std(0)
        least = LEAST_DEVIATION * np.median(deviation, axis=1, keepdims=True) + 1e-6
        return cls(vectors.mean(0), np.maximum(deviation, least))

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """`(n, scale, dim)` of any float type -> standardised, float32."""
        return (vectors.astype(np.float32) - self.mean) / self.deviation


def random_projection(dim_in: int, dim_out: int, seed: int = 0) -> np.ndarray:
    """A fixed matrix `(dim_in, dim_out)` float32 that keeps distances on average (Johnson and Lindenstrauss 1984)."""
    drawn = np.random.default_rng(seed).standard_normal((dim_in, dim_out)) / np.sqrt(dim_out)
    return drawn.astype(np.float32)


def pick_strongest_tokens(scores: np.ndarray, floor: float, most: int, threshold: float = np.inf) -> np.ndarray:
    """Tokens of one latent step whose highest score passes `floor`, the `most` strongest: `(n, 2)` row and column.

    scores: `(concept, row, col)`. Of a connected piece that reaches the threshold and has none among these, as where
    larger marks take them all, the `A_PIECE` strongest come in addition, for `MOST_PIECES` pieces.
    """
    best = scores.max(0)
    rows, cols = np.nonzero(best > floor)
    order = np.argsort(-best[rows, cols], kind="stable")
    ranked = np.stack([rows[order], cols[order]], axis=1)
    chosen, rest = ranked[:most], ranked[most:]
    rest = rest[best[rest[:, 0], rest[:, 1]] >= threshold]
    if not len(rest):
        return chosen
    _, labels = cv2.connectedComponents((best >= threshold).astype(np.uint8), connectivity=8)
    known, of = set(labels[chosen[:, 0], chosen[:, 1]].tolist()), labels[rest[:, 0], rest[:, 1]]
    missed = [piece for piece in dict.fromkeys(of.tolist()) if piece not in known][:MOST_PIECES]
    return np.concatenate([chosen, *(rest[of == piece][:A_PIECE] for piece in missed)])


def spread_to_nearest(
    values: np.ndarray, at: Sequence[tuple[int, int]] | np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Every token's value is that of the nearest one that has any: `(n,)` at `(n, 2)` -> `(row, col)` float32."""
    holes = np.ones(shape, np.uint8)
    at = np.asarray(at, int)
    holes[at[:, 0], at[:, 1]] = 0
    _, labels = cv2.distanceTransformWithLabels(holes, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(labels, np.int32)
    by_label = np.zeros(int(labels.max()) + 1, np.float32)
    by_label[labels[at[:, 0], at[:, 1]]] = values
    return by_label[labels]
