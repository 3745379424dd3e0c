"""Rarity in the decision: the stored maps, with the scores of what is usual taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.errors import UsageError
from vidconcept.pipelines.plan import Plan
from vidconcept.rarity.distances import Neighbours, Queries, accept_all
from vidconcept.rarity.features import spread_to_nearest
from vidconcept.rarity.gate import gate
from vidconcept.rarity.good_parts import read_good_parts
from vidconcept.rarity.memory import Described
from vidconcept.rarity.recurring import Group, Piece, find_removed_pieces, follow_pieces, group_by_likeness
from vidconcept.runs import RunFolder
from vidconcept.settings import TrackSettings
from vidconcept.tracks.decision import interpolate_lifts
from vidconcept.types import ConceptMaps, Recurring

NO_FEATURES = "rarity changed nothing: these maps were stored without features"
NO_EVIDENCE = (
    "rarity changed nothing: the footage shows too little other surface to compare with (a still camera, or a short "
    "clip)"
)


@dataclass
class Evidence:
    """What rarity could go by in a run, counted while its maps pass. reason: why it stayed out altogether."""

    mode: str
    reason: str = ""
    memory_tokens: int = 0
    unsure: int = 0
    views: Counter[int] = field(default_factory=Counter, repr=False)

    @property
    def tokens(self) -> int:
        return self.views.total()

    def facts(self) -> dict[str, Any]:
        """For `run.json`."""
        numbers = sorted(self.views)
        reached = np.cumsum([self.views[n] for n in numbers])
        median = numbers[int(np.searchsorted(reached, self.tokens / 2))] if numbers else 0
        return {
            "mode": self.mode,
            "says": self.describe(),
            "memory_tokens": self.memory_tokens,
            "tokens_judged": self.tokens - self.unsure,
            "tokens_without_evidence": self.unsure,
            "views_median": median,
        }

    def describe(self) -> str:
        """What a person should know; empty where rarity did its work throughout."""
        if self.reason or not self.tokens:
            return self.reason
        if self.unsure == self.tokens:
            return NO_EVIDENCE
        if self.unsure > 0.05 * self.tokens:
            return (
                f"rarity was used for {1 - self.unsure / self.tokens:.0%} of the possible findings; for the others "
                "the footage shows too little other surface to compare with"
            )
        return ""


@dataclass(frozen=True)
class Judge:
    """What a run's tokens are compared with. offset: of the run's positions among those of the memory's films."""

    neighbours: Neighbours
    offset: int = 0


class Gating:
    """The run's maps on their way to the decision.

    `evidence` and `groups` are whole when `gate_all` was read to its end.

    judge: what to compare with instead of what the settings say.
    """

    def __init__(self, plan: Plan, run: RunFolder, judge: Judge | None = None) -> None:
        self.plan, self.run = plan, run
        self.evidence = Evidence(plan.settings.rarity)
        self.groups: list[Group] = []
        self._judge = judge if judge is not None else self._make_judge()

    def _make_judge(self) -> Judge | None:
        """By the settings: the run's own memory, or that of good parts; None where there is nothing to compare with."""
        asked = self.plan.settings.rarity
        if asked == "off":
            return None
        if asked != "auto":
            memory, usual = read_good_parts(Path(asked), self.plan.layout.fingerprint)
            judge = Judge(Neighbours(memory, accept_all, usual=usual, share=0.0))
        else:
            memory = self.run.load_memory()
            if memory is None:
                self.evidence.reason = NO_FEATURES
                return None
            judge = Judge(Neighbours(memory, memory.motion.shows_other_surface))
        self.evidence.memory_tokens = judge.neighbours.tokens
        if judge.neighbours.usual is None:
            self.evidence.reason = NO_EVIDENCE
            return None
        return judge

    def gate_all(self) -> Iterator[ConceptMaps]:
        """All windows in order, one at a time. Raises UsageError for a recurring group to keep that is not there."""
        keep = set(self.plan.settings.keep_recurring)
        if not keep:
            yield from self._gate_windows({})
            return
        for _ in self._gate_windows({}):
            pass
        groups, evidence = self.groups, self.evidence
        yield from self._gate_windows(self._pieces_to_keep(keep))
        self.groups, self.evidence = groups, evidence

    def list_recurring(self, frames: Sequence[int], times_s: Sequence[float]) -> list[Recurring]:
        """The groups as rows of a table; see `list_recurring`."""
        return list_recurring(self.plan, self.groups, frames, times_s)

    def _pieces_to_keep(self, keep: set[int]) -> dict[int, list[Piece]]:
        """The pieces of the groups to keep, by latent step."""
        if missing := keep - {group.group_id for group in self.groups}:
            known = f"the groups 1 to {len(self.groups)}" if self.groups else "no groups"
            raise UsageError(f"keep_recurring = {min(missing)}: the run has {known}. Next: leave out what is not there")
        opened: dict[int, list[Piece]] = {}
        for own in (own for group in self.groups if group.group_id in keep for own in group.occurrences):
            for piece in own.pieces:
                opened.setdefault(piece.latent, []).append(piece)
        return opened

    def _gate_windows(self, opened: Mapping[int, Sequence[Piece]]) -> Iterator[ConceptMaps]:
        judge = self._judge
        if judge is None:
            yield from self.run.read_maps()
            return
        self.evidence = Evidence(self.evidence.mode, memory_tokens=judge.neighbours.tokens)
        removed: list[Piece] = []
        numbers: dict[int, int] = {}
        memory = self.run.load_memory()
        last, with_features = -1, 0
        for maps in self.run.read_maps():
            described = self.run.load_described(maps.window_index)
            with_features += described is not None
            if described is None or not len(described.tokens):
                yield maps
                continue
            _, first_latent = memory.find_part(maps.window_index) if memory else (0, 0)
            latents = [first_latent + latent for latent in index_latents(maps)]
            for latent in latents:
                numbers.setdefault(latent, len(numbers))
            share = compute_gate(maps, described, judge, self.evidence)
            removed += [
                piece
                for piece in find_removed(self.plan.settings, maps, latents, share, described)
                if piece.latent > last
            ]
            last = max([last, *(piece.latent for piece in removed[-1:])])
            kept = maps.scores * share
            for j, latent in enumerate(latents):
                for piece in opened.get(latent, ()):
                    top, left, bottom, right = piece.box
                    around = piece.concept, j, slice(max(top - 1, 0), bottom + 2), slice(max(left - 1, 0), right + 2)
                    kept[around] = maps.scores[around]
            yield replace(maps, scores=kept)
        if not with_features:
            self.evidence.reason = NO_FEATURES
        if memory is not None and removed:
            found = follow_pieces(removed, memory.motion, numbers)
            self.groups = group_by_likeness(found, judge.neighbours.distance)


