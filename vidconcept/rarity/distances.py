"""How far tokens lie from what is remembered: the number that says how unusual they are.

Tokens that score one another without a label come from MuSc (Li et al., ICLR 2024), nearest neighbours in a memory of
good parts from PatchCore (Roth et al., CVPR 2022). Here evidence is counted in views of other surface: a token is usual
when it has its like in several of them, or in a fifth of many, so that a defect that one part in ten has stays rare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from vidconcept.rarity.features import Standard
from vidconcept.rarity.memory import Memory

# A token needs its like in this many views, or in this share of them if that is more.
VIEWS, VIEW_SHARE = 3, 0.2
# With fewer views of other surface nothing is said about a token.
FEWEST_VIEWS = 2
# Distances are measured in this quantile of those of the footage's own tokens.
QUANTILE = 0.95
# Tokens that are asked about at once, which bounds memory.
CHUNK = 512
# Fewer tokens than this do not tell what is usual.
FEWEST_TOKENS = 48


@dataclass(frozen=True)
class Queries:
    """Tokens that are asked about: vectors `(n, scale, dim)`, places `(n, 2)` x and y as shares, positions `(n,)`."""

    vectors: np.ndarray = field(repr=False)
    places: np.ndarray = field(repr=False)
    positions: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class Rarity:
    """value: `(n,)` distance in units of what is usual, the largest of the scales; it means nothing unless `known`.

    views: `(n,)` of other surface that could be compared with.
    """

    value: np.ndarray = field(repr=False)
    views: np.ndarray = field(repr=False)
    known: np.ndarray = field(repr=False)


# Places `(n, 2)`, their positions `(n,)`, those of the memory's steps `(m,)` -> what may be compared, `(n, m)` bool.
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def accept_all(places: np.ndarray, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Every step of the memory is evidence: it is of another film."""
    return np.ones((len(places), len(others)), bool)


@dataclass(frozen=True)
class Usual:
    """What distances are usual: limits `(scale,)` of all, and those of each token of the memory, `(scale, token)`.

    largest: usual limit of the largest ratio of the scales, so that a rarity of 1 is reached by one ordinary token in
    twenty.
    """

    limits: np.ndarray = field(repr=False)
    distances: np.ndarray = field(repr=False)
    largest: float = 1.0


@dataclass(frozen=True)
class _Nearest:
    """distances: `(scale, n)` mean over the views that count. views: `(n,)` that could be compared with. tokens: of
    each scale `(n, view)` the nearest token in the nearest views. counted: `(n, view)` which of them count.
    """

    distances: np.ndarray
    views: np.ndarray
    tokens: list[np.ndarray]
    counted: np.ndarray


