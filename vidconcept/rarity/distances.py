"""How far tokens lie from what is remembered: the number that says how unusual they are.

Tokens that score one another without a label come from MuSc (Li et al., ICLR 2024), nearest neighbours in a memory of
good parts from PatchCore (Roth et al., CVPR 2022). Here evidence is counted in views of other surface: a token is usual
when it has its like in several of them, or in a fifth of many, so that a defect that one part in ten has stays rare.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from vidconcept.rarity.features import Standard
from vidconcept.rarity.memory import Memory

# A token needs its like in this many views, or in this share of them if that is more.
VIEWS, VIEW_SHARE = 3, 0.2
# With fewer views of other surface nothing is said about a token.
FEWEST_VIEWS = 2
# Distances are measured in this quantile of those of the footage's own tokens, from a sample of so many.
QUANTILE, SAMPLE = 0.95, 640
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


def anything(places: np.ndarray, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Every step of the memory is evidence: it is of another film."""
    return np.ones((len(places), len(others)), bool)


class Neighbours:
    """A memory made ready for questions.

    rule: which steps a token may be compared with. limits: `(scale,)` usual distances; by default those that the
    memory's tokens have among themselves, for which the rule must keep a token from finding itself. share: of the views
    that must have the like of a usual token.
    """

    def __init__(
        self, memory: Memory, rule: Rule, *, limits: np.ndarray | None = None, share: float = VIEW_SHARE
    ) -> None:
        vectors = memory.vectors()
        self._rule, self._share = rule, share
        self._fewest = 1 if rule is anything else FEWEST_VIEWS
        self._positions = np.array([position for position, _, _ in memory.steps.values()], int)
        drawn = np.concatenate([np.zeros(0, bool), *(~sought for _, _, sought in memory.steps.values())])
        self.tokens = len(vectors)
        self.limits: np.ndarray | None = None
        if drawn.sum() < FEWEST_TOKENS:
            return
        self._standard = Standard.of(vectors[drawn])
        kept = self._standard.apply(vectors)  # (token, scale, dim)
        self._kept = [np.ascontiguousarray(kept[:, s]) for s in range(kept.shape[1])]
        self._squares = [np.square(own).sum(1) for own in self._kept]
        counts = np.array([len(own) for _, own, _ in memory.steps.values()], int)
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        views = memory.motion.views(self._positions)
        # Steps ordered by view, so that the nearest of a view is one reduction.
        self._order = np.argsort(views, kind="stable")
        self._view_starts = np.flatnonzero(np.diff(views[self._order], prepend=-1))
        self.limits = self._usual(vectors, drawn) if limits is None else limits

    def _usual(self, vectors: np.ndarray, drawn: np.ndarray) -> np.ndarray | None:
        """The distances that tokens of the memory have among themselves; None where there is too little to tell."""
        indices = np.flatnonzero(drawn)
        indices = indices[np.linspace(0, len(indices) - 1, min(SAMPLE, len(indices))).astype(int)]
        step = np.searchsorted(self._starts, indices, "right") - 1
        # The middle of the picture stands for any place: where a token was is not remembered.
        places = np.full((len(indices), 2), 0.5)
        distances, views = self._distances(Queries(vectors[indices], places, self._positions[step]))
        enough = views >= self._fewest
        if enough.sum() < FEWEST_TOKENS:
            return None
        return np.maximum(np.quantile(distances[:, enough], QUANTILE, axis=1), 1e-6)

    def ask(self, queries: Queries) -> Rarity:
        """How unusual tokens are."""
        if self.limits is None or not len(queries.vectors):
            none = np.zeros(len(queries.vectors), int)
            return Rarity(none.astype(float), none, none > 0)
        distances, views = self._distances(queries)
        return Rarity((distances / self.limits[:, None]).max(0), views, views >= self._fewest)

    def distance(self, one: np.ndarray, other: np.ndarray) -> float:
        """Of two tokens `(scale, dim)`, in units of what is usual, the largest of the scales."""
        assert self.limits is not None
        pair = self._standard.apply(np.stack([one, other]))
        return float((np.sqrt(np.square(pair[0] - pair[1]).mean(1)) / self.limits).max())

    def _distances(self, queries: Queries) -> tuple[np.ndarray, np.ndarray]:
        """Distance at each scale `(scale, n)`, and views that could be compared with `(n,)`."""
        asked = self._standard.apply(queries.vectors)
        allowed = self._rule(queries.places, queries.positions, self._positions)[:, self._order]
        views = np.logical_or.reduceat(allowed, self._view_starts, axis=1).sum(1)
        needed = np.maximum(np.minimum(VIEWS, views), np.ceil(self._share * views).astype(int))
        last = np.maximum(needed, 1)[:, None] - 1
        found = []
        for scale, (own, squares) in enumerate(zip(self._kept, self._squares, strict=True)):
            one = np.ascontiguousarray(asked[:, scale])
            square = np.square(one).sum(1)[:, None] + squares[None] - 2 * one @ own.T  # (query, token)
            by_step = np.minimum.reduceat(square, self._starts, axis=1)[:, self._order]
            by_view = np.minimum.reduceat(np.where(allowed, by_step, np.inf), self._view_starts, axis=1)
            by_view = np.sqrt(np.maximum(np.sort(by_view, axis=1), 0.0) / own.shape[1])
            sums = np.take_along_axis(np.cumsum(by_view, axis=1), last, axis=1)
            found.append(np.where(views > 0, sums[:, 0] / (last[:, 0] + 1), 0.0))
        return np.stack(found), views
