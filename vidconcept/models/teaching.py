"""A concept's vector by gradient: the weights stay as they are, and the other concepts should stay where they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.replay import Observation
from vidconcept.settings import TrackSettings

# A token counts as the concept from this share of its pixels on; with less of it, it teaches nothing.
TRUE_SHARE = 0.05
# So much more counts what is missed than what is claimed in vain: the concept covers one token in hundreds.
MISSED_WEIGHT = 3.0
STEPS, RATE, WINDOWS_A_STEP = 80, 0.08, 2


class Teachable(Protocol):
    """A loaded model to whose words a vector can be added."""

    @property
    def settings(self) -> TrackSettings: ...

    @property
    def vectors(self) -> Sequence[Tensor]:
        """`(sub-word, text dim)` of every word."""
        ...

    def observe(self, frames: np.ndarray) -> Observation:
        """One forward pass over a window `(t, h, w, 3)` uint8, all but its concepts."""
        ...


@dataclass(frozen=True)
class Lesson:
    """A window with its truth: share `(t_lat, row, col)` of each token that is the concept, NaN where not known."""

    seen: Observation = field(repr=False)
    share: np.ndarray = field(repr=False)


def observe(model: Any, frames: np.ndarray) -> Observation:
    """The part of `Model` that teaching needs. Raises TypeError for a family that does not have it."""
    if not hasattr(model, "observe"):
        raise TypeError(f"{type(model).__name__} cannot be taught")
    return model.observe(np.ascontiguousarray(frames))


def scores_of(model: Teachable, lexicon: Lexicon, seen: Observation, vector: np.ndarray | None) -> np.ndarray:
    """Scores `(entry, token)` float32 with the vector in place of the first word; None: as the model's words are."""
    with torch.no_grad():
        embeds = _embeds(model, None if vector is None else _as_tensor(vector, model))
        return lexicon.finish(torch.exp(_log_scores(model, lexicon, seen, embeds)).cpu().numpy())


def start_vector(model: Teachable, tokens: int, seed: int) -> np.ndarray:
    """`(tokens, text dim)` float32: the mean of the model's other words, and noise as wide as they are apart."""
    words = torch.cat([vector.float() for vector in model.vectors[1:]]).cpu().numpy()
    rng = np.random.default_rng(seed)
    spread = words.std(0) if len(words) > 1 else np.abs(words[0])
    return (words.mean(0) + spread * rng.normal(size=(tokens, words.shape[1]))).astype(np.float32)


def teach(
    model: Teachable,
    lexicon: Lexicon,
    lessons: Sequence[Lesson],
    start: np.ndarray,
    *,
    seed: int,
    steps: int = STEPS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """The vector `(token, text dim)` that finds the concept, from `start`; it stands in place of the first word.

    The loss of a token that is the concept is -log of its score; of one that is not, the divergence of all scores from
    what they are without the concept: what it claims in vain, and what it moves among the others, both count.
    """
    scale = float(np.abs(start).mean()) or 1.0
    vector = _as_tensor(start, model).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([vector], lr=RATE * scale)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.no_grad():
        before = [_without_first(model, lexicon, lesson.seen) for lesson in lessons]
    rng = np.random.default_rng(seed)
    order: list[int] = []
    for step in range(steps):
        optimizer.zero_grad()
        for _ in range(min(WINDOWS_A_STEP, len(lessons))):
            order = order or rng.permutation(len(lessons)).tolist()
            number = order.pop()
            found = _log_scores(model, lexicon, lessons[number].seen, _embeds(model, vector))
            # The weights get no gradient, only the vector.
            _loss(found, before[number], lessons[number].share).backward(inputs=[vector])
        optimizer.step()
        schedule.step()
        progress(step + 1, steps)
    return vector.detach().cpu().numpy()


def _loss(log_scores: Tensor, before: Tensor, share: np.ndarray) -> Tensor:
    """log_scores: `(entry, token)`, the concept first. before: scores `(entry - 1, token)` without it."""
    flat = torch.from_numpy(share.reshape(-1)).to(log_scores.device)
    is_true, is_other = flat >= TRUE_SHARE, flat == 0
    missed = -(log_scores[0] * is_true).sum() * MISSED_WEIGHT
    apart = (before * (before.clamp_min(1e-9).log() - log_scores[1:])).sum(0)
    return (missed + (apart * is_other).sum()) / (is_true.sum() + 10)


def _log_scores(model: Teachable, lexicon: Lexicon, seen: Observation, embeds: list[Tensor]) -> Tensor:
    """Logarithm of the scores `(entry, token)`, as `concept_scores` reduces layers."""
    return _reduced(model, _averaged(lexicon, _pooled(model, seen, embeds)))


def _without_first(model: Teachable, lexicon: Lexicon, seen: Observation) -> Tensor:
    """Scores of all entries but the first, as if its word were not there."""
    embeds = [vector.float() for vector in model.vectors[1:]]
    pooled = _pooled(model, seen, embeds)
    entries = [[i - 1 for i in entry] for entry in lexicon.entries[1:]]
    return _reduced(model, torch.stack([pooled[:, entry].mean(1) for entry in entries], 1)).exp()


def _pooled(model: Teachable, seen: Observation, embeds: list[Tensor]) -> Tensor:
    counts = [len(part) for part in embeds]
    parts = seen.logits(torch.cat(embeds), counts).split(counts, 1)
    kept = parts if model.settings.concept_tokens == "all" else [part[:, :1] for part in parts]
    return torch.stack([part.mean(1) for part in kept], 1)  # (layer, word, token)


def _averaged(lexicon: Lexicon, logits: Tensor) -> Tensor:
    return torch.stack([logits[:, list(entry)].mean(1) for entry in lexicon.entries], 1)


def _reduced(model: Teachable, logits: Tensor) -> Tensor:
    if model.settings.reduce == "softmax-mean":
        return torch.log_softmax(logits, 1).logsumexp(0) - float(np.log(len(logits)))
    return torch.log_softmax(logits.mean(0), 0)


def _embeds(model: Teachable, vector: Tensor | None) -> list[Tensor]:
    own = [word.float() for word in model.vectors]
    return own if vector is None else [vector, *own[1:]]


def _as_tensor(vector: np.ndarray, model: Teachable) -> Tensor:
    return torch.from_numpy(vector).to(model.vectors[0].device, torch.float32)


def scores_without(model: Teachable, lexicon: Lexicon, seen: Observation) -> np.ndarray:
    """`(entry - 1, token)` float32: scores of all entries but the first, as if its word were not there."""
    with torch.no_grad():
        return _without_first(model, lexicon, seen).cpu().numpy()
