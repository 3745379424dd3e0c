"""From a model's logits to scores: sub-words, layers and noise draws, the same for every family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.maps import arrange_tokens, concept_scores, pool_subwords
from vidconcept.models.adapter import Model


def word_logits(
    model: Model,
    frames: np.ndarray,
    draw: int = 0,
    methods: Sequence[str] = ("concept-attention",),
    lexicon: Lexicon | None = None,
) -> dict[str, np.ndarray]:
    """One forward pass over a window: method -> `(layer, entry, token)` float32 logits, sub-words pooled.

    lexicon: which words each entry is the mean of; None: every word is an entry.
    """
    found = model.logits(np.ascontiguousarray(frames), draw, methods)
    return {method: _entries(model, values, lexicon) for method, values in found.items()}


def _entries(model: Model, logits: np.ndarray, lexicon: Lexicon | None) -> np.ndarray:
    pooled = pool_subwords(logits, model.word_tokens, model.settings.concept_tokens)
    return pooled if lexicon is None else lexicon.average(pooled)


def at_timesteps(model: Model) -> list[Model]:
    """The model as it reads each of the timesteps that its settings average."""
    settings = model.settings
    if not settings.timesteps:
        return [model]
    return [
        model.with_settings(settings.model_copy(update={"timestep": t, "timesteps": ()})) for t in settings.timesteps
    ]


def token_grid(model: Model, frames: np.ndarray) -> tuple[int, int, int]:
    """(t_lat, row, col) of the tokens of a window `(t, h, w, 3)`."""
    count, height, width, _ = frames.shape
    # A token at the edge may lie partly outside.
    return (count - 1) // model.step + 1, -(-height // model.pitch_px), -(-width // model.pitch_px)


def draws_of(model: Model, frames: np.ndarray, lexicon: Lexicon | None = None) -> list[np.ndarray]:
    """Logits of the settings' method as of `word_logits`, for each timestep and noise draw of the settings."""
    method = model.settings.method
    return [
        word_logits(own, frames, draw, (method,), lexicon)[method]
        for own in at_timesteps(model)
        for draw in range(model.settings.noise_samples)
    ]


def read_scores(model: Model, frames: np.ndarray, lexicon: Lexicon | None = None) -> np.ndarray:
    """Scores of a window `(t, h, w, 3)`: `(entry, t_lat, row, col)` float32, averaged over timesteps and noise draws.

    lexicon: as of `word_logits`; what it subtracts is subtracted.
    """
    return _scores_of(model, frames, draws_of(model, frames, lexicon), lexicon)


def read_described(model: Model, frames: np.ndarray, lexicon: Lexicon | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores as of `read_scores`, and features of the tokens as of `Model.described`, at the first timestep."""
    read = [own.described(np.ascontiguousarray(frames)) for own in at_timesteps(model)]
    draws = [_entries(model, values, lexicon) for logits, _ in read for values in logits]
    return _scores_of(model, frames, draws, lexicon), read[0][1]


def _scores_of(model: Model, frames: np.ndarray, draws: Sequence[np.ndarray], lexicon: Lexicon | None) -> np.ndarray:
    scores = concept_scores(draws, model.settings.reduce)
    return arrange_tokens(scores if lexicon is None else lexicon.finish(scores), token_grid(model, frames))
