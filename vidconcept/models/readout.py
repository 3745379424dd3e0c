"""From a model's logits to scores: sub-words, layers and noise draws, the same for every family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.maps import arrange_tokens, concept_scores, join_scales, pool_subwords
from vidconcept.geometry import resize
from vidconcept.models.adapter import Model
from vidconcept.models.layout import find_multiple_px

# From which score on a window is read on the coarse scale too: what has less comes near no threshold.
SUSPECTED = 0.3


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
    return _finish(average_draws(model, frames, draws_of(model, frames, lexicon)), lexicon)


def read_described(model: Model, frames: np.ndarray, lexicon: Lexicon | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores of a window, and features of its tokens as of `Model.described`, at the first timestep.

    Scores are those of `read_scores`, joined with a coarse reading as of `join_coarse`.
    """
    read = [own.described(np.ascontiguousarray(frames)) for own in at_timesteps(model)]
    draws = [_entries(model, values, lexicon) for logits, _ in read for values in logits]
    averaged = average_draws(model, frames, draws)
    return _finish(join_coarse(model, frames, averaged, lexicon), lexicon), read[0][1]


def average_draws(
    model: Model, frames: np.ndarray, draws: Sequence[np.ndarray], layers: Sequence[int] | None = None
) -> np.ndarray:
    """Scores of the softmax from logits as of `draws_of`: `(entry, t_lat, row, col)` float32.

    layers: rows of the logits to take; None takes all.
    """
    scores = concept_scores(draws, model.settings.reduce, layers=layers)
    return arrange_tokens(scores, token_grid(model, frames))


def join_coarse(
    model: Model, frames: np.ndarray, fine: np.ndarray, lexicon: Lexicon | None, layers: Sequence[int] | None = None
) -> np.ndarray:
    """Scores of the softmax as of `average_draws`, joined with those of the shrunken window.

    They stay as they are with a `coarse_scale` of 0, and where no concept that was asked for comes near a finding.
    """
    settings = model.settings
    if not settings.coarse_scale:
        return fine
    if _finish(fine, lexicon)[: len(settings.concepts)].max(initial=0.0) < SUSPECTED:
        return fine
    small = shrink(frames, settings.coarse_scale, find_multiple_px(model.pitch_px))
    return join_scales(fine, average_draws(model, small, draws_of(model, small, lexicon), layers))


def shrink(frames: np.ndarray, scale: float, multiple: int) -> np.ndarray:
    """A window `(t, h, w, 3)` uint8 at about this scale, sides multiples of `multiple`."""
    height, width = (max(round(side * scale / multiple), 1) * multiple for side in frames.shape[1:3])
    return np.stack([resize(frame, height, width) for frame in frames])


def _finish(scores: np.ndarray, lexicon: Lexicon | None) -> np.ndarray:
    return scores if lexicon is None else lexicon.finish(scores)
