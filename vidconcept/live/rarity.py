"""Rarity while the footage goes on: compared with what was seen so far, in a memory that forgets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from vidconcept.pipelines.describe import describe, remember_motion
from vidconcept.pipelines.plan import Plan
from vidconcept.pipelines.rarity import Evidence, Judge, compute_gate, find_removed, index_latents
from vidconcept.rarity.distances import Neighbours, accept_all
from vidconcept.rarity.good_parts import read_good_parts
from vidconcept.rarity.memory import Described, Memory
from vidconcept.rarity.recurring import Group, Piece, follow_pieces, group_by_likeness
from vidconcept.rarity.surface import Travel
from vidconcept.temporal.windows import Window
from vidconcept.types import ConceptMaps

# Frames that are remembered at least, and twice as many at most: ten minutes at 25 a second.
HORIZON_FRAMES = 15_000
# The memory is made ready for questions anew when it has grown by this share, and at the latest after so many steps.
GROWTH_SHARE, LONGEST_STEPS = 1 / 4, 128


class RunningRarity:
    """What looks alike all over the footage so far is no finding; one object serves a source without end.

    It judges a window by what came before it and the window itself, so the first minute of a line is judged by little:
    where there is no evidence yet, rarity stays out of it. With a file of good parts there is evidence at once.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.memory = Memory()
        self.evidence = Evidence(plan.settings.rarity)
        self._windows = 0
        self._travel = Travel(np.zeros((0, 2), np.float32), np.zeros(0, bool))
        self._judge: Judge | None = None
        self._renew_at = 0
        self._keeps_removed = False
        self._removed: list[Piece] = []
        self._numbers: dict[int, int] = {}
        self._own = plan.settings.rarity == "auto"
        if plan.settings.rarity not in ("auto", "off"):
            memory, usual = read_good_parts(Path(plan.settings.rarity), plan.layout.fingerprint)
            self._judge = Judge(Neighbours(memory, accept_all, usual=usual, share=0.0))

    @property
    def place(self) -> tuple[int, int, int]:
        """Position, latent step and window that come next, in the counts of the memory."""
        return len(self.memory.cuts), self.memory.last_latent + 1, self._windows

    def take(self, maps: ConceptMaps, window: Window) -> tuple[ConceptMaps, Described]:
        """The maps with the scores of what is usual taken back, and the window's features that are kept."""
        number, self._windows = self._windows, self._windows + 1
        window = replace(window, index=number)
        remember_motion(self.memory, window)
        described = describe(self.memory, replace(maps, window_index=number), window, self.plan.description_threshold)
        if self._own:
            self._look_back()
        if self._judge is None or not len(described.tokens):
            return maps, described
        share = compute_gate(maps, described, self._judge, self.evidence)
        if self._keeps_removed:
            self._keep_removed(maps, number, share, described)
        return replace(maps, scores=maps.scores * share), described

    def begin_run(self) -> None:
        """Evidence, and what rarity takes back, count from here; what is long past is forgotten."""
        self.forget()
        self._keeps_removed = True
        self._removed, self._numbers = [], {}
        self.evidence = Evidence(self.evidence.mode, memory_tokens=self.evidence.memory_tokens)

    def group_removed(self) -> list[Group]:
        """What was taken back since `begin_run`, in groups of likes; positions are those of the memory."""
        if self._judge is None or not self._removed:
            return []
        found = follow_pieces(self._removed, self.memory.motion, self._numbers)
        return group_by_likeness(found, self._judge.neighbours.distance)

    def memory_since(self, place: tuple[int, int, int]) -> Memory:
        """What is remembered from a `place` on, counted from there."""
        position, latent, window = place
        return self.memory.cut_before(position, latent=latent, window=window)

    def forget(self) -> None:
        """Let go of footage long past; every `place` taken before loses its meaning."""
        gone = len(self.memory.cuts) - HORIZON_FRAMES
        if gone >= HORIZON_FRAMES:
            self.memory = self.memory.cut_before(gone)
            self._renew_at = 0

    def _keep_removed(self, maps: ConceptMaps, number: int, share: np.ndarray, described: Described) -> None:
        _, first_latent = self.memory.find_part(number)
        latents = [first_latent + latent for latent in index_latents(maps)]
        for latent in latents:
            self._numbers.setdefault(latent, len(self._numbers))
        last = self._removed[-1].latent if self._removed else -1
        found = find_removed(self.plan.settings, maps, latents, share, described)
        self._removed += [piece for piece in found if piece.latent > last]

    def _look_back(self) -> None:
        memory = self.memory
        self._travel = memory.motion
        if memory.last_latent < self._renew_at:
            return
        grown = min(int(len(memory.steps) * memory.every * GROWTH_SHARE), LONGEST_STEPS)
        self._renew_at = memory.last_latent + max(grown, 4)
        neighbours = Neighbours(memory, self._shows_other_surface)
        self.evidence.memory_tokens = neighbours.tokens
        self._judge = None if neighbours.usual is None else Judge(neighbours)

    def _shows_other_surface(self, places: np.ndarray, positions: np.ndarray, others: np.ndarray) -> np.ndarray:
        # By the motion as it is known at the time of the question, which is later than that of the memory.
        return self._travel.shows_other_surface(places, positions, others)
