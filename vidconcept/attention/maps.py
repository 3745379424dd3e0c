"""From logits to scores: pure map maths on arrays."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from einops import rearrange

# Of a coarse reading beside a fine one: its share at most, and how many tokens aside are broad.
COARSE_SHARE, BROAD_TOKENS = 0.5, 5
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
    # SciPy takes a quarter of a second to import, and is not needed where maps are there.
    from scipy.special import softmax

    if reduce == "softmax-mean":
        return softmax(logits, axis=1).mean(axis=0)
    if reduce == "mean-softmax":
        return softmax(logits.mean(axis=0), axis=0)
    raise ValueError(f"reduce is softmax-mean or mean-softmax, got {reduce!r}")


def support_tokens(scores: np.ndarray, spread_tokens: float) -> np.ndarray:
    """Scores `(..., row, col)` of which none is below the mean around it, by a Gaussian of this standard deviation.

    What lies beside a sure token is likelier to belong to it than what lies far away; peaks stay as they are.
    """
    if not spread_tokens:
        return scores
    from scipy.ndimage import gaussian_filter

    around = (0.0,) * (scores.ndim - 2) + (spread_tokens, spread_tokens)
    return np.maximum(scores, gaussian_filter(scores, around, mode="nearest"))


def join_scales(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Scores of two readings: `(entry, t, row, col)`, and of the shrunken picture `(entry, t, row', col')`.

    A mean, in which the coarse reading counts for half where what the fine one sees is as broad as 5x5 tokens, and for
    less the smaller it is: the coarse one says little of what it hardly resolves.
    """
    from scipy.ndimage import uniform_filter

    rows, cols = fine.shape[2:]
    planes = coarse.reshape(-1, *coarse.shape[2:])
    enlarged = np.stack([cv2.resize(plane, (cols, rows), interpolation=cv2.INTER_LINEAR) for plane in planes])
    around = uniform_filter(fine, BROAD_TOKENS, mode="nearest", axes=(2, 3))
    share = COARSE_SHARE * np.clip(around / np.maximum(fine, np.finfo(np.float32).tiny), 0, 1)
    return fine + share * (enlarged.reshape(fine.shape) - fine)


def find_unusable_layer(logits: np.ndarray, *, may_be_constant: bool = False) -> tuple[int, str] | None:
    """The first layer of `(layer, token, p)` logits that gives no numbers, and what it gives; None if all are sound.

    Also where every layer gives the same number at every place, which noise in the latents alone would prevent, unless
    it `may_be_constant`, as what is standardised over concepts.
    """
    for index, layer in enumerate(logits):
        if not np.isfinite(layer).all():
            return index, "no numbers (NaN or infinity)"
    is_constant = not may_be_constant and logits.shape[-1] > 1 and not np.ptp(logits, axis=-1).any()
    return (0, "the same number everywhere") if is_constant else None


def concept_scores(
    draws: Sequence[np.ndarray],
    reduce: Reduce,
    *,
    layers: Sequence[int] | None = None,
    words: Sequence[int] | None = None,
) -> np.ndarray:
    """Scores from logits pooled by word, the mean over noise draws: n x `(layer, word, p)` -> `(word, p)` float32.

    layers, words: rows to take of each; None takes all. The scores lie in [0, 1] and sum to 1 over the words.
    """
    taken = [draw if layers is None else draw[list(layers)] for draw in draws]
    taken = [draw if words is None else draw[:, list(words)] for draw in taken]
    scores = np.mean([reduce_layers(draw, reduce) for draw in taken], axis=0)
    return np.clip(scores, 0.0, 1.0).astype(np.float32)


def arrange_tokens(values: np.ndarray, grid: tuple[int, int, int]) -> np.ndarray:
    """`(..., t_lat*row*col)` -> `(..., t_lat, row, col)` on `grid` = (t_lat, row, col): the tokens' order."""
    t_lat, rows, cols = grid
    return rearrange(values, "... (t row col) -> ... t row col", t=t_lat, row=rows, col=cols)
