"""From a model's logits to scores: sub-words, layers and noise draws, the same for every family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidconcept.attention.maps import arrange_tokens, concept_scores, pool_subwords
from vidconcept.models.adapter import Model


def word_logits(
    model: Model, frames: np.ndarray, draw: int = 0, methods: Sequence[str] = ("concept-attention",)
) -> dict[str, np.ndarray]:
    """One forward pass over a window: method -> `(layer, word, token)` float32 logits, sub-words pooled."""
    found = model.logits(np.ascontiguousarray(frames), draw, methods)
    pooling = model.settings.concept_tokens
    return {method: pool_subwords(values, model.word_tokens, pooling) for method, values in found.items()}


def token_grid(model: Model, frames: np.ndarray) -> tuple[int, int, int]:
    """(t_lat, row, col) of the tokens of a window `(t, h, w, 3)`."""
    count, height, width, _ = frames.shape
    # A token at the edge may lie partly outside.
    return (count - 1) // model.step + 1, -(-height // model.pitch_px), -(-width // model.pitch_px)


def read_scores(model: Model, frames: np.ndarray) -> np.ndarray:
    """Concept scores of a window `(t, h, w, 3)`: `(word, t_lat, row, col)` float32, averaged over noise draws."""
    method = model.settings.method
    draws = [word_logits(model, frames, draw, (method,))[method] for draw in range(model.settings.noise_samples)]
    return _scores_of(model, frames, draws)


def read_described(model: Model, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores as of `read_scores`, and features of the tokens as of `Model.described`."""
    logits, features = model.described(np.ascontiguousarray(frames))
    draws = [pool_subwords(values, model.word_tokens, model.settings.concept_tokens) for values in logits]
    return _scores_of(model, frames, draws), features


def _scores_of(model: Model, frames: np.ndarray, draws: Sequence[np.ndarray]) -> np.ndarray:
    return arrange_tokens(concept_scores(draws, model.settings.reduce), token_grid(model, frames))
