"""Which words each entry of the softmax is read from, and what becomes of its scores.

Synonyms are averaged, negatives subtracted, and rivals settled: where several kinds of defect share the evidence of one
place, none of them may look likely although a defect does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Lexicon:
    """From the words that a model encodes to the entries of the softmax.

    words: what the model encodes, each once; a learnt vector is `@` and its file. entries: for each entry the numbers
    of the words that are averaged, the asked concepts first. minus: for each asked concept the numbers of the entries
    whose scores are subtracted. sinks: how many entries at the end draw off attention and are never reported.
    rivals: entries of which one at most is true of a place. sharpness: how clearly the leading one of them wins.
    """

    words: tuple[str, ...]
    entries: tuple[tuple[int, ...], ...]
    minus: tuple[tuple[int, ...], ...] = ()
    sinks: int = 0
    rivals: tuple[int, ...] = ()
    sharpness: float = 1.0
    learnt: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "learnt", tuple(word for word in self.words if word.startswith("@")))

    @classmethod
    def plain(cls, words: Sequence[str]) -> Lexicon:
        """Every word by itself."""
        return cls(tuple(words), tuple((i,) for i in range(len(words))))

    @property
    def is_plain(self) -> bool:
        return self.entries == tuple((i,) for i in range(len(self.words))) and not any(self.minus)

    def facts(self) -> dict[str, Any]:
        """What maps depend on, for `run.json`."""
        return {
            "encoded": list(self.words),
            "entries": list(map(list, self.entries)),
            "minus": list(map(list, self.minus)),
        }

    def average(self, logits: np.ndarray) -> np.ndarray:
        """`(layer, word, p)` -> `(layer, entry, p)`: the mean over the words of each entry."""
        if logits.shape[1] != len(self.words):
            raise ValueError(f"logits of {logits.shape[1]} words where {len(self.words)} are due")
        if self.entries == tuple((i,) for i in range(len(self.words))):
            return logits
        return np.stack([logits[:, list(entry)].mean(axis=1) for entry in self.entries], axis=1)

    def finish(self, scores: np.ndarray) -> np.ndarray:
        """`(entry, ...)` scores in [0, 1], from those of the softmax: negatives subtracted, rivals settled.

        Negatives stand in the softmax themselves, so both have the same scale. Each of the rivals keeps its score and
        gets a share of the others', as its score to the power of `sharpness` is to the sum of theirs: the leading one
        comes near to the sum of all. None has less than the geometric mean of its score and that sum: on footage unlike
        that of the training it is surer that there is a defect than which kind it is.
        """
        return self._settle(self._subtract(scores))

    def _subtract(self, scores: np.ndarray) -> np.ndarray:
        if not any(self.minus):
            return scores
        result = scores.copy()
        for concept, entries in enumerate(self.minus):
            if entries:
                result[concept] = np.maximum(scores[concept] - scores[list(entries)].sum(axis=0), 0)
        return result

    def _settle(self, scores: np.ndarray) -> np.ndarray:
        if self.sharpness == 1 or len(self.rivals) < 2:
            return scores
        own = scores[list(self.rivals)]
        # Of the leading one, so that small scores to a high power stay numbers.
        shares = (own / np.maximum(own.max(axis=0), np.finfo(np.float32).tiny)) ** np.float32(self.sharpness)
        shares /= np.maximum(shares.sum(axis=0), np.finfo(np.float32).tiny)
        all_of_them = np.minimum(own.sum(axis=0), 1)
        result = scores.copy()
        result[list(self.rivals)] = np.maximum(own + (all_of_them - own) * shares, np.sqrt(own * all_of_them))
        return result

    def with_sinks(self, sinks: Sequence[str]) -> Lexicon:
        """The same with other sinks."""
        kept = self.entries[: len(self.entries) - self.sinks]
        words = self.words[: 1 + max(i for entry in kept for i in entry)]
        added = tuple((len(words) + i,) for i in range(len(sinks)))
        return replace(self, words=(*words, *sinks), entries=(*kept, *added), sinks=len(sinks))
