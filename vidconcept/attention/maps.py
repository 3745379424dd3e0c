"""From logits to scores: pure map maths on arrays."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from einops import rearrange
from scipy.special import softmax

Reduce = Literal["softmax-mean", "mean-softmax"]
ConceptTokens = Literal["all", "first"]


def pool_subwords(logits: np.ndarray, counts: Sequence[int], concept_tokens: ConceptTokens = "all") -> np.ndarray:
    """Average the logits of each concept's sub-word tokens: `(layer, token, p)` -> `(layer, concept, p)`.

    counts: tokens per concept, in order. "first" keeps only the first sub-word, as the paper's code does.
    """
    if sum(counts) != logits.shape[1] or min(counts, default=1) < 1:
        raise ValueError(f"{list(counts)} sub-words do not add up to the {logits.shape[1]} concept tokens")
    parts = np.split(logits, np.cumsum(counts)[:-1], axis=1)
    kept = [part if concept_tokens == "all" else part[:, :1] for part in parts]
    return np.stack([part.mean(axis=1) for part in kept], axis=1)


def reduce_layers(logits: np.ndarray, reduce: Reduce) -> np.ndarray:
    """Softmax over concepts and mean over layers, in the order asked: `(layer, concept, p)` -> `(concept, p)`.

    "softmax-mean" is the paper code's order.
    """
    if reduce == "softmax-mean":
        return softmax(logits, axis=1).mean(axis=0)
    if reduce == "mean-softmax":
        return softmax(logits.mean(axis=0), axis=0)
    raise ValueError(f"reduce is softmax-mean or mean-softmax, got {reduce!r}")


def find_unusable_layer(logits: np.ndarray) -> tuple[int, str] | None:
    """The first layer of `(layer, token, p)` logits that gives no numbers, and what it gives; None if all are sound.

    Also where every layer gives the same number at every place, which noise in the latents alone would prevent.
    """
    for index, layer in enumerate(logits):
        if not np.isfinite(layer).all():
            return index, "no numbers (NaN or infinity)"
    is_constant = logits.shape[-1] > 1 and not np.ptp(logits, axis=-1).any()
    return (0, "the same number everywhere") if is_constant else None


def concept_scores(
    logits: np.ndarray,
    counts: Sequence[int],
    grid: tuple[int, int, int],
    *,
    reduce: Reduce = "softmax-mean",
    concept_tokens: ConceptTokens = "all",
) -> np.ndarray:
    """Scores of one pass: `(layer, token, t_lat·row·col)` logits -> `(concept, t_lat, row, col)` float32 in [0, 1].

    Tokens are ordered (frame, row, col) on `grid` = (t_lat, row, col).
    """
    pooled = pool_subwords(np.asarray(logits, np.float32), counts, concept_tokens)
    scores = reduce_layers(pooled, reduce)
    t_lat, rows, cols = grid
    maps = rearrange(scores, "concept (t row col) -> concept t row col", t=t_lat, row=rows, col=cols)
    return np.clip(maps, 0.0, 1.0).astype(np.float32)
