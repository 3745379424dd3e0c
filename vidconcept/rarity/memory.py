"""What the footage looks like, in a bounded number of tokens, whatever its length.

Of a latent step the memory takes some tokens: every other one is of those that score highest, so that what looks like a
defect on every part is surely remembered, the rest is drawn evenly. When it is full, first each step gives up half of
its tokens, down to `LEAST_A_STEP`; then every other step goes. So it always holds an even choice of all that has
passed, the same for the same footage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidconcept.rarity.features import SCALES
from vidconcept.rarity.surface import Travel

# Tokens in all: 6.5 MB of features for 176 channels at three scales, in half precision.
TOKENS = 6144
MOST_A_STEP, LEAST_A_STEP = 512, 64


@dataclass(frozen=True)
class Described:
    """Tokens of a window that may become findings.

    tokens: `(n, 4)` position of the frame described, latent step in the window, row, column. vectors:
    `(n, scale, dim)`. A token has a row for each frame of its step that the model describes.
    """

    tokens: np.ndarray = field(repr=False)
    vectors: np.ndarray = field(repr=False)


@dataclass
class Memory:
    """Tokens of the footage, step by step, and the motion between its frames.

    steps: latent index -> `(position, vectors (n, scale, dim) float16, sought (n,) bool)`; position of the frame that
    is described, sought: taken because it scores high.
    """

    tokens: int = TOKENS
    a_step: int = MOST_A_STEP
    every: int = 1
    last_latent: int = -1
    # Of each part of the footage between two holes in time: its first window, position and latent step.
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    last_window: int = -1
    steps: dict[int, tuple[int, np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    shifts: list[np.ndarray] = field(default_factory=list, repr=False)
    cuts: list[bool] = field(default_factory=list, repr=False)

    def choose_tokens(self, latent: int, best: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of a latent step to remember: flat indices `(n,)`, and which of them were taken for their score.

        best: `(token,)` highest score of any concept.
        """
        count = min(self.a_step, best.size)
        high = np.argsort(-best, kind="stable")
        drawn = np.random.default_rng(latent).permutation(best.size)
        both = np.stack([high, drawn], axis=1).ravel()
        sought = np.tile([True, False], best.size)
        first = np.sort(np.unique(both, return_index=True)[1])[:count]
        return both[first], sought[first]

    def wants(self, latent: int) -> bool:
        return latent > self.last_latent and latent % self.every == 0

    def add(self, latent: int, position: int, vectors: np.ndarray, sought: np.ndarray) -> None:
        """Remember tokens of a step; steps come in order."""
        self.last_latent = max(self.last_latent, latent)
        if latent % self.every:
            return
        self.steps[latent] = (position, vectors[: self.a_step].astype(np.float16), sought[: self.a_step])
        while self.count > self.tokens:
            self._thin()

    def begin_part(self, window: int, position: int = 0) -> None:
        """Another part of the footage, or the first: positions and latent steps of its windows count from here.

        A part that is known already is passed over. position: of its first frame in the whole footage, where the end of
        the part before was in no window; the surface is taken to have moved on there as it did last.
        """
        if self.parts and self.parts[-1][0] >= window:
            return
        while len(self.cuts) < position:
            self.travel(len(self.cuts), self.shifts[-1], cut=False)
        self.parts.append((window, len(self.cuts), self.last_latent + 1))
        self.travel(len(self.cuts), np.zeros(2), cut=bool(self.cuts))

    def find_part(self, window: int) -> tuple[int, int]:
        """Position and latent step at which the part of a window begins."""
        return next((position, latent) for first, position, latent in reversed(self.parts) if first <= window)

    def travel(self, position: int, shift: np.ndarray, cut: bool) -> None:
        """The motion of the next frame; positions that are known already are passed over."""
        if position == len(self.cuts):
            self.shifts.append(np.asarray(shift, np.float32))
            self.cuts.append(bool(cut))

    @property
    def count(self) -> int:
        return sum(len(vectors) for _, vectors, _ in self.steps.values())

    def cut_before(self, position: int, *, latent: int = 0, window: int = 0) -> "Memory":
        """What was remembered from a position on, counted from there; latent steps and windows from the ones given.

        So what only runs on, as a camera does, need not remember its whole past.
        """
        memory = Memory(self.tokens, self.a_step, self.every, self.last_latent - latent, last_window=self.last_window)
        memory.last_window -= window
        rebased = [(own - window, at - position, first - latent) for own, at, first in self.parts]
        # The part that is under way may have begun before.
        begun = max((number for number, part in enumerate(rebased) if part[1] <= 0), default=0)
        memory.parts = rebased[begun:]
        memory.steps = {
            key - latent: (at - position, vectors, sought)
            for key, (at, vectors, sought) in self.steps.items()
            if at >= position
        }
        memory.shifts, memory.cuts = self.shifts[position:], self.cuts[position:]
        return memory

    def _thin(self) -> None:
        if self.a_step > LEAST_A_STEP:
            self.a_step //= 2
        else:
            self.every *= 2
        self.steps = {
            latent: (position, vectors[: self.a_step].copy(), sought[: self.a_step])
            for latent, (position, vectors, sought) in self.steps.items()
            if latent % self.every == 0
        }

    @property
    def motion(self) -> Travel:
        shifts = np.stack(self.shifts) if self.shifts else np.zeros((0, 2), np.float32)
        return Travel(shifts, np.array(self.cuts, bool))

    def vectors(self) -> np.ndarray:
        """All tokens, `(n, scale, dim)` float16, ordered by step."""
        found = [vectors for _, vectors, _ in self.steps.values()]
        return np.concatenate(found) if found else np.zeros((0, len(SCALES), 1), np.float16)

    def to_tensors(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        """Arrays and facts for a safetensors file."""
        steps = self.steps
        sought = [sought for _, _, sought in steps.values()]
        tensors = {
            "vectors": self.vectors(),
            "sought": np.concatenate(sought).astype(np.uint8) if sought else np.zeros(0, np.uint8),
            "latents": np.array(list(steps), np.int64),
            "positions": np.array([position for position, _, _ in steps.values()], np.int64),
            "counts": np.array([len(vectors) for _, vectors, _ in steps.values()], np.int64),
            "parts": np.array(self.parts, np.int64).reshape(-1, 3),
            "shifts": self.motion.shifts,
            "cuts": self.motion.cuts.astype(np.uint8),
        }
        names = ("tokens", "a_step", "every", "last_latent", "last_window")
        return tensors, {name: str(getattr(self, name)) for name in names}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any], facts: Mapping[str, str]) -> "Memory":
        """The memory that `to_tensors` told of."""
        ends = np.cumsum(tensors["counts"])[:-1]
        vectors = np.split(tensors["vectors"], ends) if len(tensors["counts"]) else []
        sought = np.split(tensors["sought"].astype(bool), ends) if len(tensors["counts"]) else []
        names = ("tokens", "a_step", "every", "last_latent", "last_window")
        memory = cls()
        for name in names:
            setattr(memory, name, int(facts[name]))
        rows = zip(tensors["latents"].tolist(), tensors["positions"].tolist(), vectors, sought, strict=True)
        memory.steps = {latent: (position, own, high) for latent, position, own, high in rows}
        memory.parts = [tuple(row) for row in tensors["parts"].tolist()]
        memory.shifts = list(tensors["shifts"])
        memory.cuts = tensors["cuts"].astype(bool).tolist()
        return memory