class Neighbours:
    """A memory made ready for questions.

    A token is as rare as its nearest neighbours are far, in units of what is usual: the 95th percentile of the ordinary
    tokens' distances, or, where it is more, the distance that these neighbours have from their own. So a bolt or a tool
    mark, whose likes differ more from one another than bare surface does, is usual when every part has it.

    rule: which steps a token may be compared with. usual: by default measured on the memory's own tokens, for which the
    rule must keep a token from finding itself. share: of the views that must have the like of a usual token.
    """

    def __init__(self, memory: Memory, rule: Rule, *, usual: Usual | None = None, share: float = VIEW_SHARE) -> None:
        steps = list(memory.steps.values())
        self._rule, self._share = rule, share
        self._fewest = 1 if rule is accept_all else FEWEST_VIEWS
        self.tokens = memory.count
        self.usual: Usual | None = None
        drawn = np.concatenate([np.zeros(0, bool), *(~sought for _, _, sought in steps)])
        if drawn.sum() < FEWEST_TOKENS:
            return
        positions = np.array([position for position, _, _ in steps], int)
        views = memory.motion.views(positions)
        counts = np.array([len(own) for _, own, _ in steps], int)
        vectors = memory.vectors()
        self._standard = Standard.fit(vectors[drawn])
        # Tokens ordered by view, so that the nearest of a view is found in one slice.
        token_views = np.repeat(views, counts)
        self._order = np.argsort(token_views, kind="stable")
        self._positions = np.repeat(positions, counts)[self._order]
        self._starts = np.append(np.flatnonzero(np.diff(token_views[self._order], prepend=-1)), len(vectors))
        kept = self._standard.apply(vectors[self._order])  # (token, scale, dim)
        # For each scale `(dim + 1, token)`: one product with `(x, 1)` then gives |x - y|² but for |x|².
        self._kept = [
            np.vstack([-2 * own.T, np.square(own).sum(1)]).astype(np.float32) for own in np.moveaxis(kept, 1, 0)
        ]
        self.usual = usual if usual is not None else self._measure_batch(vectors[self._order], drawn[self._order])

    def _measure_batch(self, vectors: np.ndarray, drawn: np.ndarray) -> Usual | None:
        """The distances that the memory's tokens have among themselves; None where there is too little to tell."""
        # The middle of the picture stands for any place: where a token was is not remembered.
        places = np.full((len(vectors), 2), 0.5)
        parts = [slice(start, start + CHUNK) for start in range(0, len(vectors), CHUNK)]
        found = [self._nearest(Queries(vectors[part], places[part], self._positions[part])) for part in parts]
        own = np.concatenate([part.distances for part in found], axis=1)
        enough = np.concatenate([part.views for part in found]) >= self._fewest
        told = enough & drawn
        if told.sum() < FEWEST_TOKENS:
            return None
        limits = np.maximum(np.quantile(own[:, told], QUANTILE, axis=1), 1e-6)
        unordered = np.empty_like(own)
        unordered[:, self._order] = np.where(enough, own, 0.0)
        usual = Usual(limits, unordered.astype(np.float32))
        ratios = np.concatenate([self._ratio(part, usual) for part in found])
        return replace(usual, largest=max(float(np.quantile(ratios[told], QUANTILE)), 1e-6))

    def measure(self, queries: Queries) -> Rarity:
        """How unusual tokens are."""
        if self.usual is None or not len(queries.vectors):
            none = np.zeros(len(queries.vectors), int)
            return Rarity(none.astype(float), none, none > 0)
        found = self._nearest(queries)
        return Rarity(self._ratio(found, self.usual) / self.usual.largest, found.views, found.views >= self._fewest)

    def _ratio(self, found: _Nearest, usual: Usual) -> np.ndarray:
        """Distance over what is usual for the tokens found nearest, the median of the views; largest of the scales."""
        typical = [
            np.nanmedian(np.where(found.counted, own[self._order][tokens], np.nan), axis=1)
            for own, tokens in zip(usual.distances, found.tokens, strict=True)
        ]
        return (found.distances / np.maximum(usual.limits[:, None], np.stack(typical))).max(0)

    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Of two tokens `(scale, dim)`, in units of what is usual, the largest of the scales."""
        assert self.usual is not None
        pair = self._standard.apply(np.stack([one, other]))
        return float((np.sqrt(np.square(pair[0] - pair[1]).mean(1)) / self.usual.limits).max())

    def _nearest(self, queries: Queries) -> _Nearest:
        asked = self._standard.apply(queries.vectors)
        steps, of_step = np.unique(self._positions, return_inverse=True)
        closed = np.where(self._rule(queries.places, queries.positions, steps), 0.0, np.inf).astype(np.float32)
        # In rows, as the distances that it is added to; indexing with brackets would leave it in columns.
        closed = closed.take(of_step, axis=1)  # (query, token)
        slices = [slice(a, b) for a, b in pairwise(self._starts)]
        views = np.stack([np.isfinite(closed[:, part]).any(1) for part in slices], axis=1).sum(1)
        needed = np.maximum(np.maximum(np.minimum(VIEWS, views), np.ceil(self._share * views).astype(int)), 1)
        counted = np.arange(int(needed.max()))[None] < np.minimum(needed, np.maximum(views, 1))[:, None]
        distances, tokens = [], []
        square = np.empty(closed.shape, np.float32)
        for scale, own in enumerate(self._kept):
            one = asked[:, scale]
            np.matmul(np.hstack([one, np.ones((len(one), 1), np.float32)]), own, out=square)
            square += closed
            nearest = np.stack([part.start + square[:, part].argmin(1) for part in slices], axis=1)  # (query, view)
            away = np.take_along_axis(square, nearest, axis=1) + np.square(one).sum(1)[:, None]
            best = np.argsort(away, axis=1)[:, : counted.shape[1]]
            away = np.sqrt(np.maximum(np.take_along_axis(away, best, axis=1), 0.0) / one.shape[1])
            distances.append(np.where(counted & (views > 0)[:, None], away, 0.0).sum(1) / counted.sum(1))
            tokens.append(np.take_along_axis(nearest, best, axis=1))
        return _Nearest(np.stack(distances), views, tokens, counted)