def gate_maps(plan: Plan, run: RunFolder, judge: Judge | None = None) -> Iterator[ConceptMaps]:
    """The run's stored maps with the scores of what is usual taken back, as `--rarity` asks for."""
    yield from Gating(plan, run, judge).gate_all()


def find_removed(
    settings: TrackSettings, maps: ConceptMaps, latents: Sequence[int], share: np.ndarray, described: Described
) -> Iterator[Piece]:
    """What of a window would be a finding if all tokens kept their scores. latents: index of each of its steps."""
    rows, cols = share.shape[1:]
    position, j, row, col = described.tokens.T
    for step in np.unique(j):
        for concept, name in enumerate(settings.concepts):
            lifts = settings.place_lifts.get(name)
            threshold = settings.find_threshold(name) + (interpolate_lifts(lifts, rows, cols) if lifts else 0.0)
            for at, box in find_removed_pieces(maps.scores[concept, step], share[step], threshold):
                own = np.flatnonzero((j == step) & (row == at[0]) & (col == at[1]))
                if len(own):
                    top, left, bottom, right = box.tolist()
                    extent = (left / cols, top / rows, (right + 1) / cols, (bottom + 1) / rows)
                    # A copy: a view would keep the features of the whole window as long as the piece.
                    yield Piece(
                        latents[step], int(position[own[-1]]), concept, float(maps.scores[concept, step][at]),
                        (top, left, bottom, right), extent, described.vectors[own[-1]].copy(),
                    )  # fmt: skip


def list_recurring(
    plan: Plan, groups: Sequence[Group], frames: Sequence[int], times_s: Sequence[float], begins_at: int = 0
) -> list[Recurring]:
    """Groups as rows of a table.

    frames, times_s: index and time of each frame that the model saw; begins_at: position of the first of them.
    """
    region, tiles = plan.region, plan.tiles
    cell_x = region.width * tiles.pitch_px / tiles.width
    cell_y = region.height * tiles.pitch_px / tiles.height
    rows = []
    for group in groups:
        first, last = (min(position - begins_at, len(frames) - 1) for position in group.span)
        peak = group.peak
        top, left, bottom, right = peak.box
        box = (
            region.x + int(left * cell_x),
            region.y + int(top * cell_y),
            min(region.x + ceil((right + 1) * cell_x), region.x + region.width),
            min(region.y + ceil((bottom + 1) * cell_y), region.y + region.height),
        )
        rows.append(
            Recurring(
                group.group_id,
                plan.settings.concepts[group.concept],
                len(group.occurrences),
                times_s[first],
                times_s[last],
                frames[min(peak.position - begins_at, len(frames) - 1)],
                peak.score,
                box,
                group.group_id in plan.settings.keep_recurring,
            )
        )
    return rows


def index_latents(maps: ConceptMaps) -> list[int]:
    """Index of each of the window's latent steps in its part of the footage."""
    return (-(-maps.positions[:, 1] // maps.step)).tolist()


def find_second_highest(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """The second highest value of each group, of a group of one its only value; 0 where there is none: `(count,)`.

    A token is as rare as the second rarest of its frames: a defect crosses it in some of the four, and the rarest alone
    would let noise speak.
    """
    order = np.lexsort((-values, groups))
    ranked, of = values[order], groups[order]
    first = np.flatnonzero(np.diff(of, prepend=-1))
    size = np.diff(np.append(first, len(of)))
    out = np.zeros(count, np.float32)
    out[of[first]] = ranked[first + (size > 1)]
    return out


def compute_gate(maps: ConceptMaps, described: Described, judge: Judge, evidence: Evidence) -> np.ndarray:
    """The share of its score that each token keeps, `(t_lat, row, col)` float32."""
    _, steps, rows, cols = maps.scores.shape
    position, j, row, col = described.tokens.T
    places = np.stack([(col + 0.5) / cols, (row + 0.5) / rows], axis=1)
    rarity = judge.neighbours.measure(Queries(described.vectors, places, position + judge.offset))
    kept = np.where(rarity.known, gate(rarity.value), 1.0).astype(np.float32)
    token = np.asarray(np.ravel_multi_index((j, row, col), (steps, rows, cols)))
    best = find_second_highest(kept, token, steps * rows * cols)
    best = best.reshape(steps, rows, cols)
    evidence.unsure += int((~rarity.known).sum())
    evidence.views.update(rarity.views.tolist())
    share = np.ones((steps, rows, cols), np.float32)
    for step in np.unique(j):
        own = j == step
        at = np.unique(np.column_stack([row[own], col[own]]), axis=0)
        share[step] = spread_to_nearest(best[step][at[:, 0], at[:, 1]], at, (rows, cols))
    return share
