"""Measures of identities over time: HOTA (Luiten et al. 2021) and IDF1 (Ristani et al. 2016)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

ALPHAS = np.arange(0.05, 0.99, 0.05)


@dataclass(frozen=True, slots=True)
class Pairing:
    """One frame: true and predicted identities, and the similarity `(true, predicted)` in [0, 1] of their masks.

    Identities of different clips must differ. Objects of different concepts have similarity 0.
    """

    true_ids: Sequence[Hashable]
    found_ids: Sequence[Hashable]
    similarity: np.ndarray = field(repr=False)


@dataclass(frozen=True)
class _Numbered:
    frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    true_count: np.ndarray
    found_count: np.ndarray


def _number_pairs(pairings: Sequence[Pairing]) -> _Numbered:
    truths: dict[Hashable, int] = {}
    founds: dict[Hashable, int] = {}
    frames = []
    for p in pairings:
        t = np.array([truths.setdefault(i, len(truths)) for i in p.true_ids], np.int64)
        f = np.array([founds.setdefault(i, len(founds)) for i in p.found_ids], np.int64)
        frames.append((t, f, np.asarray(p.similarity, float).reshape(len(t), len(f))))
    true_count, found_count = np.zeros(len(truths)), np.zeros(len(founds))
    for t, f, _ in frames:
        np.add.at(true_count, t, 1)
        np.add.at(found_count, f, 1)
    return _Numbered(frames, true_count, found_count)


def hota(pairings: Sequence[Pairing]) -> dict[str, float]:
    """`hota`, `det_a`, `ass_a`: means over the similarity levels 0.05 … 0.95. Empty without a true object."""
    data = _number_pairs(pairings)
    if not data.true_count.sum():
        return {}
    aligned = np.zeros((len(data.true_count), len(data.found_count)))
    for t, f, s in data.frames:
        union = s.sum(0, keepdims=True) + s.sum(1, keepdims=True) - s
        aligned[np.ix_(t, f)] += np.divide(s, union, out=np.zeros_like(s), where=union > 0)
    alignment = aligned / np.maximum(data.true_count[:, None] + data.found_count[None] - aligned, 1e-12)
    # Which object each found one is on, on every frame, and how similar; the levels only differ in which of them count.
    pairs, similar = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for t, f, s in data.frames:
        rows, cols = linear_sum_assignment(-alignment[np.ix_(t, f)] * s)
        pairs.append(np.stack([t[rows], f[cols]], axis=1))
        similar.append(s[rows, cols])
    at, similarity = np.concatenate(pairs), np.concatenate(similar)
    detected, associated = [], []
    for alpha in ALPHAS:
        (true, found), matched = _count_pairs(at[similarity >= alpha - np.finfo(float).eps])
        hits = matched.sum()
        detected.append(hits / (data.true_count.sum() + data.found_count.sum() - hits))
        association = matched / (data.true_count[true] + data.found_count[found] - matched)
        associated.append((matched * association).sum() / max(hits, 1))
    det_a, ass_a = np.array(detected), np.array(associated)
    return {
        "hota": float(np.sqrt(det_a * ass_a).mean()),
        "det_a": float(det_a.mean()),
        "ass_a": float(ass_a.mean()),
    }


def _count_pairs(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of `(n, 2)`, as `(2, m)`, and how often each occurs, `(m,)`."""
    different, times = np.unique(pairs, axis=0, return_counts=True)
    return different.T, times


def idf1(pairings: Sequence[Pairing], threshold: float = 0.5) -> float:
    """F1 of the frames in which objects carry the identity of the best one-to-one assignment over all time."""
    data = _number_pairs(pairings)
    if not data.true_count.sum():
        return float("nan")
    together = np.zeros((len(data.true_count), len(data.found_count)))
    for t, f, s in data.frames:
        together[np.ix_(t, f)] += s >= threshold
    rows, cols = linear_sum_assignment(-together)
    return float(2 * together[rows, cols].sum() / (data.true_count.sum() + data.found_count.sum()))
